"""Exact search over all items, and recall of what was found."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.ragged import Ragged

CHUNK_SCORES = 1 << 24
"""Scores held at once."""


def exact_top(
    queries: NDArray[np.float32],
    items: NDArray[np.float32],
    k: int,
    asked_at: NDArray[np.int64] | None = None,
    available_from: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The ``k`` items of highest dot product per query, best first: items [n, k] and scores [n, k].

    With ``asked_at`` [n] and ``available_from`` [items] only items that existed at the query's time are found; where
    fewer than ``k`` did, the rest is item -1 and score -inf.
    """
    import torch  # here: serving reads the figure above alone

    k = min(k, len(items))
    step = max(1, CHUNK_SCORES // max(len(items), 1))
    table = torch.from_numpy(items).T.contiguous()
    found = np.empty((len(queries), k), dtype=np.int64)
    scores = np.empty((len(queries), k), dtype=np.float32)
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        product = torch.from_numpy(queries[rows]) @ table
        if asked_at is not None and available_from is not None:
            late = available_from > asked_at[rows][:, None]
            product.masked_fill_(torch.from_numpy(late), -torch.inf)
        top = product.topk(k, dim=1)
        scores[rows] = top.values.numpy()
        found[rows] = np.where(np.isneginf(scores[rows]), -1, top.indices.numpy())
    return found, scores


def recall(found: NDArray[np.int64], wanted: Ragged, k: int) -> NDArray[np.float64]:
    """Share of each row's wanted items within its first ``k`` found, [n]; NaN where nothing was wanted."""
    rows = wanted.rows_of_entries()
    hit = (found[rows, :k] == wanted.ids[:, None]).any(axis=1)
    with np.errstate(invalid="ignore"):
        return np.bincount(rows, weights=hit, minlength=len(wanted)) / wanted.lengths
