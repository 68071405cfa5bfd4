"""How likely a click is, told by searches that led to one and by those that did not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit  # type: ignore[import-untyped]

from infra.settings import Settings
from tests.training.conftest import SMALL
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.data.arrays import Arrays, ShownStage, prepare_arrays
from training.data.held_out import stopping_and_judging
from training.evaluation.plots import reliability_figure
from training.evaluation.reliability import reliability
from training.evaluation.report import CONFIDENCE, EvaluationReport
from training.ranking.click_chance import (
    FIRST,
    LEAST_FOR_CURVE,
    ClickChance,
    clicked_first,
    fit_click_chance,
    telling_requests,
)


def made(count: int, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Nearness, whether it led to an item, whether it was clicked, and the true chance."""
    rng = np.random.default_rng(seed)
    near, led = rng.uniform(0.2, 0.9, count).astype(np.float32), rng.random(count) < 0.5
    chance = expit(5 * near + 0.8 * led - 3.5)
    return near, led, rng.random(count) < chance, chance


@pytest.mark.parametrize(("count", "method"), [(LEAST_FOR_CURVE - 1, "Platt"), (8_000, "isotonic")])
def test_the_chance_is_the_true_one(count: int, method: str) -> None:
    near, led, clicked, _ = made(count)
    found = fit_click_chance(near, led, clicked)
    assert isinstance(found, ClickChance) and found.method == method and found.requests == count
    others, of_others, _, chance = made(2_000, seed=2)
    assert np.abs(found.of(others, of_others) - chance).mean() < 0.04
    assert np.isnan(found.of(np.array([np.nan], dtype=np.float32), np.array([True]))).all()
    assert ClickChance.from_json(json.loads(json.dumps(found.to_json()))) == found


@given(seed=st.integers(0, 1_000), count=st.integers(120, 1_500), slope=st.floats(-9, 9))
def test_nearer_is_never_less_likely(seed: int, count: int, slope: float) -> None:
    rng = np.random.default_rng(seed)
    near, led = rng.random(count), rng.random(count) < 0.3
    clicked = rng.random(count) < expit(slope * (near - 0.5))
    clicked[:50], clicked[50:100] = True, False
    found = fit_click_chance(near, led, clicked)
    assert isinstance(found, ClickChance)
    for known in (False, True):
        chance = found.of(np.linspace(-1, 1, 50), np.full(50, known))
        assert (np.diff(chance) >= -1e-12).all() and (chance >= 0).all() and (chance <= 1).all()


def test_too_few_of_either_kind_tell_nothing() -> None:
    near, led, clicked, _ = made(400)
    assert "did not" in str(fit_click_chance(near, led, np.ones(400, dtype=np.bool_)))
    assert "0 did not" in str(fit_click_chance(np.where(clicked, near, np.nan), led, clicked))
    assert isinstance(fit_click_chance(near, led, clicked), ClickChance)


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Arrays:
    settings = Settings(home=tmp_path_factory.mktemp("chance"), shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(requests=1_500))
    return prepare_arrays(settings)


def without_clicks(arrays: Arrays, which: np.ndarray) -> Arrays:
    """The arrays with the clicks of some requests gone, what was shown there unclicked."""
    lengths = np.where(which, 0, arrays.clicked.lengths)
    kept = np.repeat(~which, arrays.clicked.lengths)
    items = replace(
        arrays.clicked.items, offsets=np.append(0, np.cumsum(lengths)), ids=np.asarray(arrays.clicked.items.ids)[kept]
    )
    features, positions = (np.asarray(part)[kept] for part in (arrays.clicked.features, arrays.clicked.positions))
    return replace(arrays, clicked=ShownStage(items, features, positions))


def placed(arrays: Arrays, positions: np.ndarray | int) -> Arrays:
    """The arrays with other places of what was clicked."""
    places = np.zeros(len(arrays.clicked.positions), dtype=np.int16) + np.asarray(positions, dtype=np.int16)
    return replace(arrays, clicked=replace(arrays.clicked, positions=places))


def test_a_log_of_clicked_searches_alone_tells_nothing(arrays: Arrays) -> None:
    everywhere = replace(arrays, is_validation=arrays.is_validation & (arrays.clicked.lengths > 0))
    assert "led to no click" in str(telling_requests(everywhere))
    assert "led to no click" in str(
        telling_requests(replace(arrays, is_validation=np.zeros_like(arrays.is_validation)))
    )


def test_who_teaches_does_not_judge(arrays: Arrays) -> None:
    odd = without_clicks(arrays, np.arange(len(arrays.request_time)) % 3 == 0)
    assert "where the item stood" in str(telling_requests(odd)), "the toy shop's log does not say"
    odd = placed(odd, 1)
    telling = telling_requests(odd)
    assert not isinstance(telling, str)
    teaching, judging = telling
    stopping, judges = stopping_and_judging(odd)
    assert set(stopping.tolist()) <= set(teaching.tolist()) and set(judges.tolist()) <= set(judging.tolist())
    assert len(teaching) > len(stopping) and len(judging) > len(judges), "those without a click tell as well"
    assert not set(odd.request_person[teaching].tolist()) & set(odd.request_person[judging].tolist())


def test_a_click_counts_where_the_item_stood_among_the_first(arrays: Arrays) -> None:
    requests = np.flatnonzero(arrays.is_validation)[::-1]
    positions = np.random.default_rng(1).integers(0, 2 * FIRST, len(arrays.clicked.positions))
    arrays, offsets = placed(arrays, positions), arrays.clicked.items.offsets
    slow = [(((p := positions[offsets[r] : offsets[r + 1]]) >= 1) & (p <= FIRST)).any() for r in requests]
    np.testing.assert_array_equal(clicked_first(arrays, requests), slow)
    assert 0 < sum(slow) < len(slow)
    assert not clicked_first(placed(arrays, FIRST + 1), requests).any()


def test_what_comes_true_is_near_what_was_said() -> None:
    near, led, clicked, chance = made(6_000)
    person = np.arange(6_000) // 3
    true, wrong = (reliability(said, clicked, person, seed=1) for said in (chance, 0.5 * chance))
    assert true["error"] < 0.03 and wrong["error"] > 0.2
    assert true["brier"] < true["brier_of_mean"] and true["brier"] < wrong["brier"]
    assert sum(part["requests"] for part in true["bins"]) == 6_000 and len(true["bins"]) == 10
    assert all(part["low"] <= part["observed"] <= part["high"] for part in true["bins"])
    same = reliability(np.full(100, 0.4), clicked[:100], person[:100], seed=1)
    assert len(same["bins"]) == 1 and same["bins"][0]["requests"] == 100
    assert near.shape == led.shape


def test_the_report_says_and_plots_it() -> None:
    empty = EvaluationReport(truth="orders", requests=0, items=0, rows=[], slices={})
    assert reliability_figure(empty) is None and "confidence" not in empty.markdown()
    silent = replace(empty, measured={CONFIDENCE: {"reason": "every request led to a click"}})
    assert "every request led to a click." in silent.markdown() and reliability_figure(silent) is None
    _, _, clicked, chance = made(500)
    told = {"method": "Platt", "fitted": 300, **reliability(chance, clicked, np.arange(500), seed=1)}
    said = replace(empty, measured={CONFIDENCE: told})
    assert "expected calibration error" in said.markdown() and "| 50 |" in said.markdown()
    figure = reliability_figure(said)
    assert figure is not None and len(figure.axes[0].texts) == 10
