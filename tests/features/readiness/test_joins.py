"""The shares against an oracle that reads the tables row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.readiness.bots import EVERYTHING, LEAST_SHOWN, MANY_A_DAY, suspected_bots
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


def test_clients_that_no_person_is(tmp_path: Path, log: Log) -> None:
    import pyarrow as pa

    busy = log.requests.slice(0, 1).to_pylist()[0]
    requests = [busy | {"query_id": f"busy{n}", "user_id": "u-busy"} for n in range(MANY_A_DAY)]
    requests += [busy | {"query_id": f"named{n}", "user_id": "googlebot-7"} for n in range(3)]
    requests += [busy | {"query_id": f"all{n}", "user_id": "u-all"} for n in range(5)]
    requests += [busy | {"query_id": "person", "user_id": "abbot"}]
    one = log.impressions.slice(0, 1).to_pylist()[0]
    shown = [one | {"query_id": f"all{n % 5}", "user_id": "u-all", "item_id": f"x{n}"} for n in range(LEAST_SHOWN)]
    event = log.events.slice(0, 1).to_pylist()[0]
    clicked = [
        event | {"event_id": f"c{n}", "query_id": f"all{n % 5}", "user_id": "u-all", "item_id": f"x{n}"}
        for n in range(round(EVERYTHING * LEAST_SHOWN))
    ]

    def more(table: pa.Table, rows: list[dict[str, Any]]) -> pa.Table:
        return pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)])

    settings = Settings(home=tmp_path, shop="toy")
    Log(log.catalog, more(log.requests, requests), more(log.impressions, shown), more(log.events, clicked)).write(
        settings
    )
    found = {bot.client: bot.why for bot in suspected_bots(settings)}
    assert found == {
        "u-busy": "1,000 requests on one day",
        "googlebot-7": "its id",
        "u-all": "90% of the 100 items that it was shown were clicked",
    }
