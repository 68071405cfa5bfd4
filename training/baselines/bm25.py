"""BM25 over the catalogue's text, alone or times the quality of items."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from training.baselines.available import search_distinct
from training.data.arrays import Arrays
from training.model.search import CHUNK_SCORES

I64 = NDArray[np.int64]
TEXT_FIELDS = ("title", "category_path", "brand", "attributes", "tags", "description")


def catalog_text(catalog: pa.Table, fields: tuple[str, ...] = TEXT_FIELDS) -> list[str]:
    """The text of each item: of attributes their values; a field that the catalogue lacks adds nothing."""
    parts = []
    for name in fields:
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
    """BM25 by bm25s over the texts of items, English stop words left out."""

    def __init__(self, texts: list[str]) -> None:
        import bm25s

        self._engine: Any = bm25s
        self._index = bm25s.BM25()
        tokens = bm25s.tokenize(texts, stopwords="en", show_progress=False)
        self.is_empty = len(tokens.vocab) <= 1
        if not self.is_empty:
            self._index.index(tokens, show_progress=False)
        self._size = len(texts)

    def search(
        self, queries: list[str], k: int, factor: NDArray[np.float32] | None = None
    ) -> tuple[I64, NDArray[np.float32]]:
        """The best ``k`` items per query [n, k] and their scores; -1 where no word matches.

        ``factor``: what each item's score is multiplied by, above 0, [items].
        """
        k, step = min(k, self._size), max(1, CHUNK_SCORES // max(self._size, 1))
        found = np.full((len(queries), k), -1)
        best = np.full((len(queries), k), -np.inf, dtype=np.float32)
        if self.is_empty:
            return found, best
        for start in range(0, len(queries), step):
            # bm25s' own choice of the best is twenty times slower where most scores are 0.
            scores = torch.from_numpy(self._scores(queries[start : start + step], factor))
            top = scores.masked_fill_(scores <= 0, -torch.inf).topk(k, dim=1)
            best[start : start + step] = top.values.numpy()
            found[start : start + step] = torch.where(top.values > 0, top.indices, -1).numpy()
        return found, best

    def best_matching(self, queries: list[str], k: int, worth: NDArray[np.float32], least_share: float) -> I64:
        """The ``k`` items worth most among those that match, [n, k], -1 where there are no more.

        Args:
            worth: of each item, above 0, [items]; least_share: of the query's highest score, to match.
        """
        k, step = min(k, self._size), max(1, CHUNK_SCORES // max(self._size, 1))
        found = np.full((len(queries), k), -1)
        if self.is_empty:
            return found
        values = torch.from_numpy(worth)
        for start in range(0, len(queries), step):
            scores = torch.from_numpy(self._scores(queries[start : start + step], None))
            matches = (scores > 0) & (scores >= least_share * scores.amax(dim=1, keepdim=True))
            top = values.where(matches, 0).topk(k, dim=1)
            found[start : start + step] = torch.where(top.values > 0, top.indices, -1).numpy()
        return found

    def _scores(self, queries: list[str], factor: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """Scores of all items, [n, items]."""
        tokens = self._engine.tokenize(queries, stopwords="en", return_ids=False, show_progress=False)
        nothing = np.zeros(self._size, dtype=np.float32)
        return np.stack([self._index.get_scores(words, factor) if words else nothing for words in tokens])


def bm25_top(
    arrays: Arrays, requests: I64, k: int, *, index: Bm25 | None = None, factor: NDArray[np.float32] | None = None
) -> I64:
    """BM25's best items for requests that existed at their time, [n, k].

    Args:
        index: over all text of the catalogue of ``arrays`` (default: made here);
        factor: multiplies an item's score, for BM25 x quality ``1 + item_quality(arrays, at)``.
    """
    index = index or Bm25(catalog_text(arrays.catalog()))
    texts = arrays.query_texts()

    def search(queries: I64, depth: int) -> I64:
        return index.search(texts.take(pa.array(queries)).to_pylist(), depth, factor)[0]

    return search_distinct(search, arrays, requests, k)
