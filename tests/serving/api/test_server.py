"""The server as a process: it refuses to be open to others, and finishes what is in flight when it is told to stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO

import pytest

from infra.settings import LogSettings
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import wait_for

pytestmark = pytest.mark.server

SERVE = """
import sys
import serving.api.app as app
from infra.settings import Settings
from serving.api.server import serve
from tests.serving.api.slow import Slow

app.create_app.__defaults__ = (Slow,)
serve(Settings.model_validate_json(sys.argv[1]))
"""


@contextmanager
def server(
    shop: Shop, log: IO[bytes] | None = None, processes: int = 0
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    api = {"port": port, "processes": processes}
    settings = shop.settings.model_copy(update={"api": shop.settings.api.model_copy(update=api)})
    process = subprocess.Popen([sys.executable, "-c", SERVE, settings.model_dump_json()], stderr=log)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("processes", [0, 1])
def test_a_request_in_flight_is_answered_after_sigterm(shop: Shop, processes: int) -> None:
    got: list[bool] = []
    with server(shop, processes=processes) as (process, url):
        wait_for(lambda: answers(f"{url}/readyz"), seconds=60)
        asking = threading.Thread(target=lambda: got.append(answers(f"{url}/search?q=slow+mug&k=1")))
        asking.start()
        wait_for(lambda: b"in_flight 2.0" in urllib.request.urlopen(f"{url}/metrics").read())
        process.send_signal(signal.SIGTERM)
        asking.join(timeout=30)
        assert process.wait(timeout=30) in {0, -signal.SIGTERM}
        assert not answers(f"{url}/healthz")
    assert got == [True]


def test_it_does_not_start_open_to_others(shop: Shop) -> None:
    environment = os.environ | {"SHELFWISE_HOME": str(shop.settings.home), "SHELFWISE_API__HOST": "0.0.0.0"}
    done = subprocess.run(
        [sys.executable, "-m", "serving.api"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 1
    assert "SHELFWISE_API__KEY" in done.stderr


@pytest.mark.parametrize("processes", [0, 1])
def test_with_json_logs_all_it_says_is_json(shop: Shop, tmp_path: Path, processes: int) -> None:
    """Its own records, the request log and uvicorn's, each with the shop; no query and no user."""
    as_json = shop.settings.model_copy(update={"log": LogSettings(format="json")})
    log = tmp_path / "log"
    with log.open("wb") as lines, server(replace(shop, settings=as_json), lines, processes) as (process, url):
        wait_for(lambda: answers(f"{url}/readyz"), seconds=60)
        assert answers(f"{url}/search?q=secret+shoes&user=u1&k=1")
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
    said = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    assert all({"time", "level", "logger", "message", "shop"} <= line.keys() for line in said)
    assert {"uvicorn.error", "serving.api.searcher", "shelfwise.requests"} <= {line["logger"] for line in said}
    (searched,) = (line for line in said if line.get("path") == "/search")
    assert searched["request"] and searched["release"] == shop.release().id and searched["status"] == 200
    assert "secret" not in log.read_text(encoding="utf-8") and "u1" not in {line.get("user") for line in said}
