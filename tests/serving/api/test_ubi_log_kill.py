"""Two servers write one log and are killed in the middle of it; the nightly run reads what they left."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import build_sessions
from infra.contract.partitions import partition_file
from infra.settings import Settings, UbiLogSettings
from tests.serving.api.test_server import answers, server
from tests.serving.api.test_ubi import with_log
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import wait_for

pytestmark = [pytest.mark.server, pytest.mark.kill]

SECONDS = 4.0
LOST_S = 1.0
"""The last second may be lost."""


@dataclass
class Visitor:
    """Searches and clicks at one server until it is gone; what was acknowledged, and when."""

    url: str
    name: str
    searches: dict[str, float] = field(default_factory=dict)
    clicks: dict[tuple[str, str], float] = field(default_factory=dict)

    def visit(self) -> None:
        with suppress(OSError, http.client.HTTPException):
            for n in itertools.count():
                person = {"user": f"{self.name}-{n % 7}", "client_id": f"{self.name}-{n % 7}"}
                answer = self._post("/search", person | {"query": ("shoes", "mug", "lamp")[n % 3], "k": 8})
                self.searches[answer["query_id"]] = time.monotonic()
                item, query_id = answer["hits"][n % 8]["item_id"], answer["query_id"]
                click = person | {"action": "click", "item_id": item, "query_id": query_id, "position": n % 8 + 1}
                assert self._post("/events", click)["logged"]
                self.clicks[query_id, item] = time.monotonic()

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"content-type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            answered: dict[str, Any] = json.load(answer)
        return answered


def table(settings: Settings, name: str, day: date) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(partition_file(settings.paths.sessions / name, day)).to_pylist()
    return rows


def test_what_killed_servers_logged_is_learned_from(shop: Shop, tmp_path: Path) -> None:
    if datetime.now(UTC).strftime("%H:%M") == "23:59":
        time.sleep(60)  # the log of one day
    logs = tmp_path / "logs"
    logs.mkdir()
    log = UbiLogSettings(enabled=True, folder=logs, min_free_bytes=0)
    logging = replace(shop, settings=shop.settings.model_copy(update={"ubi_log": log}))
    with server(logging) as (first, one), server(logging) as (second, other):
        wait_for(lambda: answers(f"{one}/readyz") and answers(f"{other}/readyz"), seconds=120)
        visitors = [Visitor(url, f"{name}{n}") for n in range(2) for name, url in (("a", one), ("b", other))]
        threads = [threading.Thread(target=visitor.visit) for visitor in visitors]
        for thread in threads:
            thread.start()
        time.sleep(SECONDS)
        killed = time.monotonic()
        first.kill()
        second.kill()
        for thread in threads:
            thread.join()
    day = datetime.now(UTC).date()
    assert len({file.name.split("-")[2] for file in (logs / f"dt={day}").iterdir()}) == 2

    night = Settings(home=tmp_path / "home", landing=str(logs))
    (report,) = build_sessions(night, [day])
    assert not report.held
    assert report.reasons == {}
    requests = {row["query_id"] for row in table(night, "requests", day)}
    clicks = {(row["query_id"], row["item_id"]) for row in table(night, "events", day)}
    assert min(len(visitor.clicks) for visitor in visitors) > 10
    for visitor in visitors:
        assert {query_id for query_id, at in visitor.searches.items() if at < killed - LOST_S} <= requests
        assert {click for click, at in visitor.clicks.items() if at < killed - LOST_S} <= clicks
    shown = table(night, "impressions", day)
    assert len(shown) == 8 * len(requests)
    assert {row["user_id"] for row in table(night, "requests", day)} == {
        f"{v.name}-{n}" for v in visitors for n in range(7)
    }


def test_half_a_line_costs_that_line(tmp_path: Path, shop: Shop) -> None:
    """A kill within a write, or a power cut: a server that starts cuts it off, and the reader does without it."""
    logs = tmp_path / "logs"
    day = datetime.now(UTC).date()
    with server(replace(shop, settings=with_log(shop.settings, logs_made(logs)))) as (process, url):
        wait_for(lambda: answers(f"{url}/readyz"), seconds=120)
        visitor = Visitor(url, "a")
        thread = threading.Thread(target=visitor.visit)
        thread.start()
        wait_for(lambda: len(visitor.clicks) > 40)
        time.sleep(LOST_S)
        process.kill()
        thread.join()
    torn = next((logs / f"dt={day}").glob("ubi_queries-*"))
    whole = torn.read_bytes()
    torn.write_bytes(whole + b'{"query_id":"torn","user_query":"mu')
    night = Settings(home=tmp_path / "home", landing=str(logs))
    (report,) = build_sessions(night, [day])
    assert (report.held, dict(report.reasons)) == (False, {"not_json": 1})
    with server(replace(shop, settings=with_log(shop.settings, logs))) as (_, url):
        wait_for(lambda: answers(f"{url}/healthz"), seconds=120)
    assert torn.read_bytes() == whole
    (report,) = build_sessions(night, [day])
    assert (report.held, dict(report.reasons)) == (False, {})


def logs_made(folder: Path) -> Path:
    folder.mkdir()
    return folder
