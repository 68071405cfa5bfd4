"""The HTTP API asked for more than it can answer.

    python -m benchmarks.overload [--seconds 15] [--times 5] [--k 24]

Starts the API of the shop that the settings name on a free port. First as many clients as ``api.max_batch`` ask as
fast as they are answered: that many answers a second are the capacity. Then requests arrive by the clock, ``times`` as
many, whether or not those before were answered. Goodput: answers with status 200 a second. Clients and server share the
machine, which takes from both: read the ratio.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import time
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from benchmarks.http_load import Load, api
from benchmarks.serving_latency import latest_requests
from infra.settings import get_settings

HEAD = "POST /search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--times", type=float, default=5)
    parser.add_argument("--k", type=int, default=24)
    asked = parser.parse_args()
    settings = get_settings()
    bodies = [
        json.dumps({"user": user, "query": f"{query} {n}", "k": asked.k}).encode()
        for n, (user, query) in enumerate(latest_requests(settings, 2_000) * 10)
    ]
    with api(settings) as (port, server):
        quiet = Load(port, settings.api.max_batch, asked.seconds, bodies, server).round("capacity")
        capacity = quiet.statuses[200] / asked.seconds
        seen = asyncio.run(_arriving(port, bodies[::-1], capacity * asked.times, asked.seconds))
    answered, refused = seen.statuses[200] / seen.taken_s, sum(seen.statuses.values()) - seen.statuses[200]
    p50, p99 = np.percentile(seen.milliseconds, [50, 99])
    print(
        f"{asked.times:g} x capacity, over in {seen.taken_s:.1f} s   {answered:7.0f} answers/s"
        f" = {answered / capacity:.2f} of capacity"
        f"   p50 {p50:6.1f} ms   p99 {p99:6.1f} ms of what is answered (serving.deadline_ms"
        f" {settings.serving.deadline_ms})   refused {refused}, {seen.retry_after} with Retry-After"
        f"   {dict(seen.statuses)}"
    )


async def _arriving(port: int, bodies: list[bytes], per_second: float, seconds: float) -> Seen:
    """Requests by the clock, on connections that are kept; those that are out when time is up are waited for."""
    seen, asking, idle, began = Seen(), set[asyncio.Task[None]](), list[Connection](), time.monotonic()
    for n in range(int(per_second * seconds)):
        await asyncio.sleep(max(0.0, began + n / per_second - time.monotonic()))
        task = asyncio.create_task(_ask(port, bodies[n % len(bodies)], seen, idle))
        asking.add(task)
        task.add_done_callback(asking.discard)
    await asyncio.gather(*asking)
    seen.taken_s = time.monotonic() - began
    return seen


async def _ask(port: int, body: bytes, seen: Seen, idle: list[Connection]) -> None:
    began = time.perf_counter()
    try:
        connection = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", port)
        reader, writer = connection
        writer.write(HEAD.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r", 1)[0]))
    except (OSError, EOFError, ValueError):
        seen.statuses[0] += 1
        return
    idle.append(connection)
    status = int(head.split(b" ", 2)[1])
    seen.statuses[status] += 1
    if status == http.client.OK:
        seen.milliseconds.append((time.perf_counter() - began) * 1000)
    elif b"retry-after" in head:
        seen.retry_after += 1


if __name__ == "__main__":
    main()
