"""Means over days and their bootstrap intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as numbers

from training.evaluation import intervals
from training.evaluation.intervals import mean_of_days, summary_rows


@settings(max_examples=30, deadline=None)
@given(numbers(np.float64, st.tuples(st.integers(1, 40), st.just(2)), elements=st.floats(0, 1)), st.data())
def test_interval_contains_the_mean_of_the_days(values: np.ndarray, data: st.DataObject) -> None:
    day = data.draw(numbers(np.int64, len(values), elements=st.integers(0, 3)))
    value, low, high = mean_of_days(values, day, seed=3)
    by_day = [np.mean([values[i] for i in range(len(values)) if day[i] == d], axis=0) for d in sorted(set(day))]
    np.testing.assert_allclose(value, sum(by_day) / len(by_day))
    assert (low <= value).all()
    assert (value <= high).all()
    assert (low >= values.min(axis=0) - 1e-9).all()
    assert (high <= values.max(axis=0) + 1e-9).all()


def test_one_day_is_the_plain_mean_and_its_interval_the_usual_one() -> None:
    values = np.random.default_rng(1).random((400, 1))
    value, low, high = mean_of_days(values, np.zeros(400, dtype=np.int64), seed=3)
    assert value == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert mean_of_days(values, np.zeros(400, dtype=np.int64), seed=3) == (value, low, high)


def test_a_user_is_drawn_with_all_requests() -> None:
    """Ten alike requests of one user are one observation: the interval is that of the users' own means."""
    rng = np.random.default_rng(2)
    taste = rng.random((50, 1))
    user = np.repeat(np.arange(50), 10)
    day = np.zeros(500, dtype=np.int64)
    value, low, high = mean_of_days(taste[user], day, 3, user)
    assert value == pytest.approx(taste.mean())
    assert high - low == pytest.approx(2 * 1.96 * taste.std() / np.sqrt(50), rel=0.15)
    _, narrow_low, narrow_high = mean_of_days(taste[user], day, 3)
    assert (high - low) > 2.5 * (narrow_high - narrow_low)


def test_days_weigh_the_same_and_are_resampled_on_their_own() -> None:
    values, day = np.array([[1.0]] * 9 + [[0.0]]), np.array([0] * 9 + [1])
    value, low, high = mean_of_days(values, day, seed=1)
    assert (value, low, high) == (0.5, 0.5, 0.5)


def test_draws_in_parts_are_as_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    values, day = np.random.default_rng(1).random((100, 3)), np.zeros(100, dtype=np.int64)
    whole = mean_of_days(values, day, seed=1)
    monkeypatch.setattr(intervals, "CHUNK_DRAWS", 150)
    for part, expected in zip(mean_of_days(values, day, seed=1), whole, strict=True):
        np.testing.assert_allclose(part, expected, atol=0.02)


def test_rows_name_methods_and_measures_and_leave_out_requests_that_want_nothing() -> None:
    methods = {"a": {"x": np.array([1.0, 0.0, np.nan])}, "b": {"x": np.array([1.0, 1.0, np.nan])}}
    rows = summary_rows(methods, np.zeros(3, dtype=np.int64), seed=1)
    assert rows[0] == {"method": "a", "x": {"value": 0.5, "low": 0.0, "high": 1.0}}
    assert rows[1] == {"method": "b", "x": {"value": 1.0, "low": 1.0, "high": 1.0}}
    assert summary_rows({}, np.zeros(0, dtype=np.int64), seed=1) == []
