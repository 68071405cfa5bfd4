from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings import QualityPriorSettings, TrainingSettings
from training.data.ragged import Ragged, offsets_of
from training.model.search import exact_top
from training.quality_prior import (
    PriorWeights,
    QualityFeatures,
    QualityPrior,
    find_weights,
    items_with_quality,
    no_prior,
    query_with_prior,
)
from training.quality_prior.quality import brand_order_rate
from training.quality_prior.reranking import Problem, Reranking

WIDTH, FEATURES, ITEMS, REQUESTS = 16, 3, 1_200, 800


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Shop:
    """Unit vectors, quality and one order per request, drawn from the items near the query."""

    queries: np.ndarray
    items: np.ndarray
    quality: np.ndarray
    wanted: Ragged
    users: np.ndarray

    def find(self, users: np.ndarray | None = None, **given: object) -> PriorWeights:
        prior = QualityPriorSettings.model_validate({"trials": 40, "least_relevance": 0.9} | given)
        asked_at, available = np.full(len(self.queries), 10), np.zeros(len(self.items), dtype=np.int64)
        chosen = TrainingSettings(seed=11, quality_prior=prior)
        return find_weights(
            self.queries, self.items, self.quality, self.wanted, asked_at, available, chosen,
            self.users if users is None else users,
        )  # fmt: skip


@cache
def shop(drive: float, requests: int = REQUESTS) -> Shop:
    """``drive``: how much the first quality feature counts when people order; the others never do."""
    rng = np.random.default_rng(5)
    queries, items = (unit(rng.normal(size=(n, WIDTH))) for n in (requests, ITEMS))
    quality = rng.random((ITEMS, FEATURES)).astype(np.float32)
    taste = 8 * (queries @ items.T) + drive * quality[:, 0] + rng.gumbel(size=(requests, ITEMS)) * 0.4
    ordered = taste.argmax(axis=1).astype(np.int32)
    return Shop(
        queries, items, quality, Ragged(np.arange(requests + 1), ordered), rng.integers(0, requests // 3, requests)
    )


def test_quality_that_drives_orders_is_weighed_and_helps_other_users() -> None:
    found = shop(2.0).find()
    assert found.reason == ""
    assert found.weights[0] > 0.05
    assert found.weights[0] > 2 * max(found.weights[1:])
    assert found.confirmed is not None and found.confirmed.recall_10[1] > found.confirmed.recall_10[0] + 0.05


def test_quality_that_drives_nothing_gets_no_weight() -> None:
    found = shop(0.0).find()
    assert not found.on and found.weights == (0.0,) * FEATURES
    assert "not confirmed" in found.reason or "none of 40 trials" in found.reason


def test_weights_that_cost_relevance_are_refused() -> None:
    free, guarded = (shop(4.0).find(max_weight=1.0, least_relevance=share) for share in (0.0, 0.98))
    for found, share in ((free, 0.0), (guarded, 0.98)):
        assert found.fitted is not None and found.confirmed is not None
        before, after = (
            sum(half.relevance[i] * half.requests for half in (found.fitted, found.confirmed)) for i in (0, 1)
        )
        assert after >= share * before
    assert max(free.weights) > max(guarded.weights)
    assert any(not trial["allowed"] for trial in guarded.trials)


def test_a_guard_that_allows_nothing_leaves_no_weights() -> None:
    found = shop(2.0).find(least_relevance=1.0)
    assert not found.on and "without losing relevance" in found.reason


def test_never_worse_on_the_requests_it_was_fitted_on() -> None:
    for drive in (0.0, 2.0):
        found = shop(drive).find()
        assert found.trials[0]["weights"] == (0.0,) * FEATURES
        assert max(t["objective"] for t in found.trials if t["allowed"]) >= found.trials[0]["objective"]
        assert found.fitted is not None
        gain = [np.mean([found.fitted.recall_10[i], found.fitted.recall_100[i]]) for i in (0, 1)]
        assert gain[1] >= gain[0]


def test_too_few_orders_give_no_weights() -> None:
    found = shop(2.0, 90).find()
    assert not found.on and found.reason == "90 requests with an order: each half needs 50"


def test_one_user_cannot_confirm_itself() -> None:
    assert "each half needs" in shop(2.0).find(users=np.zeros(REQUESTS, dtype=np.int32)).reason


def test_requests_without_an_order_change_nothing() -> None:
    base = shop(2.0)
    half = np.where(np.arange(REQUESTS) % 2, 1, 0)
    some = Ragged(offsets_of(half), base.wanted.ids[half == 1])
    found = Shop(base.queries, base.items, base.quality, some, base.users).find()
    assert found.fitted is not None and found.confirmed is not None
    assert found.fitted.requests + found.confirmed.requests == REQUESTS // 2


def test_no_feature_no_weight() -> None:
    base = shop(2.0)
    found = Shop(base.queries, base.items, base.quality[:, :0], base.wanted, base.users).find()
    assert found.weights == () and "no quality feature" in found.reason


def test_same_seed_same_weights_and_the_search_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    first, second = (shop(2.0).find() for _ in range(2))
    assert first.to_json() == second.to_json()
    assert capfd.readouterr() == ("", "")


def test_json_keeps_a_boosting() -> None:
    raw = np.array([[4.0, 10, 7], [5.0, 20, 7], [np.nan, 30, 7]], dtype=np.float32)
    features = QualityFeatures.fit(raw, ["rating", "popularity", "orders"])
    for weights in (shop(2.0).find(), no_prior(2, "the quality prior is switched off")):
        prior = QualityPrior(features, weights)
        again = QualityPrior.from_json(json.loads(json.dumps(prior.to_json())))
        assert again.to_json() == prior.to_json()
        assert again.weights.weights == weights.weights and again.weights.fitted == weights.fitted
        np.testing.assert_array_equal(again.features.apply(raw), features.apply(raw))


def test_features_that_do_not_vary_are_left_out_and_unknown_is_the_median() -> None:
    raw = np.array([[1.0, 7, np.nan], [np.nan, 7, np.nan], [3.0, 7, np.nan]], dtype=np.float32)
    features = QualityFeatures.fit(raw, ["rating", "constant", "unknown"])
    assert features.names == ("rating",)
    np.testing.assert_allclose(features.apply(raw), [[0.25], [0.5], [0.75]])


def test_brand_order_rate_is_smoothed() -> None:
    brands = pa.chunked_array([["a", "b"], ["a", None]])
    orders, impressions = np.array([3, 0, 1, 0]), np.array([50, 100, np.nan, 50])
    rate = brand_order_rate(brands, orders.astype(np.float32), impressions.astype(np.float32), prior=20.0)
    everywhere = 4 / 200
    expected = [(4 + 20 * everywhere) / 70, 20 * everywhere / 120, (4 + 20 * everywhere) / 70, np.nan]
    np.testing.assert_allclose(rate, expected, rtol=1e-6)


SEEDS = st.integers(0, 10_000)


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(1, 8), st.integers(0, 6))
def test_the_score_is_cosine_plus_boost(seed: int, width: int, features: int) -> None:
    rng = np.random.default_rng(seed)
    query, items = unit(rng.normal(size=(1, width)))[0], unit(rng.normal(size=(9, width)))
    quality, weights = rng.random((9, features)).astype(np.float32), rng.normal(size=features)
    longer, asked = items_with_quality(items, quality), query_with_prior(query, weights)
    np.testing.assert_allclose(np.linalg.norm(longer[:, :width], axis=1), 1, rtol=1e-5)
    scores = longer @ asked
    np.testing.assert_allclose(scores, items @ query + quality @ weights, atol=1e-5)
    np.testing.assert_array_equal(query_with_prior(np.stack([query, query]), weights), np.stack([asked, asked]))


