"""The graph in time against a slow oracle: nothing that was not known yet, nothing of the request's own query."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.edges import MILLISECOND, Edges
from training.data.ragged import offsets_of

Edge = tuple[int, int, int, float]
"""Item, query, time in microseconds, weight."""
ITEMS, QUERIES = 4, 5
TIMES = st.one_of(st.integers(0, 6_000), st.sampled_from([0, 999, 1_000, 1_001, 2_000, 10**15]))
EDGES = st.lists(
    st.tuples(
        st.integers(0, ITEMS - 1), st.integers(0, QUERIES - 1), TIMES, st.sampled_from([1.0, 2.0, 4.0]),
    ),
    max_size=25,
)  # fmt: skip


def edges_of(edges: list[Edge], items: int = ITEMS) -> Edges:
    ordered = sorted(edges, key=lambda e: (e[0], e[2]))
    return Edges(
        offsets_of(np.bincount([e[0] for e in ordered], minlength=items).astype(np.int64)),
        np.array([e[1] for e in ordered], dtype=np.int32),
        np.array([e[2] for e in ordered], dtype=np.int64),
        np.array([e[3] for e in ordered], dtype=np.float32),
    )


def in_milliseconds(edge: Edge, before: int) -> bool:
    """Known strictly before, as far as milliseconds tell: rounded so that nothing is seen too early."""
    return -(-edge[2] // MILLISECOND) < before // MILLISECOND


@settings(deadline=None)
@given(EDGES, st.lists(st.tuples(st.integers(0, ITEMS - 1), TIMES, st.integers(-1, QUERIES - 1)), max_size=8))
def test_a_sample_is_known_before_and_not_the_left_out_query(
    edges: list[Edge], asked: list[tuple[int, int, int]]
) -> None:
    items, before, left_out = np.array(asked, dtype=np.int64).reshape(-1, 3).T
    drawn = edges_of(edges).sample(items, before, left_out, 6, np.random.default_rng(0))
    assert drawn.shape == (len(asked), 6)
    for row, (item, time, out) in zip(drawn, asked, strict=True):
        strictly = {q for i, q, t, _ in edges if i == item and t < time and q != out}
        assert set(row.tolist()) - {-1} <= strictly
        surely = [e for e in edges if e[0] == item and in_milliseconds(e, time)]
        assert bool(surely) or (row == -1).all()
        if surely and all(q != out for _, q, _, _ in surely):
            assert (row >= 0).all()


@settings(deadline=None)
@given(EDGES, TIMES, st.integers(1, 4))
def test_the_heaviest_equal_a_loop(edges: list[Edge], at: int, kept: int) -> None:
    found, weights = edges_of(edges).heaviest(at, kept)
    assert len(found) == ITEMS
    for item in range(ITEMS):
        total: dict[int, float] = {}
        for i, query, time, weight in edges:
            if i == item and time < at:
                total[query] = total.get(query, 0.0) + weight
        expected = sorted(total.items(), key=lambda pair: (-pair[1], pair[0]))[:kept]
        span = slice(found.offsets[item], found.offsets[item + 1])
        assert list(zip(found.ids[span].tolist(), weights[span].tolist(), strict=True)) == expected


def test_draws_are_proportional_to_the_weights() -> None:
    edges = edges_of(
        [(1, 0, 0, 1.0), (1, 1, 5, 2.0), (1, 2, 5, 4.0), (1, 0, 9, 1.0), (1, 3, 10**9, 50.0), (2, 4, 0, 9.0)]
    )
    drawn = edges.sample(
        np.ones(200, dtype=np.int64), np.full(200, 10**8), np.full(200, -1), 100, np.random.default_rng(1)
    )
    share = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    np.testing.assert_allclose(share, [0.25, 0.25, 0.5, 0, 0], atol=0.01)


def test_equal_times_are_all_known_or_none() -> None:
    edges = edges_of([(0, q, 7_000, 1.0) for q in range(4)])
    one = np.zeros(1, dtype=np.int64)
    rng = np.random.default_rng(0)
    assert (edges.sample(one, np.array([7_000]), one - 1, 50, rng) == -1).all()
    assert set(edges.sample(one, np.array([8_000]), one - 1, 50, rng).ravel()) == {0, 1, 2, 3}


@pytest.mark.parametrize("edges", [[], [(3, 2, 5_000, 1.0)]])
def test_no_edge_and_one_edge(edges: list[Edge]) -> None:
    graph = edges_of(edges)
    assert len(graph) == len(edges)
    items, never = np.arange(ITEMS), np.full(ITEMS, -1)
    drawn = graph.sample(items, np.full(ITEMS, 9_000), never, 3, np.random.default_rng(0))
    assert drawn[:3].max() == -1
    assert set(drawn[3].tolist()) == ({2} if edges else {-1})
    found, weights = graph.heaviest(9_000, 2)
    assert found.ids.tolist() == [e[1] for e in edges]
    assert weights.tolist() == [e[3] for e in edges]
    assert len(graph.heaviest(5_000, 2)[0].ids) == 0
