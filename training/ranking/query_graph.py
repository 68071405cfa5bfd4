"""What led to items for a query and for queries like it: the random walk, kept per query so that it can be served."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp  # type: ignore[import-untyped]
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from training.data.edges import Edges
from training.ranking.bm25 import Bm25
from training.ranking.random_walk import RandomWalk

I64 = NDArray[np.int64]
ALIKE = 20
"""Queries that stand in for one that never led to an item."""
BLOCK = 1_024
VISITS, QUERIES, WORDS = "visits.safetensors", "queries.parquet", "words"


class Walked(NamedTuple):
    """Where the walks of n queries lead."""

    visits: sp.csr_array
    """Visits of each item in shares of the most visited one's, [n, items]."""
    known: NDArray[np.bool_]
    """Whether the query had led to an item when the towers learned, [n]."""


class QueryGraph:
    """Per query that led to an item the items that a walk visits most; see
    :class:`training.ranking.random_walk.RandomWalk`.

    Args:
        queries: normalised, [queries]; known: those that had led to one when the towers learned, [queries];
        visits: expected visits, [queries, items]; words: BM25 over the queries.
    """

    def __init__(self, queries: pa.Array, known: NDArray[np.bool_], visits: sp.csr_array, words: Bm25) -> None:
        self._queries, self._known, self._visits, self._words = queries, known, visits, words

    @classmethod
    def of(cls, edges: Edges, texts: pa.Array, at: int, learned_until: int, kept: int) -> QueryGraph:
        """The graph as of ``at``, with the ``kept`` most visited items of each query.

        Args:
            texts: of the queries that ``edges`` number;
            at, learned_until: microseconds since 1970; until the second the towers learned.
        """
        walk = RandomWalk(edges, texts, at)
        walked = np.flatnonzero(walk.has_edge)
        blocks = [most_visited(walk.visits(walked[i : i + BLOCK]), kept) for i in range(0, len(walked), BLOCK)]
        empty = sp.csr_array((0, len(edges.offsets) - 1), dtype=np.float32)
        queries = texts.take(pa.array(walked)).cast(pa.string())
        visits = sp.csr_array(sp.vstack([empty, *blocks], format="csr", dtype=np.float32))
        known = np.isin(walked, edges.query[edges.time < learned_until])
        return cls(queries, known, visits, Bm25(queries.to_pylist()))

    @classmethod
    def empty(cls, items: int) -> QueryGraph:
        """The graph of a shop of ``items`` without a log."""
        nothing = sp.csr_array((0, items), dtype=np.float32)
        return cls(pa.array([], pa.string()), np.zeros(0, dtype=np.bool_), nothing, Bm25([]))

    def with_items(self, count: int) -> QueryGraph:
        """The same graph with ``count`` items after its own, which nothing leads to yet."""
        other, own = copy.copy(self), self._visits
        other._visits = sp.csr_array((own.data, own.indices, own.indptr), (own.shape[0], own.shape[1] + count))
        return other

    def walked(self, texts: Sequence[str]) -> Walked:
        """Where walks from normalised queries [n] lead."""
        rows = np.array([self._row_of.get(text, -1) for text in texts], dtype=np.int64)
        there = rows >= 0
        begin = sp.csr_array(
            (np.ones(int(there.sum()), np.float32), (np.flatnonzero(there), rows[there])),
            (len(texts), len(self._queries)),
        )
        if not there.all() and len(self._queries):
            begin = begin + self._alike(texts, there)
        known = np.zeros(len(texts), dtype=np.bool_)
        known[there] = self._known[rows[there]]
        return Walked(_shares(sp.csr_array(begin @ self._visits)), known)

    def led_somewhere(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """Whether normalised queries [n] had led to an item by the time of the graph, [n]."""
        return np.array([text in self._row_of for text in texts], dtype=np.bool_)

    def known(self, texts: Sequence[str]) -> NDArray[np.bool_]:
        """As of :class:`Walked`, without a walk, [n]."""
        rows = [self._row_of.get(text, -1) for text in texts]
        return np.array([row >= 0 and bool(self._known[row]) for row in rows], dtype=np.bool_)

    def _alike(self, texts: Sequence[str], there: NDArray[np.bool_]) -> sp.csr_array:
        """Of queries without a walk of their own those of like words, by their BM25 score."""
        unknown = np.flatnonzero(~there)
        found, scores = self._words.search([texts[i] for i in unknown.tolist()], ALIKE)
        row, place = np.nonzero(found >= 0)
        values, shape = scores[row, place], (len(texts), len(self._queries))
        return sp.csr_array((values, (unknown[row], found[row, place])), shape)

    def save(self, folder: Path) -> None:
        """Write the graph into a new folder."""
        folder.mkdir()
        matrix = self._visits
        parts = {
            "offsets": matrix.indptr.astype(np.int64),
            "items": matrix.indices.astype(np.int32),
            "visits": matrix.data.astype(np.float32),
            "shape": np.array(matrix.shape, dtype=np.int64),
        }
        save_file(parts, folder / VISITS)
        pq.write_table(pa.table({"query": self._queries, "known": self._known}), folder / QUERIES)
        self._words.save(folder / WORDS)

    @classmethod
    def load(cls, folder: Path) -> QueryGraph:
        """What :meth:`save` wrote."""
        parts = load_file(folder / VISITS)
        visits = sp.csr_array((parts["visits"], parts["items"], parts["offsets"]), shape=tuple(parts["shape"]))
        table = pq.read_table(folder / QUERIES)
        known = table["known"].to_numpy()
        return cls(table["query"].combine_chunks(), known, visits, Bm25.load(folder / WORDS))

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {text: row for row, text in enumerate(self._queries.to_pylist())}


def most_visited(visits: sp.csr_array, kept: int) -> sp.csr_array:
    """The ``kept`` largest entries of each row; of equal ones those of the lower columns."""
    row = np.repeat(np.arange(visits.shape[0]), np.diff(visits.indptr))
    order = np.lexsort((visits.indices, -visits.data, row))
    rank = np.arange(len(row)) - visits.indptr[:-1][row]
    chosen = order[rank < kept]
    return sp.csr_array((visits.data[chosen].astype(np.float32), (row[chosen], visits.indices[chosen])), visits.shape)


def _shares(visits: sp.csr_array) -> sp.csr_array:
    """Rows by their largest entry; an empty row stays empty."""
    lengths = np.diff(visits.indptr)
    most = np.maximum.reduceat(visits.data, visits.indptr[:-1][lengths > 0]) if visits.nnz else visits.data
    shares = visits.data / np.repeat(most, lengths[lengths > 0])
    return sp.csr_array((shares.astype(np.float32), visits.indices, visits.indptr), visits.shape)
