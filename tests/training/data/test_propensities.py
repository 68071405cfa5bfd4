"""Propensities against logs whose examination is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from demoshop.clicks import POSITION_DECAY
from demoshop.landing import make_landing
from infra.settings import DemoSettings, Settings
from training.data import propensities
from training.data.arrays import Arrays, ShownStage, prepare_arrays
from training.data.propensities import (
    LEAST_CLICKS,
    LEAST_WITHOUT_CLICK,
    Impressions,
    Propensities,
    fit_propensities,
    log_propensities,
)
from training.data.ragged import Ragged, offsets_of

PAGE = 10
PAIR = 1_000_000
LOOKS = np.arange(1, PAGE + 1) ** -1.0


def some_log(requests: int, looks: np.ndarray, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair, position and click of each impression: 50 queries of 30 items, the attractive ones shown early."""
    rng = np.random.default_rng(seed)
    attraction = rng.beta(1, 4, size=(50, 30))
    query = rng.integers(0, 50, requests)
    order = np.argsort(-np.log(attraction[query]) + rng.gumbel(size=(requests, 30)) * 0.8, axis=1)[:, :PAGE]
    clicked = rng.random((requests, PAGE)) < looks * attraction[query[:, None], order]
    position = np.tile(np.arange(1, PAGE + 1), (requests, 1))
    return (query[:, None] * 30 + order).ravel(), position.ravel(), clicked.ravel()


def fitted(*log: np.ndarray) -> Propensities:
    found = fit_propensities(Impressions(*log))
    assert isinstance(found, Propensities), found
    return found


@pytest.mark.parametrize("looks", [LOOKS, np.ones(PAGE), np.where(np.arange(PAGE) == 4, 0.9, LOOKS)])
def test_what_people_looked_at_is_found_though_the_best_is_shown_first(looks: np.ndarray) -> None:
    pair, position, clicked = some_log(60_000, looks)
    np.testing.assert_allclose(fitted(pair, position, clicked).values, looks, rtol=0.1)
    share = np.bincount(position, clicked)[1:] / np.bincount(position)[1:]
    assert np.abs(share / share[0] / looks - 1).max() > 0.2, "the share of clicks alone would do as well"


def test_errors_are_those_of_the_estimates() -> None:
    found = [fitted(*some_log(4_000, LOOKS, seed=seed)) for seed in range(20)]
    off = [np.log(one.values[1:] / LOOKS[1:]) / one.error[1:] for one in found]
    assert 0.7 < np.std(off) < 1.3 and abs(np.mean(off)) < 0.5


def test_few_clicks_say_that_positions_are_alike() -> None:
    few, many = (fitted(*some_log(n, LOOKS**3)).values for n in (1_500, 60_000))
    assert few[-1] > many[-1] and many[-1] < 0.02


def test_the_order_of_impressions_and_the_names_of_pairs_count_for_nothing() -> None:
    pair, position, clicked = some_log(5_000, LOOKS)
    order = np.random.default_rng(0).permutation(len(pair))
    other = fitted(pair[order] * 7 + 3, position[order], clicked[order])
    np.testing.assert_allclose(other.values, fitted(pair, position, clicked).values, rtol=1e-6)


def test_without_an_item_that_moved_nothing_is_told() -> None:
    position = np.tile(np.arange(1, 6), 1_000)
    reason = fit_propensities(Impressions(position.astype(np.int64), position, np.ones(len(position), dtype=np.bool_)))
    assert isinstance(reason, str) and reason.startswith("0 clicks") and str(LEAST_CLICKS) in reason


@given(seed=st.integers(0, 1_000), requests=st.integers(0, 400), pairs=st.integers(1, 60), depth=st.integers(1, 25))
def test_whatever_the_log_they_are_shares_of_the_first(seed: int, requests: int, pairs: int, depth: int) -> None:
    rng = np.random.default_rng(seed)
    n = requests * 3
    position = rng.integers(1, depth + 1, n)
    found = fit_propensities(Impressions(rng.integers(0, pairs, n), position, rng.random(n) < rng.random()))
    if isinstance(found, str):
        assert "needed" in found
        return
    assert found.clicks >= LEAST_CLICKS and found.values[0] == 1 and len(found.values) == position.max()
    assert ((found.values > 0) & (found.values <= 1)).all() and np.isfinite(found.error).all()


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "items"), [(7, 2_000), (11, 600)])
def test_those_of_the_demo_shop_are_found_in_its_log(tmp_path: Path, seed: int, items: int) -> None:
    demo = DemoSettings(seed=seed, items=items, users=1_500, days=10, requests_per_user_day=4.0)
    settings = Settings(home=tmp_path, demo=demo)
    make_landing(settings)
    found = fitted(*_impressions(settings.paths.landing))
    looks = np.arange(1, 11) ** -POSITION_DECAY
    np.testing.assert_allclose(found.values[:10], looks, rtol=0.1)


