"""Walks kept per query."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.sparse as sp  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.baselines.test_random_walk import edges_of
from training.ranking.query_graph import QueryGraph, most_visited
from training.ranking.random_walk import RandomWalk

TEXTS = pa.array(["blue mug", "red mug", "red shoes", "unasked lamp"])
EDGES = edges_of([(0, 1, 1, 3), (1, 1, 1, 1), (2, 2, 1, 2), (1, 0, 2, 5)])


def test_known_queries_lead_where_the_walk_does_in_shares_of_the_first() -> None:
    graph, walk = QueryGraph.of(EDGES, TEXTS, 10, 10, 50), RandomWalk(EDGES, TEXTS, 10)

    walked = graph.walked(["red mug", "blue mug", "unasked lamp"])

    expected = walk.visits(np.array([1, 0])).toarray()
    np.testing.assert_allclose(walked.visits.toarray()[:2], expected / expected.max(axis=1, keepdims=True), rtol=1e-5)
    assert walked.known.tolist() == [True, True, False]
    assert walked.visits[[2]].nnz == 0


def test_an_unknown_query_begins_at_those_of_like_words() -> None:
    walked = QueryGraph.of(EDGES, TEXTS, 10, 10, 50).walked(["red boots", "", "zebra"])
    assert not walked.known.any()
    assert set(walked.visits.toarray()[0].nonzero()[0].tolist()) >= {0, 1, 2}
    assert walked.visits.toarray()[1:].sum() == 0


def test_what_came_later_is_not_walked() -> None:
    early = QueryGraph.of(EDGES, TEXTS, 2, 2, 50).walked(["blue mug", "red mug"])
    assert early.known.tolist() == [False, True]


def test_a_query_that_the_towers_never_learned_walks_and_is_unknown() -> None:
    graph = QueryGraph.of(EDGES, TEXTS, 10, 2, 50)
    walked = graph.walked(["blue mug", "red mug", "unasked lamp"])
    assert (
        walked.known.tolist() == graph.known(["blue mug", "red mug", "unasked lamp"]).tolist() == [False, True, False]
    )
    assert (
        walked.visits != QueryGraph.of(EDGES, TEXTS, 10, 10, 50).walked(["blue mug", "red mug", "unasked lamp"]).visits
    ).nnz == 0


def test_a_shop_without_an_event_has_an_empty_graph(tmp_path: Path) -> None:
    graph = QueryGraph.of(EDGES, TEXTS, 0, 0, 50)
    graph.save(tmp_path / "graph")
    for one in (graph, QueryGraph.load(tmp_path / "graph")):
        walked = one.walked(["red mug"])
        assert walked.visits.nnz == 0 and not walked.known.any()
        assert walked.visits.shape[1] == len(EDGES.offsets) - 1


def test_it_is_the_same_when_it_was_written_and_read(tmp_path: Path) -> None:
    graph, asked = QueryGraph.of(EDGES, TEXTS, 10, 10, 50), ["red mug", "red boots", "zebra"]
    for name in ("first", "second"):
        graph.save(tmp_path / name)
    read = QueryGraph.load(tmp_path / "first")
    assert (read.walked(asked).visits != graph.walked(asked).visits).nnz == 0
    files = sorted(f.relative_to(tmp_path / "first") for f in (tmp_path / "first").rglob("*") if f.is_file())
    assert files
    for file in files:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


@given(arrays(np.float32, (3, 6), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0])), st.integers(1, 7))
@settings(max_examples=100, deadline=None)
def test_the_largest_entries_are_kept(values: np.ndarray, kept: int) -> None:
    found = most_visited(sp.csr_array(values), kept).toarray()
    for row, of_row in zip(values, found, strict=True):
        assert (of_row > 0).sum() == min(kept, (row > 0).sum())
        assert sorted(of_row[of_row > 0]) == sorted(row[row > 0])[-kept:]
