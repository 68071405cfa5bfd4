"""What the towers are measured against, on the same rows: BM25 and popularity."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.arrays import Arrays

I64 = NDArray[np.int64]


def catalog_text(catalog: pa.Table) -> list[str]:
    """All text that a catalogue has per item: title, category, brand, attributes' values, tags, description."""
    parts = []
    for name in ("title", "category_path", "brand", "attributes", "tags", "description"):
        if name not in catalog.column_names:
            continue
        column = catalog[name].combine_chunks()
        if name == "attributes":
            column = pa.ListArray.from_arrays(column.offsets, column.values.field("value"), mask=column.is_null())
        if pa.types.is_list(column.type):
            column = pc.binary_join(column.cast(pa.list_(pa.string())), " ")
        parts.append(pc.fill_null(column.cast(pa.string()), ""))
    return list(pc.binary_join_element_wise(*parts, " ").to_pylist()) if parts else [""] * len(catalog)


class Bm25:
    """BM25 by bm25s over all text of a catalogue, English stop words left out."""

    def __init__(self, texts: list[str]) -> None:
        import bm25s

        self._engine = bm25s
        self._index = bm25s.BM25()
        tokens = bm25s.tokenize(texts, stopwords="en", show_progress=False)
        self.is_empty = len(tokens.vocab) <= 1
        if not self.is_empty:
            self._index.index(tokens, show_progress=False)
        self._size = len(texts)

    def search(self, queries: list[str], k: int) -> tuple[I64, NDArray[np.float32]]:
        """The best ``k`` items per query [n, k] and their scores; -1 where no word matches."""
        k = min(k, self._size)
        if self.is_empty or not queries:
            return np.full((len(queries), k), -1), np.full((len(queries), k), -np.inf, dtype=np.float32)
        tokens = self._engine.tokenize(queries, stopwords="en", show_progress=False)
        found, scores = self._index.retrieve(tokens, k=k, show_progress=False)
        return np.where(scores > 0, found, -1).astype(np.int64), np.where(scores > 0, scores, -np.inf)


def bm25_top(arrays: Arrays, requests: I64, k: int) -> I64:
    """BM25's best items for requests, [n, k]; each distinct query is searched once."""
    late_items = int((arrays.item_available > arrays.request_time[requests].min()).sum())
    distinct, row = np.unique(arrays.request_query[requests], return_inverse=True)
    queries = arrays.query_texts().take(pa.array(distinct)).to_pylist()
    found, _ = Bm25(catalog_text(arrays.catalog())).search(queries, k + late_items)
    return available_first(found[row], arrays, requests, k)


def popular_top(arrays: Arrays, requests: I64, k: int) -> I64:
    """The items ordered most in the train window, clicks breaking ties, that exist at each request's time, [n, k]."""
    train = np.flatnonzero(~arrays.is_validation)
    orders, clicks = (
        np.bincount(stage.take(train).ids, minlength=arrays.items) for stage in (arrays.ordered, arrays.clicked)
    )
    late_items = int((arrays.item_available > arrays.request_time[requests].min()).sum())
    ranking = np.lexsort((np.arange(arrays.items), -clicks, -orders))[: k + late_items]
    return available_first(np.broadcast_to(ranking, (len(requests), len(ranking))), arrays, requests, k)


def available_first(found: I64, arrays: Arrays, requests: I64, k: int) -> I64:
    """The first ``k`` of each row that exist at the request's time, the rest -1."""
    exists = (found >= 0) & (arrays.item_available[found] <= arrays.request_time[requests][:, None])
    order = np.argsort(~exists, axis=1, kind="stable")[:, :k]
    return np.where(np.take_along_axis(exists, order, 1), np.take_along_axis(found, order, 1), -1)
