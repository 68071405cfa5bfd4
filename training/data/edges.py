"""The query-item graph in time: which queries led to an item, how far, and when that became known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.data.ragged import Ragged, offsets_of

I64 = NDArray[np.int64]
MILLISECOND = 1_000
"""Times are compared in milliseconds, an edge's rounded up and a row's down: an edge is never seen too early."""


@dataclass(frozen=True)
class Edges:
    """What pairs (query, item) gained in weight, by item, then by time. Row ``i`` is ``[offsets[i], offsets[i + 1])``.

    ``query`` int32, ``time`` int64 (microseconds since 1970 at which it was known), ``weight`` float32, above 0: what a
    deeper stage added. Summed up to a time they are a pair's weight as of it; see :mod:`training.data.edge_builder`.
    """

    offsets: I64
    query: NDArray[np.int32]
    time: I64
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.query)

    @cached_property
    def _start(self) -> int:
        return int(self.time.min()) // MILLISECOND if len(self) else 0

    @cached_property
    def _span(self) -> int:
        return int(self.time.max()) // MILLISECOND - self._start + 3 if len(self) else 3

    @cached_property
    def _keys(self) -> I64:
        """Item and time in one ascending number."""
        since = -(-self.time // MILLISECOND) - self._start
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets)) * self._span + since

    @cached_property
    def _cumulative(self) -> NDArray[np.float64]:
        return np.concatenate([[0.0], np.cumsum(self.weight, dtype=np.float64)])

    def known(self, items: I64, before: I64) -> I64:
        """The end of each item's edges that were known strictly before a time, [n]: they are
        ``[offsets[item], end)``.

        Args:
            items: [n]; before: microseconds since 1970, [n].
        """
        since = np.clip(before // MILLISECOND - self._start, 0, self._span - 1)
        return np.maximum(np.searchsorted(self._keys, items * self._span + since), self.offsets[items])

    def sample(self, items: I64, before: I64, left_out: I64, count: int, rng: np.random.Generator) -> I64:
        """Neighbour queries of items as of a time, drawn by weight and with repeats, [n, count]; -1 is none.

        Args:
            items: [n]; before: see :meth:`known`; left_out: the query that an item must not learn from, [n].
        """
        if len(self) == 0:
            return np.full((len(items), count), -1)
        start, end = self.offsets[items], self.known(items, before)
        low, high = self._cumulative[start], self._cumulative[end]
        drawn = low[:, None] + rng.random((len(items), count)) * (high - low)[:, None]
        last = np.maximum(end - 1, start)[:, None]
        places = np.clip(np.searchsorted(self._cumulative, drawn, side="right") - 1, start[:, None], last)
        queries = self.query[np.minimum(places, len(self) - 1)].astype(np.int64)
        return np.where((end == start)[:, None] | (queries == left_out[:, None]), -1, queries)

    def heaviest(self, at: int, kept: int) -> tuple[Ragged, NDArray[np.float32]]:
        """Per item its ``kept`` heaviest neighbour queries as of ``at``, best first, and their summed weights."""
        items = len(self.offsets) - 1
        row = np.repeat(np.arange(items), np.diff(self.offsets))
        early = self.time < at
        pair, place = np.unique(row[early] << 32 | self.query[early], return_inverse=True)
        item, query = pair >> 32, pair & 0xFFFFFFFF
        weight = np.bincount(place, weights=self.weight[early], minlength=len(pair))
        order = np.lexsort((query, -weight, item))
        lengths = np.bincount(item, minlength=items)
        rank = np.arange(len(pair)) - np.repeat(offsets_of(lengths)[:-1], lengths)
        chosen = order[rank < kept]
        counts = np.minimum(lengths, kept)
        return Ragged(offsets_of(counts), query[chosen].astype(np.int32)), weight[chosen].astype(np.float32)
