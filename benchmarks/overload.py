"""The HTTP API asked by more and more clients, and then for more than it can answer.

    python -m benchmarks.overload [--seconds 8] [--times 5] [--clients 1 2 4 8 16 32] [--k 24]

Starts the API of the shop that the settings name on a free port (``SHELFWISE_API__PROCESSES=2`` and so on say how).
First so many clients ask as fast as they are answered, one count after the other; one that is refused waits .1 s. The
most answers a second of these rounds are the capacity. Then requests arrive by the clock, ``times`` as many, whether or
not those before were answered. Goodput: answers with status 200 a second. Each query is asked once: no cache answers.
Clients and server share the machine, which takes from both: processor time of both is told; read the ratios.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np
import psutil

from benchmarks.http_load import api
from benchmarks.serving_latency import latest_requests
from infra.settings import get_settings

HEAD = "POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
PAUSE_S = 0.1
"""Of a client that was refused."""


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Seen:
    """What became of the requests of a round."""

    milliseconds: list[float] = field(default_factory=list)
    """Of those that were answered."""
    statuses: Counter[int] = field(default_factory=Counter)
    retry_after: int = 0
    """Refusals that say when to come back."""
    taken_s: float = 0.0
    """Until the last one was over."""

    @property
    def per_second(self) -> float:
        """Answers."""
        return self.statuses[200] / self.taken_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--times", type=float, default=5)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--k", type=int, default=24)
    asked = parser.parse_args()
    settings = get_settings()
    requests = latest_requests(settings, 2_000)
    bodies = (
        json.dumps({"user": user, "query": f"{query} {n}", "k": asked.k}).encode()
        for n in count()
        for user, query in requests
    )
    with api(settings) as (port, server):
        load = Load(port, bodies, server)
        rounds = [load.round(f"{n} clients", load.of_clients(n, asked.seconds)) for n in asked.clients]
        capacity = max(seen.per_second for seen in rounds)
        seen = load.round(f"{asked.times:g} x capacity", load.by_the_clock(capacity * asked.times, asked.seconds))
    p99 = np.percentile(seen.milliseconds, 99)
    print(
        f"goodput / capacity {seen.per_second / capacity:.2f}, p99 / serving.deadline_ms"
        f" {p99 / settings.serving.deadline_ms:.2f}, over {seen.taken_s - asked.seconds:.1f} s after the last request"
    )


class Load:
    """Requests to a server, from this process."""

    def __init__(self, port: int, bodies: Iterator[bytes], server: psutil.Process) -> None:
        self._port, self._bodies, self._server = port, bodies, server
        self._idle: list[Connection] = []

    def round(self, name: str, ask: Callable[[Seen], Awaitable[None]]) -> Seen:
        """A round of load, printed as a line."""
        seen, began = Seen(), time.monotonic()
        processes = [self._server, *self._server.children(recursive=True)]
        before = [_processor_s(process) for process in (*processes, psutil.Process())]
        self._idle = []
        asyncio.run(self._until_over(ask, seen))
        seen.taken_s = time.monotonic() - began
        used = [_processor_s(p) - b for p, b in zip((*processes, psutil.Process()), before, strict=True)]
        refused = sum(seen.statuses.values()) - seen.statuses[200]
        p50, p99 = np.percentile(seen.milliseconds or [np.nan], [50, 99])
        print(
            f"{name:14} {seen.per_second:6.0f} answers/s   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms   refused {refused},"
            f" {seen.retry_after} with Retry-After   {dict(seen.statuses)}   processor seconds a second:"
            f" server {' + '.join(f'{one / seen.taken_s:.2f}' for one in used[:-1] if one > 0.05)},"
            f" clients {used[-1] / seen.taken_s:.2f}",
            flush=True,
        )
        return seen

    def of_clients(self, clients: int, seconds: float) -> Callable[[Seen], Awaitable[None]]:
        """So many that ask as fast as they are answered."""

        async def one(seen: Seen, until: float) -> None:
            while time.monotonic() < until:
                if not await self._ask(seen):
                    await asyncio.sleep(PAUSE_S)

        async def ask(seen: Seen) -> None:
            until = time.monotonic() + seconds
            await asyncio.gather(*(one(seen, until) for _ in range(clients)))

        return ask

    def by_the_clock(self, per_second: float, seconds: float) -> Callable[[Seen], Awaitable[None]]:
        """So many a second, on connections that are kept; those that are out when time is up are waited for."""

        async def ask(seen: Seen) -> None:
            asking, began = set[asyncio.Task[bool]](), time.monotonic()
            for n in range(int(per_second * seconds)):
                await asyncio.sleep(max(0.0, began + n / per_second - time.monotonic()))
                task = asyncio.create_task(self._ask(seen))
                asking.add(task)
                task.add_done_callback(asking.discard)
            await asyncio.gather(*asking)

        return ask

    async def _until_over(self, ask: Callable[[Seen], Awaitable[None]], seen: Seen) -> None:
        await ask(seen)
        for _, writer in self._idle:
            writer.close()

    async def _ask(self, seen: Seen) -> bool:
        """Whether it was answered."""
        body, began = next(self._bodies), time.perf_counter()
        try:
            idle = self._idle
            connection = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = connection
            writer.write(HEAD.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r", 1)[0]))
        except (OSError, EOFError, ValueError):
            seen.statuses[0] += 1
            return False
        idle.append(connection)
        status = int(head.split(b" ", 2)[1])
        seen.statuses[status] += 1
        if status == http.client.OK:
            seen.milliseconds.append((time.perf_counter() - began) * 1000)
            return True
        seen.retry_after += b"retry-after" in head
        return False


def _processor_s(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:2])
    except psutil.NoSuchProcess:
        return 0.0


if __name__ == "__main__":
    main()
