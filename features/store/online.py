"""The features of a request, read online."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from features.store.definitions import FEATURE_SERVICE, View, views
from features.store.errors import OnlineStoreUnavailable, reported
from infra.services import ServiceError, redis_address
from infra.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class UserFeatures:
    """What is known of a user, newest first; the columns of ``features.schema.USER_FEATURES``."""

    recent_queries: tuple[str, ...]
    recent_items: tuple[str, ...]
    recent_brands: tuple[str, ...]
    recent_orders: tuple[str, ...]
    ordered_tags: tuple[str, ...]
    requests_7d: int
    clicks_7d: int
    orders_30d: int


@dataclass(frozen=True)
class QueryFeatures:
    """What is known of a query, best item first; the columns of ``features.schema.QUERY_FEATURES``."""

    query_requests_30d: int
    query_clicks_30d: int
    query_orders_30d: int
    top_items: tuple[str, ...]
    top_weights: tuple[float, ...]


@dataclass(frozen=True)
class RequestFeatures:
    """Of one request: None where the user or the query is unknown, or was last seen longer ago than the TTL."""

    user: UserFeatures | None
    query: QueryFeatures | None


class OnlineFeatures:
    """Reads features for serving. Opening one takes seconds, a read well under a millisecond; hold it.

    Any number of threads may read. A read raises OnlineStoreUnavailable within a few time-outs when Redis is away, and
    works again when Redis is back; an embedded Redis that died is started again in the background.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises ServiceError where no Redis is set and none can be started."""
        self._settings = settings
        described = views(settings)
        self._user, self._query = described["user"], described["query"]
        self._reviving = threading.Lock()
        self._open()
        self._warm_up()

    def user(self, user_id: str, now: datetime) -> UserFeatures | None:
        """The user's features as of ``now``, or None for one who is unknown or past the TTL."""
        return self.users([user_id], now)[0]

    def users(self, user_ids: Sequence[str], now: datetime) -> list[UserFeatures | None]:
        """The features of several users in one round trip, in their order."""
        return [r.user for r in self.requests(user_ids, [""] * len(user_ids), now)]

    def request(self, user_id: str, query: str, now: datetime) -> RequestFeatures:
        """The features of a user and of a query (its normalised text) in one round trip."""
        return self.requests([user_id], [query], now)[0]

    def requests(self, user_ids: Sequence[str], queries: Sequence[str], now: datetime) -> list[RequestFeatures]:
        """The features of several requests in one round trip; ``now`` needs a time zone.

        Raises OnlineStoreUnavailable when Redis does not answer.
        """
        rows = {self._user.key: list(user_ids), self._query.key: list(queries)}
        try:
            with reported(self._address):
                response = self._store.get_online_features(
                    features=self._service, entity_rows=rows, full_feature_names=True
                )
        except OnlineStoreUnavailable:
            self._revive()
            raise
        columns = dict(zip(response.proto.metadata.feature_names.val, response.proto.results, strict=True))
        users = _rows(columns, self._user, now, len(user_ids))
        found = _rows(columns, self._query, now, len(user_ids))
        return [
            RequestFeatures(UserFeatures(**u) if u else None, QueryFeatures(**q) if q else None)
            for u, q in zip(users, found, strict=True)
        ]

    def _open(self) -> None:
        from features.store.repository import open_store

        self._address = redis_address(self._settings)
        self._store = open_store(self._settings, self._address)
        self._service = self._store.get_feature_service(FEATURE_SERVICE)

    def _warm_up(self) -> None:
        """The first read imports and builds what the others use: a few tenths of a second."""
        try:
            self.user("", datetime.now(UTC))
        except OnlineStoreUnavailable as error:
            log.warning("User features are not available for now: %s", error)

    def _revive(self) -> None:
        """Start an embedded Redis that died, without making a request wait for it."""
        if self._settings.online.redis_url is None and self._reviving.acquire(blocking=False):
            threading.Thread(target=self._restart, name="revive-redis", daemon=True).start()

    def _restart(self) -> None:
        try:
            if redis_address(self._settings) != self._address:
                self._open()
        except ServiceError as error:
            log.warning("The embedded Redis could not be started again: %s", error)
        finally:
            self._reviving.release()


def _rows(columns: Mapping[str, Any], view: View, now: datetime, count: int) -> list[dict[str, Any] | None]:
    """The values of a view per row. Feast says PRESENT of an unknown entity, with nulls and the time 0, and does not
    apply the TTL online: both are read off the event time here, as the offline join does it."""
    named = {name: columns[f"{view.name}__{name}"] for name in view.features}
    empty = {name: () if pa.types.is_list(view.schema.field(name).type) else 0 for name in named}
    times = next(iter(named.values())).event_timestamps
    return [
        {name: _value(column.values[i], empty[name]) for name, column in named.items()}
        if _is_alive(times[i], view.ttl, now)
        else None
        for i in range(count)
    ]


def _is_alive(stamp: Any, ttl: timedelta, now: datetime) -> bool:
    return bool(stamp.seconds) and stamp.ToDatetime(tzinfo=UTC) + ttl >= now


def _value(value: Any, empty: Any) -> Any:
    kind = value.WhichOneof("val")
    if kind is None:
        return empty
    found = getattr(value, kind)
    return tuple(found.val) if kind.endswith("list_val") else found
