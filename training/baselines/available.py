"""Only items that existed when a request was made."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Arrays

I64 = NDArray[np.int64]
Search = Callable[[I64, int], I64]
"""Query numbers [n] and a depth k to items [n, k], best first, -1 for none."""


def late_items(arrays: Arrays, requests: I64) -> int:
    """Items that came after the first of ``requests``: a search that does not know of time has to go so much deeper."""
    return int((arrays.item_available > arrays.request_time[requests].min()).sum())


def search_distinct(search: Search, arrays: Arrays, requests: I64, k: int) -> I64:
    """The best ``k`` items that existed at each request's time, [n, k]; each distinct query is searched once."""
    queries, row = np.unique(arrays.request_query[requests], return_inverse=True)
    found = search(queries.astype(np.int64), k + late_items(arrays, requests))
    return available_first(found[row], arrays, requests, k)


def available_first(found: I64, arrays: Arrays, requests: I64, k: int) -> I64:
    """The first ``k`` of each row that exist at the request's time, the rest -1."""
    exists = (found >= 0) & (arrays.item_available[found] <= arrays.request_time[requests][:, None])
    order = np.argsort(~exists, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(exists, order, 1), np.take_along_axis(found, order, 1), -1)
