"""How often a query comes and what it leads to, at a snapshot."""

from __future__ import annotations

from typing import Any

from features.interactions import in_window, interactions_by_snapshot
from infra.contract.tables import QUERY_FEATURES


def query_features(requests: Any, events: Any, stamps: Any) -> Any:
    """One row per (query, snapshot) with a request in the 30 days before it, in the columns of ``QUERY_FEATURES``.

    A snapshot holds what has ``known_at`` strictly before it; the empty query has no row. ``query_clicks_30d`` and
    ``query_orders_30d`` count distinct (request, item).

    Args:
        requests: ``REQUESTS``.
        events: ``EVENTS``; those attributed to no request are no query's.
        stamps: ``event_timestamp``, the snapshots.
    """
    asked = _requests_by_snapshot(requests, stamps)
    frequency = asked.group_by("event_timestamp", "query").agg(query_requests_30d=asked.count())
    led = interactions_by_snapshot(events.filter(events.query_id.notnull()), stamps)
    led = led.inner_join(asked, ["event_timestamp", "query_id"])
    acted = led.group_by("event_timestamp", "query").agg(
        query_clicks_30d=led.count(), query_orders_30d=led.ordered.cast("int64").sum()
    )
    rows = frequency.left_join(acted, ["event_timestamp", "query"]).drop("event_timestamp_right", "query_right")
    return rows.mutate(
        created=rows.event_timestamp,
        query_clicks_30d=rows.query_clicks_30d.fill_null(0),
        query_orders_30d=rows.query_orders_30d.fill_null(0),
    ).select(QUERY_FEATURES.names)


def _requests_by_snapshot(requests: Any, stamps: Any) -> Any:
    """``event_timestamp, query_id, query``: the requests with a text in the 30 days before each snapshot."""
    rows = requests.select("query_id", "query", "known_at").filter((requests["query"] != "").fill_null(False))
    return in_window(rows, "known_at", stamps).drop("known_at")
