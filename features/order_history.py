"""The last orders of a user at each moment, an entry per order, by way of blocks.

A window that gave each order the list of the last ones would hold every order as often as the list is long. Here a
user's orders lie in blocks of that length, each order once: the last ones up to an order are those of its block up to
it, and as many of the block before as are missing.
"""

from __future__ import annotations

from typing import Any

import ibis


def order_history(moments: Any, orders: Any, length: int) -> Any:
    """``moments`` with ``order_history``, newest first, at most ``length``; null or empty where there was no order.

    Args:
        moments: with ``user_id``, ``orders_number`` (of the last order known by then, or null) and
            ``orders_in_history`` (how many of the orders up to it lie within the horizon).
        orders: with ``user_id``, ``item_id`` and ``number``, which numbers a user's orders from 0 as they became known.
        length: orders kept.
    """
    blocks = orders.mutate(block=orders.number // length)
    entry = ibis.struct({"newest_first": -blocks.number, "item_id": blocks.item_id})
    blocks = blocks.group_by("user_id", "block").agg(entries=entry.collect())
    blocks = blocks.select("user_id", "block", items=blocks.entries.sort().map(lambda entry: entry.item_id))
    columns = moments.columns
    moments = moments.mutate(block=moments.orders_number // length)
    moments = moments.left_join(blocks, ["user_id", "block"])[[*moments.columns, "items"]]
    before = blocks.select("user_id", block=blocks.block + 1, items_before=blocks["items"])
    moments = moments.left_join(before, ["user_id", "block"])[[*moments.columns, "items_before"]]
    own = moments["items"]
    known = own[own.length() - (moments.orders_number % length + 1) :]
    of_both = known.concat(moments.items_before.fill_null(ibis.literal([], "array<string>")))
    newest = of_both[: ibis.least(moments.orders_in_history, length)]
    return moments.mutate(order_history=newest).select(*columns, "order_history")
