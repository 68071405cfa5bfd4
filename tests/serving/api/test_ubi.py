"""What a server with a log answers, takes and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from infra.settings import Settings, UbiLogSettings
from serving.api.app import create_app
from tests.serving.api.conftest import LOCAL, wait_until_ready, with_api
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import wait_for

pytestmark = pytest.mark.server

ORIGIN = "https://shop.example"
KEY = "a key that is long enough"
CLICK = {"action_name": "click", "event_attributes": {"object": {"object_id": "i3"}}}


def with_log(settings: Settings, folder: Path, **changes: Any) -> Settings:
    log = UbiLogSettings.model_validate(
        {"enabled": True, "folder": folder, "flush_seconds": 0.01, "min_free_bytes": 0, "origins": [ORIGIN]} | changes
    )
    return settings.model_copy(update={"ubi_log": log})


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder


@pytest.fixture
def client(shop: Shop, logs: Path) -> Iterator[TestClient]:
    with TestClient(create_app(with_log(shop.settings, logs)), base_url=LOCAL) as client:
        wait_until_ready(client)
        yield client


def rows(logs: Path, source: str, count: int) -> list[dict[str, Any]]:
    def read() -> list[dict[str, Any]]:
        lines = [line for file in sorted(logs.glob(f"dt=*/{source}-*")) for line in file.read_bytes().splitlines()]
        return [json.loads(line) for line in lines]

    wait_for(lambda: len(read()) >= count)
    assert len(read()) == count
    return read()


def test_a_search_and_its_click_are_logged_as_one_story(client: TestClient, logs: Path) -> None:
    asked = {
        "query": "Red shoes",
        "user": "reader-1",
        "client_id": "c1",
        "k": 6,
        "shown": 4,
        "location": {"country": "DE"},
    }
    answer = client.post("/search", json=asked).json()
    hits = [hit["item_id"] for hit in answer["hits"]]
    click = {"user": "reader-1", "action": "click", "item_id": hits[1], "query_id": answer["query_id"], "position": 2}
    told = {"recorded": True, "logged": True, "unknown_item": False, "fallbacks": []}
    assert client.post("/events", json=click).json() == told
    (query,), (event,) = rows(logs, "ubi_queries", 1), rows(logs, "ubi_events", 1)
    assert query["query_response_hit_ids"] == hits[:4]
    assert (query["user_query"], query["user_id"], query["client_id"]) == ("Red shoes", "reader-1", "c1")
    assert query["query_attributes"] == {
        "country": "DE",
        "release_id": answer["release_id"],
        "personalized": answer["personalized"],
    }
    assert event["query_id"] == query["query_id"] == answer["query_id"]
    assert event["event_attributes"] == {
        "object": {"object_id": hits[1], "object_id_field": "item_id"},
        "position": {"ordinal": 2},
    }
    ages = [(datetime.now(UTC) - datetime.fromisoformat(row["timestamp"])).total_seconds() for row in (query, event)]
    assert all(0 <= age < 60 for age in ages)


def test_the_log_has_what_was_typed_and_what_was_answered(client: TestClient, logs: Path) -> None:
    client.post("/search", json={"query": "Red sheos"})
    (row,) = rows(logs, "ubi_queries", 1)
    assert (row["user_query"], row["query_attributes"]["corrected"]) == ("Red sheos", "Red shoes")


def test_what_is_shown_to_nobody_not_searched_or_refused_is_not_logged(client: TestClient, logs: Path) -> None:
    client.post("/search", json={"query": "mug", "shown": 0})
    client.get("/search", params={"q": "mug"})
    assert client.post("/search", json={"query": "!"}).status_code == 200
    client.post("/search", json={"query": "x" * 2_000})
    client.post("/events", json={"user": "reader-1", "action": "dance", "item_id": "i1"})
    mine = client.post("/search", json={"query": "mug", "query_id": "mine", "user": "c9", "client_id": "c9"}).json()
    assert mine["query_id"] == "mine"
    (query,) = rows(logs, "ubi_queries", 1)
    assert (query["query_id"], query["client_id"], query.get("user_id")) == ("mine", "c9", None)
    assert list(logs.glob("dt=*/ubi_events*")) == []


def test_an_array_of_ubi_events_reaches_the_log_and_the_next_search(client: TestClient, logs: Path) -> None:
    sent = [
        CLICK | {"client_id": "guest-7", "query_id": "q"},
        {"action_name": "", "client_id": "guest-7"},
        {"action_name": "scroll", "client_id": "guest-7"},
    ]
    answer = client.post("/ubi_events", json=sent)
    told = answer.json()
    assert answer.status_code == 202
    assert (told["accepted"], told["logged"], told["refused"], told["fallbacks"]) == (2, 2, 1, [])
    assert [(problem["row"], "action_name" in problem["detail"]) for problem in told["problems"]] == [(1, True)]
    assert [row["action_name"] for row in rows(logs, "ubi_events", 2)] == ["click", "scroll"]
    known = client.post("/search", json={"query": "mug", "user": "guest-7", "explain": True}).json()["features"]
    assert known["recent_items"] == ["i3"]


def test_searches_of_elsewhere_are_logged(client: TestClient, logs: Path) -> None:
    sent = [{"query_id": "q9", "client_id": "guest-8", "user_query": "lamp", "query_response_hit_ids": ["i1", "i2"]}]
    assert (
        client.post("/ubi_queries", content=json.dumps(sent), headers={"content-type": "text/plain"}).status_code == 202
    )
    (row,) = rows(logs, "ubi_queries", 1)
    assert {name: row[name] for name in sent[0]} == sent[0]
    known = client.post("/search", json={"query": "mug", "user": "guest-8", "explain": True}).json()["features"]
    assert known["recent_queries"] == ["lamp"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ('{"a": 1', "JSON"),
        ("[1]", "array of objects"),
        ('[{"action_name": "click"}]', "row 0: it has neither"),
        ('[{"action_name": "click", "client_id": "c", "price": NaN}]', "not finite"),
        ('[{"action_name": "click", "client_id": "\\ud800"}]', "Unicode"),
    ],
)
def test_what_cannot_be_read_is_refused_whole(client: TestClient, logs: Path, body: str, says: str) -> None:
    answer = client.post("/ubi_events", content=body)
    assert (answer.status_code, says in answer.json()["detail"]) == (422, True)
    assert list(logs.glob("dt=*/ubi_events*")) == []


def test_metrics_and_health_tell_of_the_log(client: TestClient, logs: Path) -> None:
    client.post("/search", json={"query": "mug"})
    rows(logs, "ubi_queries", 1)
    wait_for(lambda: 'shelfwise_ubi_log_rows_total{source="ubi_queries"} 1.0' in client.get("/metrics").text)
    text = client.get("/metrics").text
    assert 'shelfwise_ubi_log_dropped_total{reason="queue_full"} 0.0' in text
    assert "shelfwise_ubi_log_failing 0.0" in text
    assert client.get("/healthz").json()["ubi_log"] == "ok"


def test_searches_are_answered_while_the_log_cannot_be_written(shop: Shop, logs: Path) -> None:
    settings = with_log(shop.settings, logs, min_free_bytes=2**60, max_waiting_bytes=2_000)
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        for _ in range(20):
            assert client.post("/search", json={"query": "mug", "k": 10}).status_code == 200
        wait_for(lambda: client.get("/healthz").json()["ubi_log"] == "failing")
        event = client.post("/events", json={"user": "reader-1", "action": "click", "item_id": "i3"}).json()
        text = client.get("/metrics").text
        assert "shelfwise_ubi_log_failing 1.0" in text
        assert 'dropped_total{reason="queue_full"} 0.0' not in text
        assert (event["recorded"], event["logged"]) == (True, False)
    assert list(logs.glob("dt=*/*")) == []


def test_a_shop_without_a_release_collects_its_log(tmp_path: Path, logs: Path) -> None:
    settings = with_log(Settings(home=tmp_path / "home", shop="new"), logs)
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        told = client.post("/ubi_events", json=[CLICK | {"client_id": "c1"}]).json()
        assert (told["logged"], told["fallbacks"]) == (1, ["not_ready"])
        assert len(rows(logs, "ubi_events", 1)) == 1


def test_pages_of_the_shop_post_without_the_key_and_others_do_not(shop: Shop, logs: Path) -> None:
    """Key or not, a browser asks first (OPTIONS) and hides the answer unless the origin is allowed."""
    settings = with_api(with_log(shop.settings, logs), key=KEY)
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        allowed = client.options("/ubi_events", headers=preflight | {"Origin": ORIGIN})
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, ORIGIN)
        sent = [CLICK | {"client_id": "c1"}]
        posted = client.post("/ubi_events", json=sent, headers={"Origin": ORIGIN})
        assert (posted.status_code, posted.headers["access-control-allow-origin"]) == (202, ORIGIN)
        other = {"Origin": "https://other.example"}
        assert client.options("/ubi_events", headers=preflight | other).status_code == 400
        assert client.post("/ubi_events", json=sent, headers=other).status_code == 401
        assert client.post("/ubi_events", json=sent).status_code == 401
        assert client.post("/search", json={"query": "mug"}, headers={"Origin": ORIGIN}).status_code == 401
        assert client.options("/search", headers=preflight | {"Origin": ORIGIN}).status_code == 401
        with_key = client.post("/ubi_events", json=sent, headers={"Authorization": f"Bearer {KEY}"})
        assert with_key.status_code == 202
        assert (
            client.post("/ubi_events", content=b"[" + b" " * 500_000 + b"]", headers={"Origin": ORIGIN}).status_code
            == 413
        )


@pytest.mark.parametrize("guest", ["guest", "0", " NULL ", "None", "undefined", "", "n/a"])
def test_guests_have_the_history_of_their_browser_and_share_none(client: TestClient, guest: str) -> None:
    def known(**asked: str | None) -> Any:
        return client.post("/search", json={"query": "mug", "explain": True, "shown": 0} | asked).json()["features"]

    browser = f"browser of {guest!r}"
    item = {"event_attributes": {"object": {"object_id": "i3"}}}
    sent = [{"action_name": "click", "user_id": guest, "client_id": browser} | item]
    assert client.post("/ubi_events", json=sent).json()["accepted"] == 1
    searched = [{"query_id": "q", "user_id": guest, "client_id": browser, "user_query": "lamp"}]
    assert client.post("/ubi_queries", json=searched).json()["accepted"] == 1
    if guest:
        click = {"user": guest, "client_id": browser, "action": "click", "item_id": "i4"}
        assert client.post("/events", json=click).json()["recorded"]
        nobody = {"user": guest, "action": "click", "item_id": "i5"}
        assert not client.post("/events", json=nobody).json()["recorded"]
        assert client.post("/events", json=nobody | {"action": "dance"}).status_code == 422
    mine = known(user=guest, client_id=browser)
    assert (mine["recent_items"], mine["recent_queries"]) == ((["i4"] if guest else []) + ["i3"], ["lamp"])
    assert known(user=None, client_id=browser) == known(user=browser) == mine
    assert known(user=guest)["recent_items"] == known(user="guest")["recent_items"] == []
    assert client.get("/search", params={"q": "mug", "user": guest, "explain": True}).json()["personalized"] is False


@pytest.mark.parametrize("action", ["Add to Cart", "add-to-cart", "AddToCart", " CLICK "])
def test_actions_count_however_they_are_spelt(client: TestClient, action: str) -> None:
    user = f"spells {action!r}"
    assert client.post("/ubi_events", json=[CLICK | {"client_id": user, "action_name": action}]).status_code == 202
    assert client.post("/events", json={"user": user, "action": action, "item_id": "i4"}).json()["recorded"]
    known = client.post("/search", json={"query": "mug", "user": user, "explain": True}).json()["features"]
    assert known["recent_items"] == ["i4", "i3"]
