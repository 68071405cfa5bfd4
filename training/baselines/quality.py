"""How good an item is whoever asks: the factor of BM25 x quality."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Arrays
from training.data.scalars import QuantileTransform

FIGURES = ("order_rate", "rating")
UNKNOWN = 0.5
"""Quality of an item of which nothing is known: the middle, so that a new item is neither lifted nor sunk."""


def item_quality(arrays: Arrays, at: int) -> NDArray[np.float32]:
    """Quality in [0, 1] of each item as of ``at`` (microseconds since 1970), [items].

    The mean of the quantile levels of its smoothed order rate and its rating, of those that are known. BM25 x quality
    is ``bm25 * (1 + quality)``: a lexical engine with the boost that shops commonly give it. The papers have no such
    row; the formula is ours.
    """
    names = [name for name in FIGURES if name in arrays.meta["item_features"]]
    column = [list(arrays.meta["item_features"]).index(name) for name in names]
    raw = arrays.item_features(at)[:, column]
    levels = QuantileTransform.fit(raw, names).apply(raw)
    known = np.isfinite(levels)
    total = np.where(known, levels, 0).sum(axis=1)
    return np.where(known.any(axis=1), total / np.maximum(known.sum(axis=1), 1), UNKNOWN).astype(np.float32)
