"""The HTTP API under load, alone and while things happen to it.

    python -m benchmarks.http_load [--seconds 30] [--clients 8] [--k 24] [--quiet-only]

Starts the API of the shop that the settings name on a free port and sends it the latest requests of that shop's log
from one client process, by turns: nothing else happens; a promotion (roll-back and back); Redis is killed; Milvus is
killed. A server that the settings name by URI is not ours to kill: its round is left out. Clients and server share the
machine. Peer: the same clients asking ``/healthz``, which does nothing. Read the ratios. It rolls the live release back
and forth, so it wants a shop with two releases, and ends with what was live.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import psutil

from benchmarks.serving_latency import latest_requests
from infra.services import status
from infra.settings import Settings, get_settings
from serving.index import kept_release_ids, promote, roll_back

READY_S = 120.0


@dataclass
class Outcome:
    """What a round of requests saw."""

    milliseconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    fallbacks: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    last_flagged: float = 0.0
    """When an answer last came by a fallback, on the clock of ``time.monotonic``."""

    def add(self, other: Outcome) -> None:
        self.milliseconds += other.milliseconds
        self.statuses += other.statuses
        self.fallbacks += other.fallbacks
        self.releases += other.releases
        self.last_flagged = max(self.last_flagged, other.last_flagged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--k", type=int, default=24)
    parser.add_argument("--quiet-only", action="store_true", help="load alone; nothing is promoted or killed")
    asked = parser.parse_args()
    settings = get_settings()
    bodies = [
        json.dumps({"user": user, "query": query, "k": asked.k}).encode()
        for user, query in latest_requests(settings, 2_000)
    ]
    with api(settings) as (port, server):
        load = Load(port, asked.clients, asked.seconds, bodies, server)
        peer = load.round("peer: /healthz", path="/healthz")
        quiet = load.round("quiet")
        print(f"throughput /search : /healthz = {len(quiet.milliseconds) / len(peer.milliseconds):.2f}")
        if asked.quiet_only:
            return
        if len(kept_release_ids(settings)) > 1:
            promoted = load.round("promotion", lambda: roll_there_and_back(settings, asked.seconds))
            print(f"p99 against quiet: {p99(promoted) / p99(quiet):.2f} x; answered by {dict(promoted.releases)}")
        else:
            print("promotion: left out, this shop has one release; run `shelfwise run` again with another seed")
        for name, uri in (("Redis", settings.online.redis_url), ("Milvus", settings.index.uri)):
            if uri is not None:
                print(f"{name} killed: left out, not killed: a server by URI")
                continue
            killed = load.round(f"{name} killed", lambda name=name: kill(settings, name))  # type: ignore[misc]
            print(f"p99 against quiet: {p99(killed) / p99(quiet):.2f} x")


class Load:
    """Clients that ask as fast as they are answered."""

    def __init__(self, port: int, clients: int, seconds: float, bodies: list[bytes], server: psutil.Process) -> None:
        self._port, self._clients, self._seconds, self._bodies = port, clients, seconds, bodies
        self._server = server

    def round(self, name: str, happening: Callable[[], None] | None = None, path: str = "/search") -> Outcome:
        """A round of load, ``happening`` a third into it; printed as a line. What happening raises is raised here."""
        before, began = self._server.memory_info().rss, time.monotonic()
        found = Outcome()
        with ThreadPoolExecutor(self._clients + 1) as threads:
            happened = threads.submit(self._later, happening) if happening else None
            asking = [threads.submit(self._ask, n, path, began + self._seconds) for n in range(self._clients)]
            for client in asking:
                found.add(client.result())
        if happened:
            happened.result()
        taken = time.monotonic() - began
        errors = sum(count for status, count in found.statuses.items() if status != 200)
        memory = f"{before / 2**20:.0f} -> {self._server.memory_info().rss / 2**20:.0f} MiB"
        recovery = f", last flagged {found.last_flagged - began:.1f} s in" if found.fallbacks else ""
        print(
            f"{name:16} {len(found.milliseconds) / taken:7.0f} requests/s   p50 {np.median(found.milliseconds):6.1f} ms"
            f"   p99 {p99(found):6.1f} ms   not 200: {errors} {dict(found.statuses)}"
            f"   fallbacks {dict(found.fallbacks)}{recovery}   memory {memory}"
        )
        return found

    def _later(self, happening: Callable[[], None]) -> None:
        time.sleep(self._seconds / 3)
        happening()

    def _ask(self, client: int, path: str, until: float) -> Outcome:
        outcome = Outcome()
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        number = client * len(self._bodies) // self._clients
        while time.monotonic() < until:
            began = time.perf_counter()
            try:
                if path == "/search":
                    body = self._bodies[number % len(self._bodies)]
                    connection.request("POST", path, body, {"content-type": "application/json"})
                else:
                    connection.request("GET", path)
                response = connection.getresponse()
                answer = response.read()
            except (OSError, http.client.HTTPException):
                outcome.statuses[0] += 1
                connection.close()
                continue
            outcome.milliseconds.append((time.perf_counter() - began) * 1000)
            outcome.statuses[response.status] += 1
            if path == "/search" and response.status == 200:
                told = json.loads(answer)
                outcome.releases[told["release_id"]] += 1
                if told["fallbacks"]:
                    outcome.fallbacks.update(told["fallbacks"])
                    outcome.last_flagged = time.monotonic()
            number += 1
        connection.close()
        return outcome


def p99(outcome: Outcome) -> float:
    return float(np.percentile(outcome.milliseconds, 99))


def roll_there_and_back(settings: Settings, seconds: float) -> None:
    live, *_ = kept_release_ids(settings)
    roll_back(settings)
    time.sleep(seconds / 4)
    promote(settings, live)


def kill(settings: Settings, name: str) -> None:
    (pid,) = (service.pid for service in status(settings) if service.name == name)
    if pid is None:
        raise RuntimeError(f"{name} does not run, so it cannot be killed: see its log under {settings.paths.services}")
    os.kill(pid, signal.SIGKILL)


@contextmanager
def api(settings: Settings) -> Iterator[tuple[int, psutil.Process]]:
    """The API in a process of its own, ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "SHELFWISE_API__PORT": str(port), "SHELFWISE_API__RATE_PER_SECOND": "0", "SHELFWISE_SHOP": settings.shop_name,
    }  # fmt: skip
    with open(os.devnull, "w", encoding="utf-8") as nowhere:  # noqa: PTH123 - a device, not a file of ours
        server = subprocess.Popen(
            [sys.executable, "-m", "serving.api"], env=environment, stdout=nowhere, stderr=nowhere
        )
        try:
            _until_ready(port, server)
            yield port, psutil.Process(server.pid)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(60)


def _until_ready(port: int, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise SystemExit(f"the API ended with status {server.returncode}: try `python -m serving.api`")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise SystemExit(f"the API was not ready within {READY_S:.0f} s")


if __name__ == "__main__":
    main()
