"""``POST /items``: what is new of items counts for the next search, and wrong rows are named."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from serving.api.app import create_app
from tests.serving.api.conftest import LOCAL, OPEN, wait_until_ready
from tests.serving.item_updates.test_item_updates import SOFA, shop_of
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import put_live

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = shop_of(tmp_path_factory.mktemp("items"), items=100, api=OPEN)
    put_live(shop, shop.release())
    return shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[TestClient]:
    with TestClient(create_app(shop.settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        yield client


def found(client: TestClient, query: str, **asked: object) -> list[dict[str, object]]:
    answer = client.post("/search", json={"query": query, "k": 100, "items": True, **asked})
    assert answer.status_code == 200, answer.text
    return [hit["item"] for hit in answer.json()["hits"]]


def test_what_is_posted_counts_for_the_next_search(client: TestClient) -> None:
    answer = client.post("/items", json=[SOFA, {"item_id": "i3", "price": 0.02, "availability": "out of stock"}])
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"known": 1, "new": 1, "removed": 0, "sold_out": 1, "encoding": 0, "unknown": 0}
    assert "n1" in [item["item_id"] for item in found(client, "zorblax sofa")[:3]]
    (shown,) = found(client, "lamp", filters={"price": {"gt": 0.01, "lt": 0.05}})
    assert (shown["item_id"], shown["price"], shown["in_stock"]) == ("i3", 0.02, False)
    assert client.get("/items", params={"id": "n1"}).json()[0]["title"] == SOFA["title"]
    state = client.get("/items/updates").json()
    assert (state["up"], state["problem"], state["items"]["new"]) == (True, None, 1)
    metrics = client.get("/metrics").text
    assert 'shelfwise_updated_items{kind="sold_out"} 1.0' in metrics and "shelfwise_item_updates_up 1.0" in metrics
    assert client.post("/items", json=[{"item_id": "n1", "removed": True}]).json()["new"] == 0
    assert client.get("/items", params={"id": "n1"}).json() == [{"item_id": "n1"}]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ([], "at least 1 item"),
        ({"item_id": "i3"}, "list"),
        ([{"item_id": "i3"}, {"item_id": "i4", "price": -1}], "row 1: price: "),
        ([{"item_id": "i3", "price": 9}, {"item_id": "who", "price": 1}], "row 1: the shop has no item 'who'"),
        ([{"item_id": "i3", "price": 9, "availability": "?"}], "row 0: availability '?'"),
        ([{"item_id": "i3", "weight": 9}], "row 0: weight: "),
    ],
)
def test_wrong_rows_are_named_and_nothing_is_taken(client: TestClient, body: object, says: str) -> None:
    before = client.get("/items", params={"id": "i3"}).json()
    answer = client.post("/items", json=body)
    assert answer.status_code == 422 and says in answer.json()["detail"]
    assert client.get("/items", params={"id": "i3"}).json() == before


def test_where_redis_is_away_it_says_to_send_it_again(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, items=50, api=OPEN)
    put_live(shop, shop.release())
    with TestClient(create_app(shop.settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        online = {"redis_url": "redis://127.0.0.1:1", "timeout_ms": 200}
    away = shop.settings.model_copy(update={"online": shop.settings.online.model_validate(online)})
    with TestClient(create_app(away), base_url=LOCAL) as client:
        wait_until_ready(client)
        answer = client.post("/items", json=[{"item_id": "i3", "price": 9}])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "nothing was taken, send it again" in answer.json()["detail"]
        assert "item_updates_unavailable" in client.post("/search", json={"query": "mug"}).json()["fallbacks"]
