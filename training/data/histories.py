"""What is known of users at their requests, as rows and buckets; of training and of serving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infra.contract.names import QUERY_NUMERIC
from training.data.ragged import Ragged, offsets_of


@dataclass(frozen=True)
class Histories:
    """What is known of the user at each of B requests, -1 pads: rows of distinct texts and items, token buckets of
    brands and tags."""

    queries: NDArray[np.int32]
    items: NDArray[np.int32]
    orders: NDArray[np.int32]
    brands: NDArray[np.int32]
    tags: NDArray[np.int32]
    order_history: Ragged
    """An entry per order, newest first."""

    def forget(self, rows: NDArray[np.bool_]) -> Histories:
        """The same with nothing known at ``rows`` [B]."""
        lists = (self.queries, self.items, self.orders, self.brands, self.tags)
        queries, items, orders, brands, tags = (np.where(rows[:, None], -1, h) for h in lists)
        return Histories(queries, items, orders, brands, tags, self.order_history.without(rows))


@dataclass(frozen=True)
class ChosenItems:
    """The distinct items that each of B users ordered or clicked, of what is remembered; ``items`` [B, n], -1 pads."""

    items: NDArray[np.int32]
    place: NDArray[np.float32]
    """From the newest, 0: among the orders where it was ordered, else among the clicks."""
    orders: NDArray[np.float32]
    clicks: NDArray[np.float32]
    """Whether it is among the recent clicks."""

    @classmethod
    def of(cls, histories: Histories) -> ChosenItems:
        """Each item of the order history and the recent clicks once."""
        ordered, clicked = histories.order_history, np.nonzero(histories.items >= 0)
        row = np.concatenate([ordered.rows_of_entries(), clicked[0]])
        item = np.concatenate([ordered.ids, histories.items[clicked]]).astype(np.int64)
        begins = np.repeat(ordered.offsets[:-1], ordered.lengths)
        place = np.concatenate([np.arange(len(ordered.ids)) - begins, clicked[1]])
        # orders come first, so that what is first met of an item is its newest order
        pair, first, entry = np.unique(row << 32 | item, return_index=True, return_inverse=True)
        is_order = np.arange(len(row)) < len(ordered.ids)
        orders = np.bincount(entry, weights=is_order, minlength=len(pair))
        clicks = np.bincount(entry, weights=~is_order, minlength=len(pair))
        chosen = Ragged(
            offsets_of(np.bincount(pair >> 32, minlength=len(ordered))), (pair & 0xFFFFFFFF).astype(np.int32)
        )
        return cls(chosen.padded(), *(_padded(chosen, values) for values in (place[first], orders, clicks)))


def of_query(names: Sequence[str]) -> NDArray[np.bool_]:
    """Which numeric features of a request are the query's, not the user's, [F]."""
    return np.array([name in QUERY_NUMERIC for name in names], dtype=np.bool_)


def _padded(rows: Ragged, values: NDArray[Any]) -> NDArray[np.float32]:
    """A figure of each entry of ``rows``, laid out as ``rows.padded()`` is."""
    out = np.zeros((len(rows), int(rows.lengths.max(initial=0))), dtype=np.float32)
    out[np.arange(out.shape[1]) < rows.lengths[:, None]] = values
    return out
