"""Popularity: the same items for everybody."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.baselines.available import available_first, late_items
from training.data.arrays import Arrays

I64 = NDArray[np.int64]


def popular_top(arrays: Arrays, requests: I64, k: int) -> I64:
    """The items ordered most in the train window, clicks breaking ties, that exist at each request's time, [n, k]."""
    ranking = popularity_ranking(arrays)[: k + late_items(arrays, requests)]
    return available_first(np.broadcast_to(ranking, (len(requests), len(ranking))), arrays, requests, k)


def popularity_ranking(arrays: Arrays) -> I64:
    """All items, the most ordered in the train window first, clicks breaking ties, [items]."""
    train = np.flatnonzero(~arrays.is_validation)
    orders, clicks = (
        np.bincount(stage.take(train).ids, minlength=arrays.items) for stage in (arrays.ordered, arrays.clicked)
    )
    ranking: I64 = np.lexsort((np.arange(arrays.items), -clicks, -orders))
    return ranking
