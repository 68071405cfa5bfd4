"""The endpoints over a real release: answers, refusals, readiness, metrics and logs."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from infra.services import status
from infra.settings import ApiSettings, Settings
from serving.api.app import create_app
from serving.api.auth import OpenToOthersError, check_exposure
from serving.api.rates import Rates
from serving.errors import IncompleteCollection
from serving.retriever import Retriever
from tests.serving.api.conftest import LOCAL, wait_until_ready, with_api
from tests.serving.api.slow import Slow
from tests.serving.small_shop import Shop, make_shop, publish_user
from tests.serving.test_retriever import PATIENT, QUICK, kill_service, put_live, wait_for
from training.ranking.ranker import SAME_FOR_ALL
from training.text import TextEncoderError

pytestmark = pytest.mark.server

KEY = "a key that is long enough"


def idle(settings: Settings, **changes: object) -> TestClient:
    """The API without its retriever: the application is not started."""
    return TestClient(create_app(with_api(settings, **changes)), base_url=LOCAL)


def test_a_search_answers_as_the_retriever_does(client: TestClient, shop: Shop) -> None:
    asked = {"query": "shoes", "user": "u1", "k": 5, "explain": True, "items": True, "filters": {"price": {"gt": 0}}}
    answer = client.post("/search", json=asked).json()
    assert (len(answer["hits"]), answer["personalized"], answer["fallbacks"]) == (5, True, [])
    assert answer["release_id"] == shop.release().id == client.get("/readyz").json()["release_id"]
    assert answer["features"]["recent_items"] == ["i0", "i6"]
    assert {"features", "tower", "search", "total"} <= set(answer["timings_ms"])
    assert all(hit["item"]["item_id"] == hit["item_id"] and hit["item"]["price"] > 0 for hit in answer["hits"])
    with Retriever(shop.settings) as retriever:
        wanted = [hit.item_id for hit in retriever.retrieve("u1", "shoes", k=5, filters={"price": {"gt": 0}}).hits]
    assert [hit["item_id"] for hit in answer["hits"]] == wanted


def test_the_quick_look_is_the_same_search(client: TestClient) -> None:
    long = client.post("/search", json={"query": "mug", "user": "u1", "k": 7, "filters": {"brand": "Acme"}}).json()
    quick = {"q": "mug", "user": "u1", "k": 7, "filters": '{"brand": "Acme"}', "items": False}
    assert client.get("/search", params=quick).json()["hits"] == long["hits"]


def test_a_value_that_no_item_has_is_an_answer_that_says_so(client: TestClient) -> None:
    answer = client.post("/search", json={"query": "mug", "filters": {"brand": "Acmee"}})
    assert answer.status_code == 200 and answer.json()["hits"] == []
    (unknown,) = answer.json()["unknown_values"]
    assert (unknown["field"], unknown["value"]) == ("brand", "Acmee") and "Acme" in unknown["nearest"]
    assert client.post("/search", json={"query": "mug", "filters": {"brand": "Acme"}}).json()["unknown_values"] == []


def test_it_says_what_it_answered_instead_and_can_answer_what_was_typed(client: TestClient) -> None:
    meant = client.post("/search", json={"query": "red shoes"}).json()
    answer = client.post("/search", json={"query": "red sheos"}).json()
    assert (answer["corrected"], answer["hits"]) == ("red shoes", meant["hits"])
    assert "corrected" not in meant
    as_typed = client.post("/search", json={"query": "red sheos", "correct": False}).json()
    assert "corrected" not in as_typed and as_typed["hits"] != meant["hits"]
    quick = {"q": "red sheos", "k": 100, "items": False}
    assert client.get("/search", params=quick).json()["corrected"] == "red shoes"
    assert client.get("/search", params=quick | {"correct": False}).json()["hits"] == as_typed["hits"]
    assert client.post("/search", json={"query": "shoes", "correct": "yes"}).status_code == 422
    page, script = client.get("/").text, client.get("/page/app.js").text
    assert 'id="corrected"' in page and "Showing results for " in script and "Search instead for " in script


def test_not_personalized_answers_as_for_an_unknown_user(client: TestClient) -> None:
    asked = {"query": "shoes", "user": "u1", "personalize": False}
    answer = client.post("/search", json=asked).json()
    assert not answer["personalized"]
    assert answer["hits"] == client.post("/search", json={"query": "shoes"}).json()["hits"]


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"query": "x" * 2_000}, "2000 characters"),
        ({"query": "a", "k": 0}, "k: "),
        ({"query": "a", "k": 151}, "from 1 to 150"),
        ({"query": "a", "k": 1.5}, "k: "),
        ({"query": "a", "filters": {"nope": 1}}, "unknown filter field 'nope'"),
        ({"query": "a", "filters": {"brand": []}}, "empty list"),
        ({"query": "a", "location": {"latitude": 91}}, "latitude"),
        ({"query": "a", "what": 1}, "what: "),
        ({}, "query: "),
        ([], "dictionary"),
    ],
)
def test_bad_input_is_refused_in_a_sentence(client: TestClient, body: object, says: str) -> None:
    answer = client.post("/search", json=body)
    assert answer.status_code == 422
    assert says in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"query": "\\ud800"}',
        b'{"query": "a", "filters": {"\\ud800": "\\udfff"}}',
        b'{"query": "a", "filters": {"brand": "\\udfff"}}',
        b'{"query": "a", "filters": {"price": NaN}}',
        b'{"query": "a", "filters": {"price": 1e999}}',
        b'{"query": "a", "k": 1' + b"0" * 3_000 + b"}",
        b'{"query": "a", "k": Infinity}',
        b'{"query": "a", "filters": ' + b'{"price":' * 400 + b"1" + b"}" * 400 + b"}",
        b"[" * 4_000,
    ],
)
def test_what_is_no_json_or_hardly_any_is_refused(client: TestClient, body: bytes) -> None:
    answer = client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in {400, 422}, answer.text
    assert answer.json()["detail"]


def test_events_are_recorded_or_refused(client: TestClient) -> None:
    event = {"user": "u1", "action": "click", "item_id": "i3"}
    answer = client.post("/events", json=event)
    told = {"recorded": True, "logged": False, "unknown_item": False, "fallbacks": []}
    assert (answer.status_code, answer.json()) == (202, told)
    new = client.post("/events", json=event | {"item_id": "not in the release"})
    assert (new.status_code, new.json()) == (202, told | {"unknown_item": True})
    assert not client.post("/events", json={"user": "u1", "action": "search", "query": "mug"}).json()["unknown_item"]
    refused = client.post("/events", json={"user": "u1", "action": "search"})
    assert (refused.status_code, refused.json()["detail"]) == (422, "a search needs its query")
    assert client.post("/events", json=event | {"time": "2026-03-01T12:00:00"}).status_code == 422


def test_the_page_can_ask_for_fields_users_and_items(client: TestClient) -> None:
    fields = {field["name"]: field for field in client.get("/fields").json()}
    assert fields["brand"]["kind"] == "text" and "Acme" in fields["brand"]["values"]
    assert fields["price"] == {"name": "price", "kind": "number", "values": [-3.0, 1e22]}
    assert client.get("/users").json() == ["u1"]
    assert [i["title"] for i in client.get("/items", params={"id": ["i1", "i0"]}).json()] == [
        "blue mug 1",
        "red shoes 0",
    ]
    assert client.get("/items").status_code == 422


def test_the_page_leaves_the_part_out_that_all_hits_have_alike(client: TestClient) -> None:
    script = client.get("/page/results.js").text
    assert f'const SAME_FOR_ALL = "{SAME_FOR_ALL}"' in script and script.count("why?.parts") == 1


def test_pages_are_served_whole_and_ask_no_other_host(client: TestClient) -> None:
    page = client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'") and "unsafe" not in policy
    for path in ("/", "/docs", "/page/app.js", "/page/style.css"):
        text = client.get(path).text
        assert "http://" not in text.replace("http://www.w3.org/2000/svg", "") and "https://" not in text, path
        assert "innerHTML" not in text and "style=" not in text, path
    # encoded: a client resolves plain dots before it sends them
    assert client.get("/page/%2e%2e/app.py").status_code == client.get("/nothing").status_code == 404


def test_metrics_tell_steps_caches_release_and_refusals(client: TestClient, shop: Shop) -> None:
    client.post("/search", json={"query": "shoes"})
    client.post("/search", json={"query": "x" * 2_000})
    client.get("/no/such/path")
    text = client.get("/metrics").text
    assert f'shelfwise_live_release_info{{release="{shop.release().id}"}} 1.0' in text
    assert 'shelfwise_requests_total{method="POST",path="/search",status="422"}' in text
    assert 'shelfwise_step_seconds_count{step="tower"}' in text
    trained = re.search(r"^shelfwise_live_trained_timestamp_seconds (\S+)$", text, re.M)
    assert trained and float(trained[1]) == shop.release().manifest.trained_at.timestamp()
    assert "shelfwise_release_refused 0.0" in text and "shelfwise_degraded_searches_total" in text
    assert all(f'shelfwise_part_up{{part="{part}"}} 1.0' in text for part in ("index", "online_store"))
    assert 'shelfwise_cache_hits_total{cache="contexts"}' in text
    assert "/no/such/path" not in text


@pytest.mark.parametrize("private", [False, True])
def test_a_request_is_one_line_without_query_or_user(
    shop: Shop, private: bool, caplog: pytest.LogCaptureFixture
) -> None:
    settings = with_api(shop.settings, log_queries=private)
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        caplog.clear()
        with caplog.at_level(logging.INFO, "shelfwise.requests"):
            answer = client.get("/search", params={"q": "secret shoes", "user": "u1"})
            client.post("/events", json={"user": "u1", "action": "search", "query": "secret shoes"})
    searched, event = (json.loads(r.getMessage()) for r in caplog.records if r.name == "shelfwise.requests")
    assert (searched["path"], searched["status"], searched["personalized"]) == ("/search", 200, True)
    assert searched["id"] == answer.headers["x-request-id"]
    assert event["action"] == "search"
    for line in (searched, event):
        assert (line.get("query"), line.get("user")) == (("secret shoes", "u1") if private else (None, None))
    assert ("secret" in caplog.text) == private


def test_what_fails_unforeseen_is_logged_and_says_nothing_of_the_inside(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    client = idle(shop.settings)

    async def broken() -> None:
        raise RuntimeError("a secret of the inside")

    client.app.add_api_route("/broken", broken)  # type: ignore[attr-defined]
    answer = client.get("/broken")
    assert (answer.status_code, answer.json()) == (500, {"detail": "the server failed; its log says why"})
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["X-Request-ID"] in caplog.text and "a secret of the inside" in caplog.text


def test_a_key_is_asked_for_where_one_is_set(shop: Shop) -> None:
    client = idle(shop.settings, key=KEY)
    for path in ("/", "/docs", "/openapi.json", "/healthz", "/page/app.js"):
        assert client.get(path).status_code == 200, path
    for given in ("", KEY, f"Basic {KEY}", "Bearer wrong", f"Bearer {KEY}x", "Bearer ", "Bearer é"):
        headers = {"Authorization": given.encode("latin-1")}
        for path in ("/search?q=a", "/metrics", "/fields", "/nothing"):
            answer = client.get(path, headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), (given, path)
    assert client.get("/metrics", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


def test_without_a_key_only_loopback_is_served(shop: Shop) -> None:
    with pytest.raises(OpenToOthersError, match="SHELFWISE_API__KEY"):
        check_exposure(ApiSettings(host="0.0.0.0"))
    for settings in ({}, {"host": "::1"}, {"host": "0.0.0.0", "key": KEY}, {"host": "0.0.0.0", "allow_open": True}):
        check_exposure(ApiSettings.model_validate(settings))
    client = idle(shop.settings)
    for host, expected in (
        ("127.0.0.1:8000", 200),
        ("[::1]:8000", 200),
        ("localhost", 200),
        ("LOCALHOST:1", 200),
        ("evil.example:80", 421),
    ):
        assert client.get("/healthz", headers={"Host": host}).status_code == expected, host


def chunks(count: int) -> Iterator[bytes]:
    yield from [b"x" * 100] * count


@pytest.mark.parametrize("body", [b"x" * 500_000, chunks(5_000)])
def test_a_large_body_is_not_read(client: TestClient, body: bytes | Iterator[bytes]) -> None:
    answer = client.post("/search", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["detail"]) == (413, "the body is larger than 400000 bytes")


def test_a_client_that_asks_too_often_is_told_when_to_come_back(shop: Shop) -> None:
    client = idle(shop.settings, rate_per_second=0.1, rate_burst=2)
    assert [client.get("/openapi.json").status_code for _ in range(3)] == [200, 200, 429]
    assert client.get("/openapi.json").headers["retry-after"] == "10"
    assert client.get("/healthz").status_code == 200


def test_who_holds_the_key_or_asks_from_this_machine_is_kept_to_no_rate(shop: Shop) -> None:
    limit: dict[str, object] = {"rate_per_second": 0.1, "rate_burst": 1}
    own = TestClient(create_app(with_api(shop.settings, **limit)), base_url=LOCAL, client=("127.0.0.1", 5_000))
    assert [own.get("/openapi.json").status_code for _ in range(3)] == [200, 200, 200]
    keyed = TestClient(create_app(with_api(shop.settings, key="secret", **limit)), client=("127.0.0.1", 5_000))
    right, wrong = ({"Authorization": f"Bearer {key}"} for key in ("secret", "guess"))
    assert [keyed.get("/openapi.json", headers=right).status_code for _ in range(3)] == [200, 200, 200]
    assert [keyed.get("/metrics", headers=wrong).status_code for _ in range(3)] == [401, 429, 429]


def test_a_bucket_fills_again_and_never_over() -> None:
    now = 0.0
    rates = Rates(per_second=2, burst=3, clock=lambda: now)
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("b") == 0
    now = 0.5
    assert [rates.take("a"), rates.take("a")] == [0, 0.5]
    now = 1_000
    assert [rates.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


@pytest.mark.parametrize("processes", [0, 1])
def test_it_says_why_it_is_not_ready_and_serves_once_something_is_live(tmp_path: Path, processes: int) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    with TestClient(create_app(with_api(shop.settings, processes=processes)), base_url=LOCAL) as client:
        assert client.get("/healthz").json() == {"status": "ok", "ubi_log": "off"}
        wait_for(lambda: "shelfwise run" in client.get("/readyz").json().get("detail", ""))
        for answer in (client.get("/readyz"), client.post("/search", json={"query": "mug"})):
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "shelfwise_ready 0.0" in client.get("/metrics").text
        put_live(shop, shop.release())
        wait_until_ready(client)
        assert client.post("/search", json={"query": "mug"}).status_code == 200


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (IncompleteCollection("it holds 1 of 2 items: push it again"), "push it again: `shelfwise promote ID`"),
        (TextEncoderError("the weights are missing: pip install them"), "pip install them"),
    ],
)
def test_a_live_release_that_cannot_be_loaded_says_what_to_do(
    shop: Shop, error: Exception, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(_: Settings) -> Retriever:
        raise error

    with TestClient(create_app(shop.settings, broken), base_url=LOCAL) as client:
        wait_for(lambda: says in client.get("/readyz").json()["detail"])
    assert "Traceback" not in caplog.text


def test_stores_that_are_away_are_flagged_and_never_an_error(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=[])
    put_live(shop, shop.release())
    with TestClient(create_app(shop.settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        for name in sorted(service.name for service in status(shop.settings)):
            kill_service(shop.settings, name)
        seen = set()
        for _ in range(5):
            answer = client.post("/search", json={"query": "mug", "user": "u1", "k": 10})
            assert (answer.status_code, len(answer.json()["hits"])) == (200, 10)
            seen |= set(answer.json()["fallbacks"])
            # asked at once: the store is started again meanwhile, and is up with the next search that it answers
            up = 'shelfwise_part_up{part="online_store"} 1.0' in client.get("/metrics").text
            assert up == ("online_store_unavailable" not in answer.json()["fallbacks"])
        assert "online_store_unavailable" in seen
        text = client.get("/metrics").text
        assert 'shelfwise_fallbacks_total{fallback="online_store_unavailable"}' in text
        degraded = re.search(r"^shelfwise_degraded_searches_total (\S+)$", text, re.M)
        assert degraded and 0 < float(degraded[1]) <= 5
        wait_for(lambda: client.post("/search", json={"query": "mug", "user": "u1"}).json()["fallbacks"] == [])


def test_overload_is_refused_before_a_body_is_read(shop: Shop) -> None:
    settings = with_api(shop.settings, max_waiting=1)
    with TestClient(create_app(settings, Slow), base_url=LOCAL) as client, ThreadPoolExecutor(2) as pool:
        wait_until_ready(client)

        def in_flight(count: int) -> bool:
            return f"shelfwise_requests_in_flight {count + 1}.0" in client.get("/metrics").text

        running = pool.submit(client.post, "/search", json={"query": "slow mug"})
        wait_for(lambda: in_flight(1))
        waits = pool.submit(client.post, "/search", json={"query": "mug"})
        wait_for(lambda: in_flight(2))
        refused = client.post("/search", content=b"{")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
        assert "1 searches wait" in refused.json()["detail"]
        assert client.post("/search/none", content=b"{").status_code == 404, "no search"
        assert running.result().status_code == 200 and waits.result().status_code in {200, 503}
        assert 'shelfwise_requests_total{method="POST",path="/search",status="503"}' in client.get("/metrics").text
