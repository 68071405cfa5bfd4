"""Items that are asked for by their own number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from infra.contract.query_text import normalise

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
LONG = 5
"""Characters from which on an id is a word or a number for nothing else."""


class ItemNumbers:
    """Which item a query names by its id, however it is written."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._row_of = {normalise(item): row for row, item in enumerate(ids)}

    def with_items(self, ids: Sequence[str], first: int) -> ItemNumbers:
        """The same with further items, whose rows begin at ``first``."""
        other = ItemNumbers(())
        other._row_of = self._row_of | {normalise(item): row for row, item in enumerate(ids, start=first)}
        return other

    def named(self, texts: Sequence[str], known: NDArray[np.bool_]) -> I64:
        """The item that each normalised query names, -1 for none, [n].

        A known query of fewer than ``LONG`` characters names none: what it led to before says better what is meant by
        ``501``.
        """
        rows = np.array([self._row_of.get(text, -1) for text in texts], dtype=np.int64)
        is_long = np.array([len(text) >= LONG for text in texts], dtype=np.bool_)
        return np.where(known & ~is_long, -1, rows)


def named_first(items: I64, scores: F32, named: int, k: int) -> tuple[I64, F32]:
    """Hits [<= k] with the item ``named`` before all others, one higher than the best of them."""
    others = items != named
    best = scores[others].max(initial=0)
    return (
        np.concatenate([[named], items[others]])[:k],
        np.concatenate([[best + 1], scores[others]]).astype(np.float32)[:k],
    )
