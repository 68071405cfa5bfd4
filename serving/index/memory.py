"""The live collection's vectors searched in this process, by FAISS."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

import faiss
import numpy as np

from serving.index.approximate import BUILD, Approximate, Floats, Matching, exact
from serving.index.found import Found
from serving.index.kinds import IndexChoice

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from serving.filters import Filter
    from serving.index.kept import KeptIndex

LEAST_ITEMS = 1_000
"""A smaller catalogue is searched exactly whatever the type: k-means has too little to learn from."""
EXACT_ROWS = 10_000
"""So few matching rows are searched one by one: about a millisecond."""
EXACT_SPREAD = 20.0
"""Where fewer than one row of so many matches, an index would mostly meet rows that do not."""
EXACT_K = 10
"""A search for more than one row of so many looks at each."""
KEPT_FILTERS = 16
"""Filters whose matching rows are remembered; a shop asks for the same few brands and categories again."""


class MemoryIndex:
    """Rows of a release, searched by inner product. Threads may share it."""

    def __init__(
        self,
        vectors: Floats,
        columns: pa.Table,
        choice: IndexChoice | None = None,
        threads: int = 1,
        kept: KeptIndex | None = None,
    ) -> None:
        """Build what the choice asks for.

        Args:
            vectors: [items, d], of any length; kept, not copied.
            columns: filter columns, row for row.
            choice: type and parameters; None: exact.
            threads: of FAISS in a build, and in a search for several queries;
            kept: where the built index is looked for, and left.
        """
        self.choice = choice or IndexChoice()
        self._vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._columns = columns
        self._findable: NDArray[np.bool_] | None = None
        self.threads = threads
        self._matching: OrderedDict[Filter, Matching] = OrderedDict()
        self._lock = threading.Lock()
        self._approximate: Approximate | None = None
        if self.choice.type in BUILD and len(vectors) >= LEAST_ITEMS:
            faiss.omp_set_num_threads(threads)
            self._approximate = BUILD[self.choice.type](self._vectors, self.choice, kept)

    def search(self, queries: Floats, k: int, wanted: Filter, timeout_s: float | None = None) -> Found:
        """See :class:`serving.index.found.VectorIndex`.

        Raises:
            ValueError: queries of another width.
        """
        if queries.ndim != 2 or queries.shape[1] != self._vectors.shape[1]:
            raise ValueError(f"queries must be [n, {self._vectors.shape[1]}], got {list(queries.shape)}")
        # FAISS keeps this setting per thread, and a new thread takes all cores.
        faiss.omp_set_num_threads(self.threads)
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        matching = self._matches(wanted)
        rows = None if matching is None else matching.rows
        there = len(self._vectors) if rows is None else len(rows)
        k = min(k, there)
        if k == 0 or len(queries) == 0:
            return Found(np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float32))
        few = rows is not None and (there <= EXACT_ROWS or EXACT_SPREAD * there < len(self._vectors))
        if self._approximate is None or few or k * EXACT_K > there:
            return exact(self._vectors, queries, k, rows)
        found = self._approximate.search(queries, k, matching)
        return self._completed(found, queries, k, rows)

    def search_rows(self, queries: Floats, k: int, rows: NDArray[np.int64]) -> Found:
        """The best k of the items at ``rows`` [m], ascending, by looking at each."""
        faiss.omp_set_num_threads(self.threads)
        k = min(k, len(rows))
        if k == 0 or len(queries) == 0:
            return Found(np.empty((len(queries), k), dtype=np.int64), np.empty((len(queries), k), dtype=np.float32))
        return exact(self._vectors, np.ascontiguousarray(queries, dtype=np.float32), k, rows)

    def count(self, wanted: Filter) -> int:
        """How many items match."""
        matching = self._matches(wanted)
        return len(self._vectors) if matching is None else len(matching.rows)

    def mask(self, wanted: Filter) -> NDArray[np.bool_] | None:
        """Which items match, [items]; None: all."""
        matching = self._matches(wanted)
        return None if matching is None else matching.mask

    def over(self, columns: pa.Table, findable: NDArray[np.bool_] | None) -> MemoryIndex:
        """The same index with other filter columns, over those items alone that are marked, [items]; None: all."""
        other = copy.copy(self)
        other._columns, other._findable = columns, findable
        other._matching, other._lock = OrderedDict(), threading.Lock()
        return other

    def tuned(self, choice: IndexChoice) -> MemoryIndex:
        """The same index, searched with other parameters; what was built is shared."""
        other = copy.copy(self)
        other.choice = choice
        if self._approximate is not None:
            other._approximate = copy.copy(self._approximate)
            other._approximate.choice = choice
        return other

    @property
    def bytes(self) -> int:
        """Memory beside the release's own vectors."""
        return 0 if self._approximate is None else int(faiss.serialize_index(self._approximate.index).nbytes)

    def _completed(self, found: Found, queries: Floats, k: int, rows: np.ndarray | None) -> Found:
        """With the queries that came back short searched exactly."""
        short = np.flatnonzero(found.rows[:, -1] < 0)
        if len(short):
            whole = exact(self._vectors, np.ascontiguousarray(queries[short]), k, rows)
            found.rows[short], found.scores[short] = whole.rows, whole.scores
        return found

    def _matches(self, wanted: Filter) -> Matching | None:
        """The rows that match; None for all."""
        if not wanted.clauses and self._findable is None:
            return None
        with self._lock:
            if wanted in self._matching:
                self._matching.move_to_end(wanted)
                return self._matching[wanted]
        masks = [mask for mask in (wanted.mask(self._columns), self._findable) if mask is not None]
        matching = Matching.of(np.logical_and.reduce(masks))
        with self._lock:
            self._matching[wanted] = matching
            while len(self._matching) > KEPT_FILTERS:
                self._matching.popitem(last=False)
        return matching
