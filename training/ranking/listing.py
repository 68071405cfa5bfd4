"""What is listed where nothing is searched for, on the page of a category or the first one: popular, and the user's.

Score = popularity + the sum of what the user did with the item, its brand and its category
(:func:`training.ranking.features.user_features`). No weights are learned: those of the ranker, which belong to
searches, listed no better.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.ranking.candidates import SOURCES, Pairs
from training.ranking.features import ItemColumns, user_features

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
MOST_POPULAR = 1_000
"""Items that are looked at besides the user's own."""
ORDER_WORTH = 3.0
"""An order counts as so many clicks."""


class History(NamedTuple):
    """Rows of items of one user, newest first, -1 for an item that is not known."""

    recent_items: NDArray[np.int32]
    """Met lately, [c]."""
    order_history: NDArray[np.int32]
    """Ordered, an entry per order, [h]."""


class Listing:
    """Orders items without a query. Read-only, so threads may share it.

    Args:
        catalog: the item table of a release; items: what the second stage reads of the same items.
    """

    def __init__(self, catalog: pa.Table, items: ItemColumns) -> None:
        self._items = items
        self.popularity = popularity(catalog)
        """In [0, 1], [items]."""
        self._by_popularity = np.argsort(-self.popularity, kind="stable")

    def order(self, user: History, k: int, allowed: NDArray[np.bool_] | None) -> tuple[I64, F32]:
        """Rows and scores of the best ``k`` items; of equal ones the more popular first.

        Args:
            allowed: which items match the filter, [items]; None: all.
        """
        popular = self._by_popularity if allowed is None else self._by_popularity[allowed[self._by_popularity]]
        looked_at = popular[: max(k, MOST_POPULAR)]
        own = np.unique(np.concatenate([user.recent_items, user.order_history])).astype(np.int64)
        own = own[(own >= 0) & ~np.isin(own, looked_at)]
        own = own if allowed is None else own[allowed[own]]
        rows = np.concatenate([looked_at, own])
        scores = self.popularity[rows] + self.of_user(user, rows)
        best = np.argsort(-scores, kind="stable")[:k]
        return rows[best], scores[best].astype(np.float32)

    def of_user(self, user: History, rows: I64) -> F32:
        """What the user adds to the score of the items at ``rows``, [n]."""
        pairs = Pairs(np.zeros(len(rows), dtype=np.int64), rows, np.zeros((len(rows), len(SOURCES)), dtype=np.int32))
        features = user_features(pairs, user.recent_items[None], user.order_history[None], self._items)
        return np.asarray(np.sum(list(features.values()), axis=0), dtype=np.float32)


def popularity(catalog: pa.Table) -> F32:
    """How often each item was clicked and ordered lately, on a scale of logarithms from 0 to 1, [items]; of a catalogue
    that nobody clicked in, how often it was rated."""
    clicks, orders, ratings = (_counts(catalog, name) for name in ("clicks_30d", "orders_30d", "rating_count"))
    counts = clicks + ORDER_WORTH * orders
    values = np.log1p(counts if counts.any() else ratings)
    return np.asarray(values / max(values.max(initial=0), 1e-9), dtype=np.float32)


def _counts(catalog: pa.Table, name: str) -> NDArray[np.float64]:
    if name not in catalog.column_names:
        return np.zeros(len(catalog))
    column = pc.fill_null(catalog[name].combine_chunks().cast(pa.float64()), 0.0)
    return np.asarray(np.nan_to_num(np.maximum(column.to_numpy(zero_copy_only=False), 0)))
