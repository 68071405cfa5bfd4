"""The features of a request as serving reads them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class UserFeatures:
    """What is known of a user, newest first; the columns of ``infra.contract.tables.USER_FEATURES``."""

    recent_queries: tuple[str, ...] = ()
    recent_items: tuple[str, ...] = ()
    recent_brands: tuple[str, ...] = ()
    recent_orders: tuple[str, ...] = ()
    order_history: tuple[str, ...] = ()
    ordered_tags: tuple[str, ...] = ()
    requests_7d: int = 0
    clicks_7d: int = 0
    orders_30d: int = 0


@dataclass(frozen=True)
class QueryFeatures:
    """What is known of a query; the columns of ``infra.contract.tables.QUERY_FEATURES``."""

    query_requests_30d: int
    query_clicks_30d: int
    query_orders_30d: int


@dataclass(frozen=True)
class RequestFeatures:
    """Of one request: None where the user or the query is unknown, or was last seen longer ago than the TTL."""

    user: UserFeatures | None
    query: QueryFeatures | None
