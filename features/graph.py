"""The bipartite graph of queries and items, as it was at each snapshot."""

from __future__ import annotations

from typing import Any

import ibis

from features.interactions import in_window, interactions_by_snapshot
from infra.settings import FeatureSettings


def requests_by_snapshot(requests: Any, stamps: Any) -> Any:
    """``event_timestamp, query_id, query``: the requests with a text in the 30 days before each snapshot."""
    rows = requests.select("query_id", "query", "known_at").filter((requests["query"] != "").fill_null(False))
    return in_window(rows, "known_at", stamps).drop("known_at")


def query_interactions(requests: Any, events: Any, stamps: Any) -> Any:
    """The interactions of each snapshot with the query that led to them; both were known in its window.

    Returns:
        ``event_timestamp, query, item_id, carted, ordered``, one row per (snapshot, request, item).
    """
    attributed = interactions_by_snapshot(events.filter(events.query_id.notnull()), stamps)
    rows = attributed.inner_join(requests_by_snapshot(requests, stamps), ["event_timestamp", "query_id"])
    return rows.select("event_timestamp", "query", "item_id", "carted", "ordered")


def query_item_edges(interactions: Any, catalog: Any, settings: FeatureSettings) -> Any:
    """The edges of each snapshot: ``event_timestamp, query, item_id, weight``.

    An edge weighs the sum over its interactions of ``settings.stage_weights`` at the deepest stage that each reached.
    Items that the catalogue does not know have no edge.

    Args:
        interactions: what ``query_interactions`` gives.
        catalog: ``CATALOG``.
        settings: the weights of clicked, carted and ordered.
    """
    weights = settings.stage_weights
    rows = interactions.semi_join(catalog, "item_id")
    deepest = ibis.cases((rows.ordered, weights["ordered"]), (rows.carted, weights["carted"]), else_=weights["clicked"])
    return rows.group_by("event_timestamp", "query", "item_id").agg(weight=deepest.cast("float64").sum())


def heaviest_neighbours(edges: Any, keep: int) -> Any:
    """``event_timestamp, query, top_items, top_weights``: the ``keep`` heaviest items of a query, ties by item id."""
    order = ibis.window(group_by=[edges.event_timestamp, edges["query"]], order_by=[edges.weight.desc(), edges.item_id])
    ranked = edges.mutate(rank=ibis.row_number().over(order))
    ranked = ranked.filter(ranked["rank"] < keep)
    # Spark orders no aggregate: the rank leads each entry, and sorting the entries orders them on both engines.
    entry = ibis.struct({"rank": ranked["rank"], "item_id": ranked.item_id, "weight": ranked.weight})
    tops = ranked.group_by("event_timestamp", "query").agg(entries=entry.collect())
    tops = tops.mutate(entries=tops.entries.sort())
    return tops.select(
        "event_timestamp",
        "query",
        top_items=tops.entries.map(lambda e: e.item_id),
        top_weights=tops.entries.map(lambda e: e.weight),
    )
