"""The features of a user's last batch row and of what they did since, as the batch path will compute them.

Batch features are as of a moment: the last at which something of the user became known. With new events, that is the
time of the newest. What is new is known event by event; of what is old there are only lists and counts, each as of the
row's moment, so that nobody can tell which of it has become too old since.

Exact: all features of a user without a row, or with one whose windows and history end before the new moment; the order
of lists and everything that is new in them; and all features where nothing of the row slid out. Otherwise, until the
next batch:

- counts are too high by the old events that slid out of the window between the row's moment and the new one;
- lists may hold values at their end that the batch path leaves out: older than ``history_days``, or beyond the
  ``OVERFETCH`` times the kept entries that it looks at, which a user reaches who repeats himself (the latter not in
  ``order_history``, where an entry is an order);
- ``ordered_tags`` keeps the tags of orders that newer ones pushed off ``recent_orders``, while an old one is on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import chain

from features.store.session import MICROSECOND, Entry
from features.store.values import UserFeatures
from infra.contract.names import LONG, OVERFETCH, SHORT
from infra.settings import FeatureSettings

NO_FEATURES = UserFeatures()


def merged(row: UserFeatures, stamp_us: int, entries: Sequence[Entry], settings: FeatureSettings) -> UserFeatures:
    """The features as of the newest of ``entries``; one that no event changes keeps the row's value.

    Args:
        row: the batch row, whatever its age; ``NO_FEATURES`` where there is none.
        stamp_us: its event time, one microsecond after its moment; 0 where there is none.
        entries: what the batch row does not know, oldest first, at least one.
        settings: lengths of the lists and the horizon.
    """
    moment = entries[-1].time_us
    horizon = moment - timedelta(days=settings.history_days) // MICROSECOND

    def known_since(begin: int) -> bool:
        return stamp_us - 1 >= begin

    old = row if known_since(horizon) else NO_FEATURES
    newest = entries[::-1]
    searches = [e for e in newest if e.action == "search"]
    texts = [e for e in searches if e.value]
    touched = [e for e in newest if e.action != "search"]
    orders = [e for e in touched if e.action == "order"]

    def joined(rows: Sequence[Entry], field: str, before: tuple[str, ...], keep: int) -> tuple[str, ...]:
        looked_at = OVERFETCH * keep
        new = (getattr(e, field) for e in rows[:looked_at] if e.time_us >= horizon)
        # Each value of the row stands for at least one event of the old ones that are looked at.
        values = chain(new, before[: max(0, looked_at - len(rows))])
        return tuple(value for value in dict.fromkeys(values) if value is not None)[:keep]

    def every(rows: Sequence[Entry], before: tuple[str, ...], keep: int) -> tuple[str, ...]:
        return (*(e.value for e in rows[:keep] if e.time_us >= horizon), *before)[:keep]

    def counted(rows: Sequence[Entry], before: int, window: int) -> int:
        begin = moment - window
        return sum(e.time_us >= begin for e in rows) + (before if known_since(begin) else 0)

    recent_orders = joined(orders, "value", old.recent_orders, settings.recent_orders)
    return replace(
        row,
        recent_queries=joined(texts, "value", old.recent_queries, settings.recent_queries),
        recent_items=joined(touched, "value", old.recent_items, settings.recent_items),
        recent_brands=joined(touched, "brand", old.recent_brands, settings.recent_items),
        recent_orders=recent_orders,
        order_history=every(orders, old.order_history, settings.order_history),
        ordered_tags=_tags(orders[: OVERFETCH * settings.recent_orders], recent_orders, old),
        requests_7d=counted(searches, row.requests_7d, SHORT // MICROSECOND),
        clicks_7d=counted([e for e in touched if e.action == "click"], row.clicks_7d, SHORT // MICROSECOND),
        orders_30d=counted(orders, row.orders_30d, LONG // MICROSECOND),
    )


def _tags(orders: Sequence[Entry], kept: Sequence[str], old: UserFeatures) -> tuple[str, ...]:
    """Tags of the kept orders in the order of the alphabet; the row says which tags it has, not of which order."""
    new = {e.value: e.tags for e in orders if e.value in kept}
    still = set(kept) - new.keys()
    return tuple(sorted({tag for tags in new.values() for tag in tags}.union(old.ordered_tags if still else ())))
