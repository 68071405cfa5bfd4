"""Random walk on the query-item graph: what those who asked this, or something close to it, went on to."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp  # type: ignore[import-untyped]
from numpy.typing import NDArray

from training.data.edges import Edges
from training.model.search import CHUNK_SCORES

I64 = NDArray[np.int64]


class RandomWalk:
    """Expected visits of items on walks query -> item -> query -> item.

    With W[q, i] the weight of the pair as of ``at``, A its rows and B its columns scaled to
    sum 1, a walk that starts at queries with the probabilities s visits items with ``s A + s A B^T A``. A query
    without an edge starts at those that have edges and share words with it, in proportion to the cosine of their
    idf-weighted word sets; without any, nothing is found. The papers name the baseline only: length, weights and
    fallback are ours.

    Args:
        edges: by item; their ``query`` numbers ``texts``.
        texts: the queries, [queries].
        at: microseconds since 1970; edges known then or later are not walked.
    """

    def __init__(self, edges: Edges, texts: pa.Array, at: int) -> None:
        items = len(edges.offsets) - 1
        early = np.asarray(edges.time < at)
        item = np.repeat(np.arange(items), np.diff(edges.offsets))[early]
        shape = (len(texts), items)
        weights = sp.csr_array((edges.weight[early].astype(np.float64), (edges.query[early], item)), shape=shape)
        self._to_items = _rows_to_one(weights)
        self._to_queries = _rows_to_one(weights.T.tocsr())
        self.has_edge: NDArray[np.bool_] = np.diff(weights.indptr) > 0
        self._words = _word_vectors(texts)
        self._known_words = _scaled(self._words, self.has_edge.astype(np.float64)).T.tocsr()

    def start(self, queries: I64) -> sp.csr_array:
        """Probabilities of the queries at which the walks of ``queries`` [n] start, [n, queries]."""
        known = self.has_edge[queries]
        itself = sp.csr_array(
            (np.ones(int(known.sum())), (np.flatnonzero(known), queries[known])), (len(queries), len(self.has_edge))
        )
        alike = _scaled(self._words[queries], (~known).astype(np.float64)) @ self._known_words
        return sp.csr_array(itself + _rows_to_one(sp.csr_array(alike)))

    def visits(self, queries: I64) -> sp.csr_array:
        """Expected visits of each item, [n, items]."""
        once = self.start(queries) @ self._to_items
        return sp.csr_array(once + once @ self._to_queries @ self._to_items)

    def search(self, queries: I64, k: int) -> I64:
        """The ``k`` items visited most, [n, k]; -1 where no walk leads."""
        import torch  # here: serving walks for one query at a time, by scipy

        items = self._to_items.shape[1]
        k, step = min(k, items), max(1, CHUNK_SCORES // max(items, 1))
        found = np.full((len(queries), k), -1, dtype=np.int64)
        for first in range(0, len(queries), step):
            scores = torch.from_numpy(self.visits(queries[first : first + step]).toarray())
            top = scores.topk(k, dim=1)
            found[first : first + step] = torch.where(top.values > 0, top.indices, -1).numpy()
        return found


def _rows_to_one(matrix: sp.csr_array) -> sp.csr_array:
    """Rows scaled to sum 1; an empty row stays empty."""
    total = np.asarray(matrix.sum(axis=1)).ravel()
    return _scaled(matrix, 1 / np.where(total > 0, total, 1))


def _scaled(matrix: sp.csr_array, factors: NDArray[np.float64]) -> sp.csr_array:
    """Each row times its factor."""
    return sp.csr_array(matrix.multiply(factors[:, None]))


def _word_vectors(texts: pa.Array) -> sp.csr_array:
    """Idf-weighted word sets as unit rows, [texts, words]."""
    words = pc.utf8_split_whitespace(pc.utf8_lower(pc.fill_null(texts.cast(pa.string()), "")))
    row, coded = pc.list_parent_indices(words).to_numpy(), pc.list_flatten(words).dictionary_encode()
    shape = (len(texts), len(coded.dictionary))
    counts = sp.csr_array((np.ones(len(row)), (row, coded.indices.to_numpy())), shape=shape)
    counts.data[:] = 1
    rarity = np.log1p(len(texts) / np.maximum(np.asarray(counts.sum(axis=0)).ravel(), 1))
    weighted = sp.csr_array(counts.multiply(rarity[None, :]))
    length = np.sqrt(np.asarray(weighted.multiply(weighted).sum(axis=1)).ravel())
    return _scaled(weighted, 1 / np.where(length > 0, length, 1))
