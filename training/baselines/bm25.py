"""BM25 over the catalogue's text, alone or times the quality of items."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from training.baselines.available import search_distinct
from training.data.arrays import Arrays
from training.ranking.bm25 import Bm25, catalog_text

I64 = NDArray[np.int64]


def bm25_top(
    arrays: Arrays, requests: I64, k: int, *, index: Bm25 | None = None, factor: NDArray[np.float32] | None = None
) -> I64:
    """BM25's best items for requests that existed at their time, [n, k].

    Args:
        index: over all text of the catalogue of ``arrays`` (default: made here);
        factor: multiplies an item's score, for BM25 x quality ``1 + item_quality(arrays, at)``.
    """
    index = index or Bm25.of_items(catalog_text(arrays.catalog()))
    texts = arrays.query_texts()

    def search(queries: I64, depth: int) -> I64:
        return index.search(texts.take(pa.array(queries)).to_pylist(), depth, factor)[0]

    return search_distinct(search, arrays, requests, k)
