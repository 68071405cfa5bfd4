"""Reciprocal-rank fusion of rankings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
RRF_K = 60
"""The constant of Cormack, Clarke and Büttcher, SIGIR 2009."""


def reciprocal_rank_fusion(rankings: Sequence[I64], k: int, constant: int = RRF_K) -> I64:
    """The ``k`` items of highest ``sum over rankings of 1 / (constant + rank)``, rank from 1, [n, k].

    Ties go to the better single rank, then to the earlier ranking. Only what some ranking found is found.

    Args:
        rankings: items per row, best first, -1 for none, no item twice in a row, [n, k_r] each.
    """
    n, depth = len(rankings[0]), max(r.shape[1] for r in rankings)
    padded = [np.pad(r, ((0, 0), (0, depth - r.shape[1])), constant_values=-1) for r in rankings]
    # Rank by rank, so that an item's first place is its best single rank.
    items = np.stack(padded, axis=2).reshape(n, depth * len(rankings))
    gains = np.repeat(1 / (constant + 1 + np.arange(depth)), len(rankings))
    row, place = np.nonzero(items >= 0)
    keys = row * (int(items.max(initial=0)) + 1) + items[row, place]
    _, first, entry = np.unique(keys, return_index=True, return_inverse=True)
    total = np.bincount(entry, weights=gains[place], minlength=len(first))
    order = np.lexsort((first, -total, row[first]))
    in_row = row[first][order]
    starts = np.searchsorted(in_row, np.arange(n))
    rank = np.arange(len(order)) - starts[in_row]
    kept = rank < k
    out = np.full((n, k), -1, dtype=np.int64)
    out[in_row[kept], rank[kept]] = items[row, place][first][order][kept]
    return out
