"""What could be found by those who know more than the log says, and what the log tells of tastes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from demoshop import oracle
from demoshop.believed_tastes import MATCHED, WIDTH, Belief, believed_before, price_match, rounds
from demoshop.clicks import examination
from demoshop.exposure import Exposure
from demoshop.logged_requests import LoggedRequests, last_days, read_requests
from demoshop.oracle import (
    ENGINES,
    PEOPLE,
    judging_query_ids,
    main,
    match_believed,
    rank_of,
    what_can_be_found,
)
from demoshop.queries import ComposedShop
from demoshop.randomness import stream
from demoshop.simulation import SHOWN
from demoshop.tastes import PRICE_SPREAD, PRICE_WEIGHT, USUAL_PRICE_DISTANCE, Tastes
from infra.contract.partitions import table_files
from infra.settings import Settings
from tests.demoshop.small_demo import read_days
from tests.training.conftest import SMALL
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.data.arrays import prepare_arrays
from training.evaluation.measure import judging_requests


@pytest.fixture(scope="module")
def shop(busy: Settings) -> ComposedShop:
    return ComposedShop(busy.demo)


@pytest.fixture(scope="module")
def requests(busy: Settings, shop: ComposedShop) -> LoggedRequests:
    return read_requests(busy, shop.items.ids)


@pytest.fixture(scope="module")
def found(busy: Settings, requests: LoggedRequests) -> oracle.Found:
    return what_can_be_found(busy, requests.ids.filter(pa.array(last_days(requests, 1))), draws=60)


def test_requests_are_those_of_the_log(busy: Settings, shop: ComposedShop, requests: LoggedRequests) -> None:
    queries, events = (read_days(busy.paths.landing, name) for name in ("ubi_queries", "ubi_events"))
    assert len(requests) == len(queries) and (np.diff(requests.time) >= 0).all()
    page = dict(zip(queries["query_id"].to_pylist(), queries["query_response_hit_ids"].to_pylist(), strict=True))
    assert shop.items.ids.take(pa.array(requests.shown[7])).to_pylist() == page[requests.ids[7].as_py()]
    clicks = events.filter(pc.equal(events["action_name"], "click"))
    assert requests.clicked.sum() == len(clicks)


def test_a_cart_that_lost_its_query_finds_it_again(busy: Settings, requests: LoggedRequests) -> None:
    events = read_days(busy.paths.landing, "ubi_events")
    carts = events.filter(pc.equal(events["action_name"], "add_to_cart"))
    # Two carts of one item by one client fall together where the later search showed it, too.
    assert 0.99 * len(carts) <= requests.carted.sum() <= len(carts)
    assert not (requests.carted & ~requests.clicked).any()
    ordered = requests.part(requests.ordered >= 0)
    carted = (ordered.carted & (ordered.shown == ordered.ordered[:, None])).any(axis=1)
    assert carted.mean() > 0.99


def test_who_knows_more_finds_more(found: oracle.Found) -> None:
    at_10 = {known: of["recall@10"] for known, of in found.figures.items()}
    for engine in ENGINES:
        fits, _, told, true = (at_10[people, engine] for people in PEOPLE)
        assert fits < told < true
    for people in PEOPLE:
        assert at_10[people, "unknown"] < at_10[people, "pages"]
    assert at_10["+ quality", "unknown"] < at_10["+ quality", "popularity"]
    assert 0.1 < found.told < 0.9
    assert all(0 <= of["mrr"] <= of["recall@100"] <= 1 for of in found.figures.values())


def test_the_table_says_it(found: oracle.Found, busy: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(found.markdown().splitlines()) == 4 + len(PEOPLE) * len(ENGINES)
    assert f"of {found.requests:,} later orders" in found.markdown()
    monkeypatch.setattr(oracle, "get_settings", lambda: busy)
    with pytest.raises(FileNotFoundError, match="--days"):
        main([])
    with pytest.raises(ValueError, match="nothing to find"):
        what_can_be_found(busy, ["none"])
    with pytest.raises(ValueError, match="SHELFWISE_LANDING"):
        what_can_be_found(busy.model_copy(update={"landing": "/logs"}))


def test_the_command_prints_the_last_days(
    busy: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(oracle, "get_settings", lambda: busy)
    main(["--days", "1"])
    assert "| + true tastes | pages |" in capsys.readouterr().out


def test_tastes_are_told_by_the_past_alone(shop: ComposedShop, requests: LoggedRequests) -> None:
    wanted = np.flatnonzero(requests.day == 2)
    now = wanted[len(wanted) // 2]
    later = np.arange(len(requests)) >= now
    otherwise = replace(requests, clicked=np.where(later[:, None], ~requests.clicked, requests.clicked))
    believed, changed = (believed_before(shop, log, wanted).mean for log in (requests, otherwise))
    np.testing.assert_array_equal(believed[wanted <= now], changed[wanted <= now])
    assert (believed[wanted > now] != changed[wanted > now]).any()
    seen = np.array([user in requests.user[:row] for row, user in zip(wanted, requests.user[wanted], strict=True)])
    assert not believed[~seen].any()
    assert believed[seen].any(axis=1).mean() > 0.99, "all but those who saw nothing that fits"


def test_what_is_believed_of_tastes_is_as_sure_as_it_says(shop: ComposedShop, requests: LoggedRequests) -> None:
    wanted = np.flatnonzero(requests.day == 3)
    believed = believed_before(shop, requests, wanted)
    tastes = Tastes(shop.demo.seed, shop.demo.users, shop.topics, shop.values)
    for _ in range(3):
        tastes.advance()
    true = tastes.vectors[requests.user[wanted]][:, MATCHED]
    error = (true - believed.mean) ** 2
    variance = np.einsum("ndd->nd", believed.covariance)
    assert error.sum() < 0.8 * (true**2).sum()
    assert error.mean() == pytest.approx(variance.mean(), rel=0.1)


def test_strangers_stay_strangers_as_days_go_by() -> None:
    after = Belief.of_strangers(2).after(9)
    np.testing.assert_allclose(after.covariance, Belief.of_strangers(2).covariance, atol=1e-6)
    known = Belief(np.ones((1, WIDTH), np.float32), np.full((1, WIDTH, WIDTH), 0, np.float32)).after(1)
    assert known.mean[0, 0] < 1 and known.covariance[0, 0, 0] > 0


def drawn_beliefs(count: int) -> tuple[Belief, np.ndarray]:
    """A belief of one person, and as many tastes drawn from it."""
    rng = stream(1, "beliefs")
    mean = rng.standard_normal(WIDTH).astype(np.float32)
    root = 0.3 * rng.standard_normal((WIDTH, WIDTH))
    covariance = (root @ root.T / 5).astype(np.float32)
    drawn = rng.multivariate_normal(mean, covariance.astype(np.float64), count)
    return Belief(mean[None], covariance[None]), drawn.astype(np.float32)


def test_what_a_price_adds_is_that_of_drawn_tastes() -> None:
    belief, drawn = drawn_beliefs(20_000)
    levels = np.array([[-2.0, -0.3, 0.0, 0.4, 3.0]], np.float32)
    mean, variance, slope = price_match(belief, levels)
    match = PRICE_WEIGHT * (USUAL_PRICE_DISTANCE - np.abs(levels - PRICE_SPREAD * drawn[:, -1:]))
    np.testing.assert_allclose(mean[0], match.mean(axis=0), atol=0.02)
    np.testing.assert_allclose(variance[0], match.var(axis=0), atol=0.02)
    step = np.float32(1e-2)
    moved = Belief(belief.mean + step * np.eye(WIDTH, dtype=np.float32)[-1], belief.covariance)
    np.testing.assert_allclose((price_match(moved, levels)[0] - mean)[0] / step, slope[0], atol=0.02)


def test_how_well_items_suit_is_that_of_drawn_tastes(shop: ComposedShop) -> None:
    belief, drawn = drawn_beliefs(20_000)
    tastes = Tastes(shop.demo.seed, shop.demo.users, shop.topics, shop.values)
    tastes.vectors = np.zeros((len(drawn), tastes.vectors.shape[1]), np.float32)
    tastes.vectors[:, MATCHED] = drawn
    everybody = np.arange(len(drawn), dtype=np.int32)
    match = tastes.match(everybody, shop.items, np.tile(np.arange(9, dtype=np.int32), (len(drawn), 1)))
    mean, deviation = match_believed(shop, belief, 9)
    np.testing.assert_allclose(mean[0], match.mean(axis=0), atol=0.04)
    np.testing.assert_allclose(deviation[0], match.std(axis=0), rtol=0.05)


def test_the_engine_shows_what_it_showed(shop: ComposedShop, requests: LoggedRequests) -> None:
    of_day = requests.part(requests.day == 1)
    items = shop.items_by(1)
    looked = Exposure(shop, draws=100).of(of_day, items)
    np.testing.assert_allclose(looked.sum(axis=1), examination(SHOWN).sum(), rtol=1e-3)
    there = shop.items.created[:items] <= of_day.time[:, None]
    assert looked[~there].max(initial=0) == 0
    shown = np.take_along_axis(looked, of_day.shown.astype(np.int64), axis=1)
    assert shown.mean() > 10 * looked.mean()
    # The first places of the log are those that are looked at most in the pages drawn.
    assert shown[:, 0].mean() > 2 * shown[:, -1].mean()


def test_equal_scores_stand_in_random_order() -> None:
    ranks = rank_of(np.ones((4_000, 5), np.float32), np.full(4_000, 2), stream(1, "ties"))
    np.testing.assert_allclose(np.bincount(ranks) / 4_000, 0.2, atol=0.03)
    scores = np.array([[1.0, 3.0, 2.0]], np.float32)
    assert [int(rank_of(scores, np.array([i]), stream(1, "ties"))[0]) for i in range(3)] == [2, 0, 1]


def test_a_round_has_a_user_once() -> None:
    parts = rounds(np.array([4, 5, 6, 7]), np.array([9, 3, 9, 9], np.int32))
    assert [part.tolist() for part in parts] == [[4, 5], [6], [7]]
    assert rounds(np.zeros(0, np.int64), np.zeros(0, np.int32)) == []


def test_the_judging_requests_are_those_of_the_evaluation(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings(home=tmp_path_factory.mktemp("judging"), shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop(requests=800))
    arrays = prepare_arrays(settings)
    truth, judging = judging_requests(arrays)
    assert truth == "orders"
    table = pa.concat_tables([pq.read_table(file) for file in table_files(settings.paths.training_set / "requests")])
    in_order = table.sort_by([("time", "ascending"), ("query_id", "ascending")])["query_id"].to_pylist()
    assert sorted(judging_query_ids(settings).to_pylist()) == sorted(in_order[row] for row in judging)
    ordered = np.flatnonzero(arrays.is_validation & (arrays.ordered.lengths > 0))
    assert 0 < len(judging) < len(ordered), "some people choose the epoch"
