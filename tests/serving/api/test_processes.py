"""A server whose searches are answered by two processes: as one, also where one of them is killed."""

from __future__ import annotations

import http.client
import json
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from infra.settings import OnlineSettings, ServingSettings
from serving.index import promote, push, roll_back
from tests.serving.api.conftest import OPEN
from tests.serving.api.test_server import server
from tests.serving.api.test_ubi import CLICK
from tests.serving.small_shop import Shop, make_shop, publish_user
from tests.serving.test_retriever import wait_for

pytestmark = pytest.mark.server

AT_A_TIME = 8
"""Requests, so that both processes have some."""
NEVER_S = 3_600.0
"""What is seen in a test within so long was told, not looked at."""


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Running:
    """A server and its two processes that search."""

    def __init__(self, process: psutil.Process, url: str) -> None:
        self.process = process
        self._port = int(url.rpartition(":")[2])

    def ask(self, path: str, body: object = None) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        try:
            given = None if body is None else json.dumps(body)
            connection.request("GET" if body is None else "POST", path, given, {"content-type": "application/json"})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def ask_many(self, times: int, path: str, body: Callable[[int], object]) -> list[Answer]:
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            return list(pool.map(lambda n: self.ask(path, body(n)), range(times)))

    @property
    def searching(self) -> list[psutil.Process]:
        return [p for p in self.process.children() if "serving.api.worker_process" in p.cmdline()]

    def counted(self, name: str) -> float:
        """The sum of a metric's samples."""
        text = self.ask("/metrics").body.decode()
        return sum(float(n) for n in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, flags=re.M))

    def until_both_serve(self) -> None:
        wait_for(lambda: self.counted("shelfwise_search_processes") == 2, seconds=90)


@contextmanager
def running(shop: Shop) -> Iterator[Running]:
    with server(shop, processes=2) as (process, url):
        one = Running(psutil.Process(process.pid), url)
        wait_for(lambda: answers(one), seconds=60)
        one.until_both_serve()
        yield one


def answers(one: Running) -> bool:
    try:
        return one.ask("/healthz").status == 200
    except OSError:
        return False


def make(folder: Path, refresh_seconds: float) -> Shop:
    serving = ServingSettings(refresh_seconds=refresh_seconds, user_cache_seconds=NEVER_S)
    shop = make_shop(folder, items=100, serving=serving, online=OnlineSettings(timeout_ms=500), api=OPEN)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0", "i6"], orders=["i6"])
    push(shop.settings, shop.release())
    promote(shop.settings, shop.release().id)
    return shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return make(tmp_path_factory.mktemp("processes"), NEVER_S)


@pytest.fixture(scope="module")
def both(shop: Shop) -> Iterator[Running]:
    with running(shop) as one:
        yield one


def test_what_a_user_did_counts_whichever_process_answers(both: Running) -> None:
    asked = {"query": "mug", "user": "u1", "explain": True, "k": 5}
    for answer in both.ask_many(16, "/search", lambda _: asked):
        assert "i9" not in answer.json["features"]["recent_items"]
    # Both hold what they read of u1 for an hour.
    assert both.ask("/events", {"user": "u1", "action": "click", "item_id": "i9"}).json["recorded"]
    for answer in both.ask_many(16, "/search", lambda _: asked):
        assert "i9" in answer.json["features"]["recent_items"]
    sent = both.ask("/ubi_events", [CLICK | {"user_id": "u1", "event_attributes": {"object": {"object_id": "i12"}}}])
    assert (sent.status, sent.json["fallbacks"]) == (202, [])
    for answer in both.ask_many(16, "/search", lambda _: asked):
        assert "i12" in answer.json["features"]["recent_items"]


def test_what_is_said_of_an_item_counts_whichever_process_answers(both: Running) -> None:
    assert both.ask("/items", [{"item_id": "i3", "price": 0.02}]).status == 200
    cheap = {"query": "lamp", "filters": {"price": {"gt": 0.01, "lt": 0.05}}}
    found = both.ask_many(24, "/search", lambda n: {**cheap, "k": 1 + n})
    assert [[hit["item_id"] for hit in answer.json["hits"]] for answer in found] == [["i3"]] * 24


def test_metrics_are_of_both(both: Running) -> None:
    before = both.counted("shelfwise_cache_misses_total"), both.counted("shelfwise_searches_total")
    assert {a.status for a in both.ask_many(40, "/search", lambda n: {"query": f"mug {n}", "k": 3})} == {200}
    assert both.counted("shelfwise_searches_total") == before[1] + 40
    assert both.counted("shelfwise_cache_misses_total") >= before[0] + 80, "of queries, and of contexts"
    resident = both.counted("process_resident_memory_bytes")
    uniquely = sum(p.memory_full_info().uss for p in [both.process, *both.searching])
    assert uniquely * 0.8 < resident < 1.1 * sum(p.memory_info().rss for p in [both.process, *both.searching])


def test_a_killed_process_is_started_again_and_the_other_one_answers_meanwhile(both: Running) -> None:
    misses = both.counted("shelfwise_cache_misses_total")
    killed = both.searching[0]
    slow = threading.Thread(target=lambda: lost.append(both.ask("/search", {"query": "slow mug", "k": 1})))
    lost: list[Answer] = []
    slow.start()  # the first process has it: both are idle
    wait_for(lambda: both.counted("shelfwise_requests_in_flight") == 2)
    killed.send_signal(signal.SIGKILL)
    slow.join(timeout=60)
    assert (lost[0].status, lost[0].headers["retry-after"]) == (503, "2")
    assert "ask again" in lost[0].json["detail"]
    seen = Counter(answer.status for answer in both.ask_many(40, "/search", lambda n: {"query": f"lamp {n}", "k": 3}))
    assert seen == {200: 40} and both.ask("/readyz").status == 200
    both.until_both_serve()
    assert both.counted("shelfwise_search_processes_ended_total") == 1
    assert killed.pid not in {p.pid for p in both.searching}
    assert both.counted("shelfwise_cache_misses_total") >= misses, "a counter that fell would seem to have begun anew"
    # It knows of the item that was told of before it came up.
    test_what_is_said_of_an_item_counts_whichever_process_answers(both)


def test_a_promotion_is_seen_by_both_and_a_server_that_is_killed_leaves_none_behind(tmp_path: Path) -> None:
    shop = make(tmp_path, 0.2)
    with running(shop) as one:
        newer = shop.release(2)
        push(shop.settings, newer)
        promote(shop.settings, newer.id)

        def by(release_id: str) -> bool:
            answers = one.ask_many(16, "/search", lambda n: {"query": f"mug {n}", "k": 3})
            return {answer.json["release_id"] for answer in answers} == {release_id}

        wait_for(lambda: by(newer.id), seconds=30)
        assert f'shelfwise_live_release_info{{release="{newer.id}"}} 1.0' in one.ask("/metrics").body.decode()
        roll_back(shop.settings)
        wait_for(lambda: by(shop.release().id), seconds=30)
        searching = one.searching
        one.process.kill()
        _, alive = psutil.wait_procs(searching, timeout=30)
        assert not alive
