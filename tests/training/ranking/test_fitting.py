"""Weights learned from lists, and when they are taken."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import approx_fprime

from tests.training.ranking.examples import items
from training.ranking import listwise
from training.ranking.fitting import LEARNED, LEAST_REQUESTS, RankingRows, _proven, fit_ranker, ndcg
from training.ranking.listwise import Lists, fit_listwise, fit_scale

FEATURES = items().features
PAIRS = 20


def some_lists(n: int, weights: np.ndarray, seed: int = 1) -> Lists:
    """Requests of 20 pairs, one of which is chosen with the probability of its softmax."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, PAIRS, len(weights)))
    noise = rng.gumbel(size=(n, PAIRS))
    chosen = (values @ weights + noise).argmax(axis=1)
    gain = np.zeros((n, PAIRS))
    gain[np.arange(n), chosen] = 1
    return Lists.of(values.reshape(-1, len(weights)), np.repeat(np.arange(n), PAIRS), gain.ravel())


def test_the_weights_that_made_the_choices_are_found() -> None:
    weights = np.array([2.0, -1.0, 0.0])
    np.testing.assert_allclose(fit_listwise(some_lists(4_000, weights), np.zeros(3)), weights, atol=0.1)


def test_gradient_and_curvature_are_those_of_the_loss() -> None:
    lists, at, start = some_lists(30, np.array([1.0, -1.0])), np.array([0.3, 0.7]), np.array([0.1, 0.0])
    _, gradient = listwise._loss(at, lists.values, lists, start)
    numeric = approx_fprime(at, lambda w: listwise._loss(w, lists.values, lists, start)[0], 1e-6)
    np.testing.assert_allclose(gradient, numeric, atol=1e-5)
    curvature = listwise._curvature(at, lists.values, lists)
    rows = [
        approx_fprime(at, lambda w, i=i: listwise._loss(w, lists.values, lists, start)[1][i], 1e-6) for i in range(2)
    ]
    np.testing.assert_allclose(curvature, np.array(rows), atol=1e-4)


def test_few_requests_leave_weights_where_they_began() -> None:
    weights, start = np.array([3.0]), np.array([0.5])
    few, many = (fit_listwise(some_lists(n, weights), start)[0] for n in (1, 1_000))
    assert abs(few - 0.5) < abs(many - 0.5) and many == pytest.approx(3, abs=0.3)


def test_a_rule_that_says_nothing_gets_no_weight() -> None:
    lists = some_lists(300, np.array([0.0, 2.0]))
    about, loss = fit_scale(lists, np.array([0.0, 1.0]))
    blind, worse = fit_scale(lists, np.array([1.0, 0.0]))
    assert loss < worse and abs(blind[0]) < 0.2 < about[1]


def some_rows(n: int, follows: str, seed: int = 1) -> RankingRows:
    """Requests in which the pair of highest ``follows`` is ordered."""
    rng = np.random.default_rng(seed)
    values = rng.random((n * PAIRS, len(FEATURES))).astype(np.float32)
    values[rng.random(len(values)) < 0.1, -1] = np.nan
    best = np.nan_to_num(values[:, FEATURES.index(follows)]).reshape(n, PAIRS).argmax(axis=1)
    gain = np.zeros((n, PAIRS))
    gain[np.arange(n), best] = 4
    return RankingRows(
        values, np.repeat(np.arange(n), PAIRS), gain.ravel(), np.ones(n, dtype=np.bool_), np.arange(n) // 2
    )


def test_what_pays_on_other_users_is_taken() -> None:
    learned = fit_ranker(FEATURES, some_rows(200, "times_ordered"), 7)
    assert learned.choices["known"].serves == LEARNED
    assert learned.ranker.weights["known"].argmax() == FEATURES.index("times_ordered")
    assert learned.choices["unknown"].serves == "hybrid with text" and learned.choices["unknown"].requests == 0


def test_a_rule_that_nothing_learned_beats_serves() -> None:
    fitted = fit_ranker(FEATURES, some_rows(200, "graph_share"), 7)
    assert fitted.choices["known"].ndcg["random walk"] > 0.99
    assert fitted.choices["known"].serves in ("random walk", LEARNED)
    scores = fitted.ranker.scores(np.eye(len(FEATURES), dtype=np.float32), np.ones(len(FEATURES), dtype=np.bool_))
    assert scores.argmax() == FEATURES.index("graph_share")


def test_what_leads_by_chance_does_not_serve() -> None:
    rows = some_rows(200, "times_ordered")
    noise = replace(rows, gain=np.random.default_rng(5).permuted(rows.gain.reshape(200, PAIRS), axis=1).ravel())
    fitted = fit_ranker(FEATURES, noise, 7)
    assert max(fitted.choices["known"].ndcg.values()) > fitted.choices["known"].ndcg["towers"]
    assert fitted.choices["known"].serves == "towers"


def test_the_best_of_those_that_surely_lead_serves() -> None:
    rng = np.random.default_rng(1)
    towers = rng.random(100)
    measured = {"towers": towers, "hybrid": towers + 0.05, "learned": towers + rng.normal(0.06, 3, 100)}
    assert _proven(measured, np.arange(100), "towers") == "hybrid"
    assert _proven({"towers": towers, "hybrid": towers}, np.arange(100), "towers") == "towers"
    lead = np.where(np.arange(100) < 50, 0.3, -0.1) + rng.normal(0, 0.01, 100)
    measured = {"towers": towers, "hybrid": towers + lead}
    assert _proven(measured, np.arange(100), "towers") == "hybrid", "a hundred people"
    assert _proven(measured, np.arange(100) // 50, "towers") == "towers", "two people"


def test_of_too_few_requests_nothing_is_learned() -> None:
    few = fit_ranker(FEATURES, some_rows(LEAST_REQUESTS - 1, "times_ordered"), 7)
    assert few.choices["known"].serves == "towers" and not few.choices["known"].ndcg
    none = RankingRows(
        np.zeros((0, len(FEATURES)), np.float32), np.zeros(0, int), np.zeros(0), np.zeros(0, bool), np.zeros(0, int)
    )
    assert fit_ranker(FEATURES, none, 7).order == "known queries: towers, unknown queries: hybrid with text"


def test_the_same_rows_give_the_same_ranker() -> None:
    first, second = (fit_ranker(FEATURES, some_rows(120, "brand_share"), 7).to_json() for _ in range(2))
    assert first == second


def test_ndcg_of_known_orders() -> None:
    lists = Lists.of(np.zeros((4, 1)), np.array([0, 0, 1, 1]), np.array([1.0, 0, 0, 1]))
    np.testing.assert_allclose(ndcg(lists, np.array([2.0, 1, 2, 1])), [1, 1 / np.log2(3)])
    np.testing.assert_allclose(ndcg(lists, np.zeros(4)), [1 / np.log2(3), 1])