def _impressions(landing: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pair, position and click of each impression of a landing folder."""
    queries, events = (f"read_parquet('{landing}/dt=*/{name}.parquet')" for name in ("ubi_queries", "ubi_events"))
    rows = duckdb.sql(
        f"""
        WITH shown AS (
            SELECT query_id, user_query, unnest(query_response_hit_ids) AS item,
                   generate_subscripts(query_response_hit_ids, 1) AS position FROM {queries}
        ), clicks AS (
            SELECT DISTINCT query_id, event_attributes.object.object_id AS item FROM {events}
            WHERE action_name = 'click'
        )
        SELECT dense_rank() OVER (ORDER BY user_query) * {PAIR} + dense_rank() OVER (ORDER BY item) AS pair,
               position, clicks.item IS NOT NULL AS clicked
        FROM shown LEFT JOIN clicks USING (query_id, item)
        """
    ).fetchnumpy()
    return rows["pair"], rows["position"], np.asarray(rows["clicked"], dtype=np.bool_)


def arrays_of(settings: Settings, pair: np.ndarray, position: np.ndarray, clicked: np.ndarray) -> Arrays:
    """A log of a second between pages, cut after three quarters of it."""
    request, pages = np.arange(len(pair)) // PAGE, len(pair) // PAGE

    def stage(kept: np.ndarray) -> ShownStage:
        items = Ragged(offsets_of(np.bincount(request[kept], minlength=pages)), (pair[kept] % 30).astype(np.int32))
        features = np.zeros((len(items.ids), 0), dtype=np.float32)
        return ShownStage(items, features, position[kept].astype(np.int16))

    return replace(
        prepare_arrays(settings),
        item_available=np.zeros(30, dtype=np.int64),
        request_query=(pair[::PAGE] // 30).astype(np.int32),
        request_time=np.arange(pages) * 1_000_000,
        meta={"cut_us": pages * 3 // 4 * 1_000_000},
        clicked=stage(clicked),
        unclicked=stage(~clicked),
    )


@pytest.mark.parametrize("most", [10_000_000, 5_000 * PAGE])
def test_what_was_shown_before_the_cut_tells(
    make_shop: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(propensities, "MOST_IMPRESSIONS", most)
    pair, position, clicked = some_log(20_000, LOOKS)
    request = np.arange(len(pair)) // PAGE
    kept = (request < 15_000) & (request >= 15_000 - most // PAGE) & (position <= 6)
    found = log_propensities(arrays_of(make_shop(requests=50), pair, position, clicked), deepest=6)
    assert isinstance(found, Propensities)
    np.testing.assert_allclose(found.values, fitted(pair[kept], position[kept], clicked[kept]).values, rtol=1e-6)


@pytest.mark.parametrize("without", [0.0, 0.04, 0.06])
def test_a_log_of_requests_with_a_click_alone_tells_nothing(make_shop: Callable[..., Settings], without: float) -> None:
    pair, position, clicked = some_log(60_000, LOOKS)
    clicked &= pair % 15 == 0
    rng = np.random.default_rng(0)
    led = clicked.reshape(-1, PAGE).any(axis=1)
    kept = np.repeat(led | (rng.random(len(led)) < without / (1 - without) * led.mean() / (1 - led.mean())), PAGE)
    log = pair[kept], position[kept], clicked[kept]
    assert (fitted(*log).values[1:5] > 1.2 * LOOKS[1:5]).all(), "such a log tells as well as a whole one"
    found = log_propensities(arrays_of(make_shop(requests=50), *log), deepest=PAGE)
    if without < LEAST_WITHOUT_CLICK:
        assert isinstance(found, str) and "led to no click" in found
    else:
        assert isinstance(found, Propensities)
