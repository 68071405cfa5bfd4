from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from training.data.scalars import QuantileTransform

NAMES = ("price", "age", "orders")
VALUES = st.one_of(
    st.floats(allow_nan=True, allow_infinity=False, width=32), st.sampled_from([0.0, 1.0, 2.0, float("nan")])
)
TABLES = hnp.arrays(np.float32, st.tuples(st.integers(0, 40), st.just(3)), elements=VALUES)
QUANTILES = st.integers(1, 12)


@settings(max_examples=60, deadline=None)
@given(TABLES, TABLES, QUANTILES)
def test_levels_are_shares_and_unknown_stays_unknown(fitted: np.ndarray, other: np.ndarray, quantiles: int) -> None:
    levels = QuantileTransform.fit(fitted, NAMES, quantiles).apply(other)
    never_known = np.isnan(fitted).all(axis=0)
    np.testing.assert_array_equal(np.isnan(levels), np.isnan(other) | never_known)
    known = levels[~np.isnan(levels)]
    assert ((known >= 0) & (known <= 1)).all()


@settings(max_examples=60, deadline=None)
@given(TABLES, TABLES, QUANTILES)
def test_more_is_never_a_lower_level(fitted: np.ndarray, other: np.ndarray, quantiles: int) -> None:
    rising = np.sort(other, axis=0)
    levels = QuantileTransform.fit(fitted, NAMES, quantiles).apply(rising)
    steps = np.diff(levels, axis=0)
    assert (steps[~np.isnan(steps)] >= -1e-6).all()


@settings(max_examples=40, deadline=None)
@given(TABLES, QUANTILES, st.randoms(use_true_random=False))
def test_the_order_of_rows_is_irrelevant(fitted: np.ndarray, quantiles: int, random: object) -> None:
    order = np.random.default_rng(random.randrange(100)).permutation(len(fitted))  # type: ignore[attr-defined]
    first, second = (QuantileTransform.fit(rows, NAMES, quantiles) for rows in (fitted, fitted[order]))
    np.testing.assert_array_equal(first.apply(fitted), second.apply(fitted))


@settings(max_examples=40, deadline=None)
@given(TABLES, QUANTILES)
def test_json_keeps_everything(fitted: np.ndarray, quantiles: int) -> None:
    transform = QuantileTransform.fit(fitted, NAMES, quantiles)
    again = QuantileTransform.from_json(json.loads(json.dumps(transform.to_json())))
    assert again.names == transform.names
    np.testing.assert_array_equal(again.apply(fitted), transform.apply(fitted))


def test_equal_values_share_the_middle_of_their_ranks() -> None:
    raw = np.array([[0.0], [0.0], [0.0], [5.0]])
    levels = QuantileTransform.fit(raw, ["orders"]).apply(raw)
    np.testing.assert_allclose(levels[:, 0], [3 / 8, 3 / 8, 3 / 8, 7 / 8])


def test_many_values_become_close_to_their_rank() -> None:
    raw = np.random.default_rng(0).lognormal(3, 2, (5_000, 1))
    levels = QuantileTransform.fit(raw, ["price"]).apply(raw)[:, 0]
    rank = np.argsort(np.argsort(raw[:, 0])) / len(raw)
    assert np.abs(levels - rank).max() < 0.01


def test_constant_and_unknown_features() -> None:
    raw = np.array([[7.0, np.nan], [7.0, np.nan], [np.nan, np.nan]])
    transform = QuantileTransform.fit(raw, ["constant", "unknown"])
    levels = transform.apply(np.array([[7.0, 1.0], [99.0, 2.0], [np.inf, np.nan]]))
    np.testing.assert_array_equal(levels, [[0.5, np.nan], [0.5, np.nan], [np.nan, np.nan]])


def test_a_value_has_one_level_however_it_is_stored() -> None:
    raw = np.random.default_rng(1).normal(size=(500, 1))
    transform = QuantileTransform.fit(raw, ["rating"])
    np.testing.assert_array_equal(transform.apply(raw), transform.apply(raw.astype(np.float32)))


def test_a_wrong_shape_says_what_to_give() -> None:
    with pytest.raises(ValueError, match=r"give \[n, 2\] for price, age"):
        QuantileTransform.fit(np.zeros((4, 3)), ["price", "age"])
    with pytest.raises(ValueError, match="repeat"):
        QuantileTransform.fit(np.zeros((4, 2)), ["price", "price"])
