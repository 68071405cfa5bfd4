"""The random walk on the query-item graph as a ranking of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.baselines.available import search_distinct
from training.data.arrays import Arrays
from training.ranking.random_walk import RandomWalk

I64 = NDArray[np.int64]


def random_walk_top(arrays: Arrays, requests: I64, k: int, walk: RandomWalk | None = None) -> I64:
    """The items that walks over the edges of before the cut visit most, [n, k]; ``walk``: default, made here."""
    walk = walk or RandomWalk(arrays.edges, arrays.query_texts(), arrays.cut)
    return search_distinct(walk.search, arrays, requests, k)
