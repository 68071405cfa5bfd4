"""Random walk: against dense matrices, and blind to what was not known yet."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.edges import Edges
from training.ranking.random_walk import RandomWalk

QUERIES = ["red mug", "blue mug", "red lamp", "green lamp", "zebra", "", "red mug"]
ITEMS = 5
Edge = tuple[int, int, int, int]
edge_lists = st.lists(
    st.tuples(
        st.integers(0, ITEMS - 1), st.integers(0, len(QUERIES) - 1), st.integers(0, 9), st.sampled_from([1, 2, 4])
    ),
    max_size=25,
)


def edges_of(rows: list[Edge]) -> Edges:
    """Edges of (item, query, time, weight)."""
    rows = sorted(rows, key=lambda r: (r[0], r[2]))
    item, query, time, weight = (np.array([r[n] for r in rows], dtype=np.int64) for n in range(4))
    offsets = np.concatenate([[0], np.cumsum(np.bincount(item, minlength=ITEMS))])
    return Edges(offsets, query.astype(np.int32), time, weight.astype(np.float32))


def dense_visits(rows: list[Edge], at: int) -> np.ndarray:
    """Expected visits by dense matrices and loops."""
    weights = np.zeros((len(QUERIES), ITEMS))
    for item, query, time, weight in rows:
        if time < at:
            weights[query, item] += weight
    a = np.divide(weights, weights.sum(1, keepdims=True), where=weights.sum(1, keepdims=True) > 0, out=weights * 0)
    b = np.divide(weights, weights.sum(0), where=weights.sum(0) > 0, out=weights * 0)
    words = [set(q.split()) for q in QUERIES]
    rarity = {w: np.log1p(len(QUERIES) / sum(w in ws for ws in words)) for ws in words for w in ws}

    def norm(ws: set[str]) -> float:
        return float(np.sqrt(sum(rarity[w] ** 2 for w in ws)))

    start = np.zeros((len(QUERIES), len(QUERIES)))
    for q in range(len(QUERIES)):
        if weights[q].any():
            start[q, q] = 1
            continue
        for other in range(len(QUERIES)):
            shared = words[q] & words[other]
            if weights[other].any() and shared:
                start[q, other] = sum(rarity[w] ** 2 for w in shared) / norm(words[q]) / norm(words[other])
        start[q] /= start[q].sum() or 1
    once = start @ a
    return np.asarray(once + once @ b.T @ a)


@settings(max_examples=60, deadline=None)
@given(edge_lists, st.integers(0, 10))
def test_visits_equal_dense_matrices(rows: list[Edge], at: int) -> None:
    walk = RandomWalk(edges_of(rows), pa.array(QUERIES), at)
    expected = dense_visits(rows, at)
    queries = np.arange(len(QUERIES))
    np.testing.assert_allclose(walk.visits(queries).toarray(), expected, atol=1e-12)
    found = walk.search(queries, ITEMS)
    for query in queries:
        items = found[query][found[query] >= 0]
        assert sorted(items) == np.flatnonzero(expected[query]).tolist()
        assert (np.diff(expected[query][items]) <= 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(edge_lists, st.integers(0, 10))
def test_edges_at_the_cut_or_later_change_nothing(rows: list[Edge], at: int) -> None:
    queries = np.arange(len(QUERIES))
    all_edges, early = (edges_of(r) for r in (rows, [r for r in rows if r[2] < at]))
    visits = [RandomWalk(edges, pa.array(QUERIES), at).visits(queries).toarray() for edges in (all_edges, early)]
    np.testing.assert_array_equal(*visits)


def test_an_unseen_query_starts_at_those_that_share_words() -> None:
    walk = RandomWalk(edges_of([(0, 0, 1, 1), (1, 3, 1, 1)]), pa.array(QUERIES), 5)
    assert walk.search(np.array([2]), 2).tolist() == [[0, 1]] or walk.search(np.array([2]), 2).tolist() == [[1, 0]]
    assert walk.search(np.array([1]), 2).tolist() == [[0, -1]]
    assert walk.search(np.array([4, 5]), 2).tolist() == [[-1, -1], [-1, -1]]
