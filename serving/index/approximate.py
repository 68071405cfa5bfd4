"""FAISS indexes that are faster than exact search and may miss some: HNSW, IVF, 4-bit PQ fast-scan with re-rank.

All rank by inner product. A search may come back short (row -1): :class:`serving.index.memory.MemoryIndex` then looks
at each row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import faiss
import numpy as np
from numpy.typing import NDArray

from serving.index.found import Found, best_of, in_order
from serving.index.kinds import EF_CONSTRUCTION, RERANK, IndexChoice

if TYPE_CHECKING:
    from collections.abc import Callable

    from serving.index.kept import KeptIndex

Floats = NDArray[np.float32]

POINTS_PER_LIST = 39
"""FAISS's least number of points per k-means centroid."""
PQ_BITS = 4
LEAST_CANDIDATES = 500
"""Re-ranked where little is wanted: codes tell the best hundred from the rest, not the best from the second."""


@dataclass(frozen=True)
class Matching:
    """The rows that a filter leaves: ascending [m], as a mask [items], and as a bitmap for FAISS's selectors."""

    rows: NDArray[np.int64]
    mask: NDArray[np.bool_]
    bits: NDArray[np.uint8]

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> Matching:
        return cls(np.flatnonzero(mask), mask, np.packbits(mask, bitorder="little"))

    @property
    def spread(self) -> float:
        """How many rows there are per matching one."""
        return len(self.mask) / max(len(self.rows), 1)


class Approximate(Protocol):
    """An index over all rows of a release."""

    index: Any
    """The FAISS index itself."""
    choice: IndexChoice
    """Type and parameters; those of the search may be changed."""

    def search(self, queries: Floats, k: int, matching: Matching | None) -> Found:
        """As :meth:`serving.index.found.VectorIndex.search`, but may miss rows."""
        ...


class Hnsw:
    """A graph of near neighbours."""

    def __init__(self, vectors: Floats, choice: IndexChoice, kept: KeptIndex | None = None) -> None:
        self.choice = choice

        def build() -> Any:
            index = faiss.IndexHNSWFlat(vectors.shape[1], int(choice.params["m"]), faiss.METRIC_INNER_PRODUCT)
            index.hnsw.efConstruction = EF_CONSTRUCTION
            index.add(vectors)
            return index

        self.index = _kept_or_built(kept, choice, len(vectors), vectors.shape[1], build)

    def search(self, queries: Floats, k: int, matching: Matching | None) -> Found:
        """See :class:`Approximate`."""
        ef = self.choice.ef(k)
        if matching is None:
            return _searched(self.index, queries, k, faiss.SearchParametersHNSW(efSearch=ef))
        # The candidates are matching and other rows alike: only one of `spread` of them can become a hit.
        ef = int(ef * matching.spread)
        selector = faiss.IDSelectorBitmap(matching.bits)
        return _searched(self.index, queries, k, faiss.SearchParametersHNSW(sel=selector, efSearch=ef))