@settings(max_examples=25, deadline=None)
@given(SEEDS)
def test_reranking_is_exact_over_all_items_and_proves_only_what_holds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, m = 12, 300
    wanted = Ragged(np.arange(n + 1) * 2, rng.integers(0, m, 2 * n).astype(np.int32))
    problem = Problem(
        unit(rng.normal(size=(n, 6))), unit(rng.normal(size=(m, 6))), rng.random((m, 2)).astype(np.float32), wanted,
        rng.integers(0, 100, n), rng.integers(0, 100, m),
    )  # fmt: skip
    weights = (rng.random(2) * 0.2).astype(np.float32)
    exact, fast = problem.outcome(weights), Reranking(problem, m).outcome(weights)
    for name in ("recall_10", "recall_100", "relevance"):
        np.testing.assert_allclose(getattr(fast, name), getattr(exact, name), atol=1e-6)
    few = Reranking(problem, 150)
    if few.proven(weights) == 1.0:
        np.testing.assert_allclose(few.outcome(weights).recall_100, exact.recall_100)
    found, _ = exact_top(
        query_with_prior(problem.queries, weights), items_with_quality(problem.items, problem.quality), 10,
        problem.asked_at, problem.available_from,
    )  # fmt: skip
    assert (problem.available_from[found] <= problem.asked_at[:, None])[found >= 0].all()
