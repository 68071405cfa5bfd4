"""The shares against an oracle that reads the tables row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.readiness.joins import measure_joins
from features.readiness.learning import what_can_be_learned
from features.readiness.report import Joins, Ratio
from features.training_set import build_training_set
from infra.contract.errors import TrainingSetError
from infra.settings import Settings
from tests.features.small_log import UNKNOWN_ITEM, Log, small_log
from tests.features.test_training_set import prepared


@pytest.fixture(scope="module")
def log() -> Log:
    return small_log(3, days=4, requests_per_day=25, users=9, items=40)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Settings:
    return prepared(tmp_path_factory.mktemp("shop"), log)


@pytest.fixture(scope="module")
def joins(settings: Settings) -> Joins:
    return measure_joins(settings, {"unknown_request": 7, "no_item": 100})


def share(rows: list[dict[str, Any]], test: Any) -> Ratio:
    return Ratio(sum(bool(test(row)) for row in rows), len(rows))


def test_shares_of_requests(log: Log, joins: Joins) -> None:
    requests, events = log.requests.to_pylist(), log.events.to_pylist()
    assert joins.requests == len(requests)
    assert joins.with_text == share(requests, lambda r: r["query"])
    assert joins.with_impressions == share(requests, lambda r: r["shown"])
    assert joins.with_session == share(requests, lambda r: r["session_id"])
    assert joins.with_location == Ratio(0, len(requests))

    def knows(request: dict[str, Any]) -> bool:
        return any(e["user_id"] == request["user_id"] and e["known_at"] < request["time"] for e in events)

    assert joins.with_history == share(requests, knows)
    users = {r["user_id"] for r in requests}
    assert joins.users_with_history == Ratio(len({r["user_id"] for r in requests if knows(r)}), len(users))
    texts = [r["query"] for r in requests if r["query"]]
    assert joins.asked_before == Ratio(len(texts) - len(set(texts)), len(texts))


def test_shares_of_events_and_items(log: Log, joins: Joins) -> None:
    events, shown = log.events.to_pylist(), log.impressions.to_pylist()
    items = set(log.catalog["item_id"].to_pylist())
    for action in ("click", "cart", "order"):
        of_action = [e for e in events if e["action"] == action]
        assert joins.attributed[action] == share(of_action, lambda e: e["query_id"])
    named = sum(e["query_id"] is not None for e in events)
    assert joins.events_with_request == Ratio(named + len(shown), len(events) + len(shown) + 7)
    assert joins.shown_known == share(shown, lambda r: r["item_id"] in items)
    assert joins.acted_known == share(events, lambda r: r["item_id"] in items)
    assert joins.items_in_graph == Ratio(len(items & {e["item_id"] for e in events if e["query_id"]}), len(items))
    assert joins.positions.part == 0 < joins.positions.whole
    led = {e["query_id"] for e in events if e["query_id"]}
    ordered = {e["query_id"] for e in events if e["query_id"] and e["action"] == "order"}
    assert (joins.funnel["clicked"], joins.funnel["ordered"]) == (len(led), len(ordered))
    assert joins.unknown_ids == (UNKNOWN_ITEM,)


def test_without_a_catalogue_its_shares_are_of_nothing(tmp_path: Path, log: Log) -> None:
    settings = Settings(home=tmp_path, shop="toy")
    log.write(settings)
    settings.paths.catalog.unlink()
    joins = measure_joins(settings, {})
    assert joins.shown_known == joins.acted_known == joins.items_met == Ratio(0, 0)
    assert joins.impressions == log.impressions.num_rows


def test_what_can_be_learned_is_what_the_training_set_holds(settings: Settings) -> None:
    learning, built = what_can_be_learned(settings), build_training_set(settings)
    assert learning.requests == built.requests
    drawn = {split: {s: n for s, n in rows.items() if s != "random"} for split, rows in built.rows.items()}
    assert learning.rows == drawn
    assert learning.dropped == {name: n for name, n in built.dropped.items() if n}
    assert 0 < learning.ordered_and_unclicked["train"] <= learning.clicked_and_unclicked["train"]
    assert learning.clicked_and_unclicked["train"] <= learning.clicked["train"] <= learning.requests["train"]


def test_too_little_to_learn_from_is_the_sentence_of_a_run(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, shop="toy")
    with pytest.raises(TrainingSetError, match="no accepted day"):
        what_can_be_learned(settings)
