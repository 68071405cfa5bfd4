"""Indexes over today's items: those of a release, which was indexed as it was, and what changed since."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from serving.filters import Filter
from serving.index.found import Found, VectorIndex, best_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from serving.fields import Field
    from serving.index.memory import MemoryIndex

MOST_LOST = 1_000
"""Items that are asked for beyond the wanted ones, for those that match no more; where there may be more, memory
searches: a server gives at most 16,384."""


class JoinedIndex:
    """A release's items in an index of memory and new ones in another, row after row; filters hold in both.

    Args:
        items: of the first.
    """

    def __init__(self, own: MemoryIndex, new: MemoryIndex, items: int) -> None:
        self._own, self._new, self._items = own, new, items

    def search(self, queries: NDArray[np.float32], k: int, wanted: Filter, timeout_s: float | None = None) -> Found:
        """See :class:`serving.index.found.VectorIndex`."""
        own, new = (index.search(queries, k, wanted, timeout_s) for index in (self._own, self._new))
        return _merged(own, Found(new.rows + self._items, new.scores), k)


class CorrectedIndex:
    """An index in another process, which has the items as they were: its answer without what matches no more, and with
    what matches now and did not, or is new, by exact search in memory. As right as the index itself.

    Args:
        own: the index; before: the same items in memory, with the filter columns that it has; fields: of those;
        now: today's items in memory, the new ones last; items: those of the index.
    """

    def __init__(
        self, own: VectorIndex, before: MemoryIndex, fields: Mapping[str, Field], now: MemoryIndex, items: int
    ) -> None:
        self._own, self._before, self._fields = own, before, fields
        self._now, self._items = now, items

    def search(self, queries: NDArray[np.float32], k: int, wanted: Filter, timeout_s: float | None = None) -> Found:
        """See :class:`serving.index.found.VectorIndex`."""
        if any(clause.field.name not in self._fields for clause in wanted.clauses):
            return self._now.search(queries, k, wanted)  # a field that no item had
        then = Filter(tuple(replace(c, field=self._fields[c.field.name]) for c in wanted.clauses))
        was, match = self._before.mask(then), self._now.mask(wanted)
        if match is None:
            match = np.ones(self._now.count(wanted), dtype=np.bool_)
        matched = np.zeros(len(match), dtype=np.bool_)
        matched[: self._items] = True if was is None else was
        lost = matched & ~match
        if lost.sum() > MOST_LOST:
            return self._now.search(queries, k, wanted)
        found = self._own.search(queries, min(k + int(lost.sum()), self._items), then, timeout_s)
        gone = lost[found.rows]
        kept = Found(np.where(gone, -1, found.rows), np.where(gone, -np.inf, found.scores))
        gained = self._now.search_rows(queries, k, np.flatnonzero(match & ~matched))
        return _merged(kept, gained, min(k, int(match.sum())))


def _merged(one: Found, other: Found, k: int) -> Found:
    """The best k of both, in order."""
    rows = np.concatenate([one.rows, other.rows], axis=1)
    scores = np.concatenate([one.scores, other.scores], axis=1).astype(np.float32)
    return best_of(rows, scores, min(k, rows.shape[1]))
