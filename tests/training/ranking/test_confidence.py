"""Whether anything fits a query."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ranking.confidence import LEAST_QUERIES, MISSED, Confidence, fit_confidence, nearness

ITEMS = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0], [-1, 0]], dtype=np.float16)


def test_nearness_is_the_mean_of_the_nearest_found() -> None:
    query = np.array([[1, 0], [1, 0], [0, 0], [1, 0]], dtype=np.float32)
    found = np.array([[0, 1, 2, 3, 4], [2, 4, -1, -1, -1], [0, 1, -1, -1, -1], [3, -1, -1, -1, -1]])
    near = nearness(query, ITEMS, found)
    np.testing.assert_allclose(near[:2], [(1 + 0.6 + 0 - 1) / 4, (0 - 1) / 2], atol=1e-3)
    assert np.isnan(near[2:]).all(), "a query without a text, items without one"
    assert np.isnan(nearness(None, ITEMS, found)).all() and np.isnan(nearness(query, None, found)).all()


def test_only_the_ten_nearest_count() -> None:
    items = np.vstack([np.tile([1.0, 0.0], (10, 1)), np.tile([-1.0, 0.0], (200, 1))]).astype(np.float16)
    (near,) = nearness(np.array([[1, 0]], dtype=np.float32), items, np.arange(len(items))[None, ::-1])
    assert near == 1


@given(st.lists(st.floats(-1, 1, width=32), min_size=LEAST_QUERIES, max_size=300, unique=True))
def test_few_of_the_queries_that_led_somewhere_lie_below_the_cut(values: list[float]) -> None:
    near = np.array(values, dtype=np.float32)
    found = fit_confidence(near, np.arange(len(near)), np.ones(len(near), dtype=np.bool_))
    assert found is not None and found.queries == len(near)
    # the cut is rounded to four digits
    assert (near < found.cut - 1e-4).mean() <= MISSED


def test_a_query_counts_once_and_only_where_it_led_somewhere() -> None:
    near = np.concatenate([np.full(1_000, 0.1), np.linspace(0.5, 0.9, 100)]).astype(np.float32)
    query = np.concatenate([np.zeros(1_000, dtype=np.int64), np.arange(1, 101)])
    fitted = np.ones(len(near), dtype=np.bool_)
    found = fit_confidence(near, query, fitted)
    assert found is not None and found.cut > 0.5 and found.queries == 101
    fitted[1_000:] = False
    assert fit_confidence(near, query, fitted) is None, "one query is too few"
    near[1_000:] = np.nan
    assert fit_confidence(near, query, np.ones(len(near), dtype=np.bool_)) is None


def test_it_is_the_same_when_it_was_written_and_read() -> None:
    assert Confidence.from_json(Confidence(0.42, 77).to_json()) == Confidence(0.42, 77)
    with pytest.raises(TypeError):
        Confidence.from_json({"cut": 0.4})
