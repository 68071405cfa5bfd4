"""Popularity among what the words of a query match: of a place its most booked hotels, of "red shoes" red shoes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.baselines.available import search_distinct
from training.baselines.popularity import popularity_ranking
from training.data.arrays import Arrays
from training.ranking.bm25 import Bm25, catalog_text

I64 = NDArray[np.int64]
LEAST_SHARE = 0.8
"""An item matches a query with at least this share of the query's highest BM25 score. With any word in common, a
country's name would match all its places. Ours; no paper has this row."""


def popular_within_matches(arrays: Arrays, requests: I64, k: int, *, index: Bm25 | None = None) -> I64:
    """The items ordered most in the train window, clicks breaking ties, among those that BM25 matches, [n, k].

    Only such as existed at each request's time; -1 where there are no more.

    Args:
        index: over all text of the catalogue of ``arrays`` (default: made here).
    """
    index = index or Bm25.of_items(catalog_text(arrays.catalog()))
    texts, worth = arrays.query_texts(), np.empty(arrays.items, dtype=np.float32)
    worth[popularity_ranking(arrays)] = np.arange(arrays.items, 0, -1)

    def search(queries: I64, depth: int) -> I64:
        return index.best_matching(texts.take(pa.array(queries)).to_pylist(), depth, worth, LEAST_SHARE)

    return search_distinct(search, arrays, requests, k)
