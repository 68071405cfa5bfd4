"""The live collection searched by Milvus."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from serving.connection import Connection, failures
from serving.errors import IndexUnavailable
from serving.index.found import Found, in_order
from serving.index.kinds import IndexChoice, milvus_search, usual_choice

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pymilvus import MilvusClient

    from serving.filters import Filter
    from serving.index.memory import MemoryIndex


class MilvusIndex:
    """A collection, by a connection that may come and go. Threads may share it.

    Args:
        collection: its name.
        item_ids: of the release; row i is item i.
        exact: over the same rows, for answers that an approximate index of Milvus left short.
    """

    def __init__(
        self,
        connection: Connection,
        collection: str,
        item_ids: Sequence[str],
        choice: IndexChoice,
        exact: MemoryIndex,
        timeout_s: float,
    ) -> None:
        self._connection = connection
        self._collection = collection
        self._row_of = {item: row for row, item in enumerate(item_ids)}
        self.choice = choice
        self._exact = exact
        self._timeout_s = timeout_s

    def prove(self, milvus: MilvusClient, width: int, timeout_s: float) -> None:
        """Load the collection, learn which index it has, and search it once by this client.

        Raises:
            IndexUnavailable: Milvus failed, or the collection answers with nothing.
        """
        with failures():
            milvus.load_collection(self._collection, timeout=timeout_s)
            built = milvus.describe_index(self._collection, "vector", timeout=timeout_s)["index_type"]
            if built != self.choice.type:
                # It was pushed under other settings; its own type says what a search may ask for.
                self.choice = usual_choice(built, len(self._row_of))
            if not self._hits(milvus, np.ones((1, width), dtype=np.float32), 1, "", timeout_s)[0]:
                raise IndexUnavailable(f"{self._collection} answers with nothing")

    def search(self, queries: NDArray[np.float32], k: int, wanted: Filter, timeout_s: float | None = None) -> Found:
        """See :class:`serving.index.found.VectorIndex`."""
        k = min(k, len(self._row_of))
        milvus = self._connection.client()
        is_short = timeout_s is not None and timeout_s < self._timeout_s
        timeout_s = timeout_s if is_short and timeout_s is not None else self._timeout_s
        if timeout_s <= 0:
            raise IndexUnavailable("no time is left to ask Milvus")
        try:
            with failures():
                hits = self._hits(milvus, queries, k, wanted.expression(), timeout_s)
        except IndexUnavailable:
            if not is_short:  # a request that had little time left says nothing about Milvus
                self._connection.lost(milvus)
            raise
        there = min(k, self._exact.count(wanted))
        if any(len(found) != there for found in hits):
            # An approximate index may miss some, a filter never may.
            return self._exact.search(queries, k, wanted)
        rows = np.array([[self._row_of[item] for item, _ in found] for found in hits], dtype=np.int64)
        scores = np.array([[score for _, score in found] for found in hits], dtype=np.float32)
        return in_order(rows.reshape(len(hits), there), scores.reshape(len(hits), there))

    def _hits(
        self, milvus: MilvusClient, queries: NDArray[np.float32], k: int, expression: str, timeout_s: float
    ) -> list[list[tuple[str, float]]]:
        """(item, score) of the best ``k`` per query. Raises what pymilvus raises."""
        found = milvus.search(
            self._collection,
            data=list(queries),
            anns_field="vector",
            limit=k,
            filter=expression,
            output_fields=["item_id"],
            search_params=milvus_search(self.choice, k),
            # A collection was read back whole before it went live; a stronger level costs a server 200 ms per search.
            consistency_level="Eventually",
            timeout=timeout_s,
        )
        return [[(hit["entity"]["item_id"], hit["distance"]) for hit in hits] for hits in found]
