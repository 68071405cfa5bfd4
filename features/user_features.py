"""What a user did lately, after each moment at which something of theirs became known.

Linear in the log, and in that of one user: the rows of each kind (query, interaction, order) are numbered per user and
lie in blocks of as many as are looked at. A moment keeps only the number of the last one that it knows, and meets by an
equi-join the block of that one, which has the block before with it. A window that gave each row the list of the last
ones would hold all rows of a user as often as a list is long, and does not spill.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis

from features.order_history import order_history
from infra.contract.names import LONG, OVERFETCH, SHORT
from infra.contract.tables import USER_FEATURES
from infra.settings import FeatureSettings


def user_features(requests: Any, events: Any, catalog: Any, settings: FeatureSettings) -> Any:
    """One row per (user, moment), in the columns of ``USER_FEATURES``.

    A moment is a distinct ``known_at`` of the user's requests and events. Its row holds everything of the user with
    ``known_at`` at or before it and is stamped one microsecond later, so that a request never sees itself.

    Lists hold each value once, in the order in which the shop came to know of them, newest first (rows of one
    ``known_at``, as a late day brings them, by their own time), over the last ``history_days`` and at most
    ``OVERFETCH`` times the kept entries; ``ordered_tags`` are in the order of the alphabet. ``order_history`` is in the
    same order over the same days, with an entry per order. Counts are of log rows with
    ``moment - window <= known_at <= moment``.

    Args:
        requests: table in ``REQUESTS``.
        events: table in ``EVENTS``; clicks, carts and orders are all interactions with an item.
        catalog: table in ``CATALOG``, for brands and tags.
        settings: lengths of the lists and the horizon.
    """
    requests, events = requests.filter(requests.user_id.notnull()), events.filter(events.user_id.notnull())
    texts = requests.filter((requests["query"] != "").fill_null(False))
    items = catalog.select("item_id", "brand", "tags")
    interactions = events.left_join(items, "item_id").drop("item_id_right")
    orders = interactions.filter(interactions.action == "order")

    texts, interactions = _numbered(texts, texts.query_id), _numbered(interactions, interactions.event_id)
    orders = _numbered(orders, orders.event_id)
    queries = _entries(texts, {"value": "query"})
    touched = _entries(interactions, {"value": "item_id", "brand": "brand"})
    bought = _entries(orders, {"value": "item_id", "tags": "tags"})

    history = timedelta(days=settings.history_days)
    moments = _moments(requests, events, queries, touched, bought, history)
    kinds = ((queries, "queries", settings.recent_queries), (touched, "interactions", settings.recent_items))
    for rows, name, keep in (*kinds, (bought, "orders", settings.recent_orders)):
        moments = _with_last_entries(moments, rows, name, OVERFETCH * keep)
    moments = order_history(moments, orders, settings.order_history)

    horizon = moments.known_at - ibis.interval(history)
    lists = {
        "recent_queries": _newest(moments, "queries", "value", settings.recent_queries, horizon),
        "recent_items": _newest(moments, "interactions", "value", settings.recent_items, horizon),
        "recent_brands": _newest(moments, "interactions", "brand", settings.recent_items, horizon),
        "recent_orders": _newest(moments, "orders", "value", settings.recent_orders, horizon),
        "order_history": _or_empty(moments.order_history),
    }
    moments = moments.mutate(**lists)
    kept = moments.orders_entries.filter(lambda entry: moments.recent_orders.contains(entry.value))
    tags = kept.map(lambda entry: entry.tags).filter(lambda found: found.notnull()).flatten()
    stamp = moments.known_at + ibis.interval(microseconds=1)
    return moments.mutate(event_timestamp=stamp, created=stamp, ordered_tags=_or_empty(tags.unique().sort())).select(
        USER_FEATURES.names
    )


def _numbered(rows: Any, tie: Any) -> Any:
    """Number the rows of a user from 0 as they became known."""
    oldest_first = [rows.known_at, rows.time, tie]
    return rows.mutate(number=ibis.row_number().over(group_by=rows.user_id, order_by=oldest_first))


def _entries(rows: Any, fields: dict[str, str]) -> Any:
    """Numbered rows as ``user_id, known_at, number, entry``; the entry has ``fields`` by their names there."""
    chosen = {field: rows[column] for field, column in fields.items()}
    entry = ibis.struct({"newest_first": -rows.number, "known_at": rows.known_at, "number": rows.number, **chosen})
    return rows.select("user_id", "known_at", "number", entry=entry)


def _with_last_entries(moments: Any, rows: Any, name: str, length: int) -> Any:
    """``moments`` with ``{name}_entries``: the last ``length`` entries up to ``{name}_number``, newest first."""
    # a row lies in its own block and in the next one, which needs it as one of the block before
    both = ibis.union(*(rows.select("user_id", "entry", block=rows.number // length + later) for later in (0, 1)))
    blocks = both.group_by("user_id", "block").agg(found=both.entry.collect())
    blocks = blocks.select("user_id", "block", found=blocks.found.sort())
    columns = moments.columns
    moments = moments.mutate(block=moments[f"{name}_number"] // length)
    moments = moments.left_join(blocks, ["user_id", "block"])[[*moments.columns, "found"]]
    newer = moments.found[0].number - moments[f"{name}_number"]
    return moments.select(*columns, **{f"{name}_entries": moments.found[newer : newer + length]})


def _moments(requests: Any, events: Any, queries: Any, interactions: Any, orders: Any, history: timedelta) -> Any:
    """Distinct moments of each user: the last entry of each kind known by then, and the counts over windows."""
    numbers = ("queries_number", "interactions_number", "orders_number")
    counts = ("requests", "clicks", "orders")

    def piece(rows: Any, **given: Any) -> Any:
        absent = {name: ibis.null("int64") for name in numbers} | {name: ibis.literal(0, "int64") for name in counts}
        values = absent | {name: value.cast("int64") for name, value in given.items()}
        return rows.select("user_id", "known_at", **values)

    pieces = ibis.union(
        piece(requests, requests=ibis.literal(1)),
        piece(events, clicks=events.action == "click", orders=events.action == "order"),
        piece(queries, queries_number=queries.number),
        piece(interactions, interactions_number=interactions.number),
        piece(orders, orders_number=orders.number),
    )
    moments = pieces.group_by("user_id", "known_at").agg(
        **{name: pieces[name].max() for name in numbers}, **{name: pieces[name].sum() for name in counts}
    )
    until_now = ibis.window(group_by=moments.user_id, order_by=moments.known_at, preceding=None, following=0)

    def over(window: timedelta) -> Any:
        since = ibis.interval(window)
        return ibis.range_window(group_by=moments.user_id, order_by=moments.known_at, preceding=since, following=0)

    return moments.select(
        "user_id",
        "known_at",
        **{name: moments[name].max().over(until_now) for name in numbers},
        requests_7d=moments.requests.sum().over(over(SHORT)),
        clicks_7d=moments.clicks.sum().over(over(SHORT)),
        orders_30d=moments.orders.sum().over(over(LONG)),
        orders_in_history=moments.orders.sum().over(over(history)),
    )


def _newest(moments: Any, name: str, field: str, keep: int, horizon: Any) -> Any:
    """A field of the entries, newest first: each value at its newest place only, at most ``keep``; never null."""
    entries, newest = moments[f"{name}_entries"], moments[f"{name}_number"]
    values = entries.map(lambda entry: entry[field])
    # An entry lies as far from the head as its number is below the newest one's; ibis 12 cannot nest filters by index.
    kept = entries.filter(
        lambda entry: (
            (entry.known_at >= horizon) & entry[field].notnull() & (values.index(entry[field]) == newest - entry.number)
        )
    )
    return _or_empty(kept.map(lambda entry: entry[field])[:keep])


def _or_empty(values: Any) -> Any:
    return values.fill_null(ibis.literal([], "array<string>"))
