"""Whether anything fits a query."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ranking.confidence import (
    LEAST_QUERIES,
    MISSED,
    UNRELATED,
    WORDS_EACH,
    Confidence,
    fit_confidence,
    nearness,
    unrelated_queries,
)

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


def on_a_circle(cosines: list[float] | np.ndarray) -> np.ndarray:
    """Texts of these cosines with all of ``SAME``."""
    values = np.asarray(cosines, dtype=np.float32)
    return np.stack([values, np.sqrt(np.maximum(1 - values**2, 0))], axis=1)


SAME = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (20, 1))


@given(
    st.lists(st.floats(-1, 1, width=32), min_size=LEAST_QUERIES, max_size=300),
    st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=100),
)
def test_few_of_the_queries_that_led_somewhere_lie_below_the_cut(near: list[float], unrelated: list[float]) -> None:
    found = fit_confidence(np.array(near, dtype=np.float32), on_a_circle(unrelated), SAME)
    assert found is not None and found.queries == len(near)
    # the cut is rounded to four digits
    assert (np.array(near) < found.cut - 1e-3).mean() <= MISSED
    assert found.cut <= np.quantile(unrelated, UNRELATED) + 1e-3


def test_where_all_ask_in_the_words_of_the_catalogue_others_need_not_be_as_near() -> None:
    tight, loose = (np.linspace(low, 0.9, 100, dtype=np.float32) for low in (0.8, 0.3))
    unrelated = on_a_circle(np.linspace(0.1, 0.4, 100))
    of_tight, of_loose = (fit_confidence(near, unrelated, SAME) for near in (tight, loose))
    assert of_tight is not None and np.isclose(of_tight.cut, 0.385, atol=0.01)
    assert of_loose is not None and np.isclose(of_loose.cut, 0.312, atol=0.01)


def test_too_few_queries_tell_nothing() -> None:
    unrelated, few = on_a_circle([0.1] * 50), np.full(LEAST_QUERIES - 1, 0.8, dtype=np.float32)
    assert fit_confidence(few, unrelated, SAME) is None
    without_text = np.full(100, np.nan, dtype=np.float32)
    assert fit_confidence(np.concatenate([few, without_text]), unrelated, SAME) is None


def test_unrelated_queries_are_the_same_for_a_seed() -> None:
    assert unrelated_queries(7) == unrelated_queries(7) != unrelated_queries(8)
    assert all(len(query.split()) == WORDS_EACH for query in unrelated_queries(7))


def test_it_is_the_same_when_it_was_written_and_read() -> None:
    assert Confidence.from_json(Confidence(0.42, 77).to_json()) == Confidence(0.42, 77)
    with pytest.raises(TypeError):
        Confidence.from_json({"cut": 0.4})