class Ivf:
    """Lists around k-means centroids, of which a search reads the nearest."""

    def __init__(self, vectors: Floats, choice: IndexChoice, kept: KeptIndex | None = None) -> None:
        lists = max(1, min(int(choice.params["nlist"]), len(vectors) // POINTS_PER_LIST))
        self.choice = choice
        self._lists = lists

        def build() -> Any:
            index = faiss.index_factory(vectors.shape[1], f"IVF{lists},Flat", faiss.METRIC_INNER_PRODUCT)
            index.train(vectors)
            index.add(vectors)
            return index

        self.index = _kept_or_built(kept, choice, len(vectors), vectors.shape[1], build)

    def search(self, queries: Floats, k: int, matching: Matching | None) -> Found:
        """See :class:`Approximate`."""
        probed = max(1, int(self.choice.params["nprobe"]))
        if matching is None:
            return _searched(self.index, queries, k, faiss.SearchParametersIVF(nprobe=min(probed, self._lists)))
        probed = min(int(np.ceil(probed * matching.spread)), self._lists)
        selector = faiss.IDSelectorBitmap(matching.bits)
        return _searched(self.index, queries, k, faiss.SearchParametersIVF(sel=selector, nprobe=probed))


class PqFastScan:
    """4-bit product quantization, scanned in registers; the best 5 * k are ranked again by the vectors themselves."""

    def __init__(self, vectors: Floats, choice: IndexChoice, kept: KeptIndex | None = None) -> None:
        per_code = int(choice.params["dims_per_code"])
        self.choice = choice
        self._vectors = vectors
        self._padding = -vectors.shape[1] % per_code
        width = vectors.shape[1] + self._padding

        def build() -> Any:
            padded = self._padded(vectors)
            index = faiss.IndexPQFastScan(width, width // per_code, PQ_BITS, faiss.METRIC_INNER_PRODUCT)
            index.train(padded)
            index.add(padded)
            return index

        self.index = _kept_or_built(kept, choice, len(vectors), width, build)

    def search(self, queries: Floats, k: int, matching: Matching | None) -> Found:
        """See :class:`Approximate`. FAISS has no selectors here: more candidates, and those that match are kept."""
        spread = 1.0 if matching is None else matching.spread
        wanted = min(int(np.ceil(max(RERANK * k, LEAST_CANDIDATES) * spread)), len(self._vectors))
        _, candidates = self.index.search(self._padded(queries), wanted)
        if matching is not None:
            candidates = np.where(matching.mask[candidates], candidates, -1)
        scores = products(self._vectors, queries, candidates)
        return best_of(np.where(np.isneginf(scores), -1, candidates), scores, k)

    def _padded(self, vectors: Floats) -> Floats:
        """With columns of zero up to whole codes, which change no inner product."""
        return np.pad(vectors, ((0, 0), (0, self._padding))) if self._padding else vectors


BUILD: dict[str, Callable[[Floats, IndexChoice, KeptIndex | None], Approximate]] = {
    "HNSW": Hnsw,
    "IVF_FLAT": Ivf,
    "PQ_FASTSCAN": PqFastScan,
}


def exact(vectors: Floats, queries: Floats, k: int, rows: NDArray[np.int64] | None = None) -> Found:
    """The best ``k`` of ``vectors`` [items, d], or of ``rows`` of them, by looking at each; k is at most as many."""
    if rows is None:
        scores, found = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
        return in_order(found, scores)
    scores = np.empty((len(queries), k), dtype=np.float32)
    found = np.empty((len(queries), k), dtype=np.int64)
    pointers = [faiss.swig_ptr(a) for a in (queries, vectors, rows, scores, found)]
    x, y, subset, values, ids = pointers
    count, width = queries.shape
    faiss.knn_inner_products_by_idx(x, y, subset, width, count, len(vectors), len(rows), k, values, ids, 0)
    return in_order(found, scores)


def products(vectors: Floats, queries: Floats, rows: NDArray[np.int64]) -> Floats:
    """Inner products of each query with its ``rows`` [n, m], without copying them; -inf where the row is -1."""
    scores = np.empty(rows.shape, dtype=np.float32)
    values, x, y, ids = (faiss.swig_ptr(a) for a in (scores, queries, vectors, np.ascontiguousarray(rows)))
    faiss.fvec_inner_products_by_idx(values, x, y, ids, queries.shape[1], len(queries), rows.shape[1])
    return scores


def _kept_or_built(
    kept: KeptIndex | None, choice: IndexChoice, items: int, width: int, build: Callable[[], Any]
) -> Any:
    """The index of so many items that is kept, else a new one, which is kept then."""
    found = kept.read(choice, items, width) if kept else None
    if found is not None:
        return found
    built = build()
    if kept:
        kept.write(built, choice)
    return built


def _searched(index: Any, queries: Floats, k: int, parameters: Any) -> Found:
    scores, rows = index.search(queries, k, params=parameters)
    # FAISS marks what is missing by the lowest float, and it comes last.
    scores[rows < 0] = -np.inf
    return in_order(rows, scores)
