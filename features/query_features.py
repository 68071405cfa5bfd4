"""How often a query comes, and its heaviest neighbours in the query-item graph, at a snapshot."""

from __future__ import annotations

from typing import Any

import ibis

from features.graph import heaviest_neighbours, query_interactions, query_item_edges, requests_by_snapshot
from infra.contract.tables import QUERY_FEATURES
from infra.settings import FeatureSettings


def query_features(requests: Any, events: Any, catalog: Any, stamps: Any, settings: FeatureSettings) -> Any:
    """One row per (query, snapshot) with a request in the 30 days before it, in the columns of ``QUERY_FEATURES``.

    A snapshot holds what has ``known_at`` strictly before it; the empty query has no row. ``query_clicks_30d`` and
    ``query_orders_30d`` count distinct (request, item); ``top_items`` and ``top_weights`` run heaviest first.

    Args:
        requests: ``REQUESTS``.
        events: ``EVENTS``; those attributed to no request are no query's.
        catalog: ``CATALOG``.
        stamps: ``event_timestamp``, the snapshots.
        settings: weights of the edges and how many neighbours are kept.
    """
    asked = requests_by_snapshot(requests, stamps)
    frequency = asked.group_by("event_timestamp", "query").agg(query_requests_30d=asked.count())
    led = query_interactions(requests, events, stamps)
    acted = led.group_by("event_timestamp", "query").agg(
        query_clicks_30d=led.count(), query_orders_30d=led.ordered.cast("int64").sum()
    )
    tops = heaviest_neighbours(query_item_edges(led, catalog, settings), settings.top_items)
    key = ["event_timestamp", "query"]
    rows = frequency.left_join(acted, key).drop("event_timestamp_right", "query_right")
    rows = rows.left_join(tops, key).drop("event_timestamp_right", "query_right")
    return rows.mutate(
        created=rows.event_timestamp,
        query_clicks_30d=rows.query_clicks_30d.fill_null(0),
        query_orders_30d=rows.query_orders_30d.fill_null(0),
        top_items=rows.top_items.fill_null(ibis.literal([], "array<string>")),
        top_weights=rows.top_weights.fill_null(ibis.literal([], "array<float64>")),
    ).select(QUERY_FEATURES.names)
