"""What became of each (request, item) by each snapshot: the base of item and query behaviour."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis

from infra.contract.names import LONG, SHORT


def in_window(rows: Any, known_at: str, stamps: Any, window: timedelta = LONG) -> Any:
    """Each row once per snapshot that knows it: ``stamp - window <= known_at < stamp``, with ``event_timestamp``."""
    begin = stamps.event_timestamp - ibis.interval(window)
    ranges = stamps.select("event_timestamp", begin=begin)
    joined = rows.inner_join(ranges, [rows[known_at] >= ranges.begin, rows[known_at] < ranges.event_timestamp])
    return joined.drop("begin")


def recent(rows: Any, known_at: str) -> Any:
    """Whether a row of ``in_window`` is also in the short window."""
    return rows[known_at] >= rows.event_timestamp - ibis.interval(SHORT)


def interactions_by_snapshot(events: Any, stamps: Any) -> Any:
    """One row per snapshot and interaction: what one request led to on one item, over the window that ends there.

    A second click of the same request on the same item is no second interaction; an event of no request stands for
    itself. Clicks, carts and orders all count as clicked.

    Args:
        events: ``EVENTS``.
        stamps: ``event_timestamp``, the snapshots.

    Returns:
        ``event_timestamp``, ``query_id`` (null for an event of no request), ``item_id``; boolean ``carted, ordered``
        over 30 days and ``clicked_7d, carted_7d, ordered_7d`` over 7 (that it was clicked goes without saying).
    """
    rows = events.select(
        "query_id", "item_id", "action", "known_at", alone=ibis.ifelse(events.query_id.isnull(), events.event_id, "")
    )
    rows = in_window(rows, "known_at", stamps)
    lately, cart, order = recent(rows, "known_at"), rows.action == "cart", rows.action == "order"
    found = rows.group_by("event_timestamp", "query_id", "alone", "item_id").agg(
        carted=cart.any(),
        ordered=order.any(),
        clicked_7d=lately.any(),
        carted_7d=(cart & lately).any(),
        ordered_7d=(order & lately).any(),
    )
    return found.drop("alone")
