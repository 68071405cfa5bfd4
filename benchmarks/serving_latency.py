"""Latency of ``retrieve()`` at the live shop, split by step, against a bare peer in the same run.

    python -m benchmarks.serving_latency [requests] [k]

Uses the settings of the working folder and environment, and the latest requests of that shop's log. The caches are off,
so that every request pays for each step, but in the row that says so. Peer: numpy's exact search over the release's
vectors. Read the ratios; milliseconds depend on the machine and on what else it does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import duckdb
import numpy as np

from benchmarks.loaded_release import exact
from infra.contract.request import Request
from infra.settings import Settings, get_settings
from serving import Retriever
from training.release.release import load_release

IMPORT = "import time; t = time.perf_counter(); import serving; print((time.perf_counter() - t) * 1000)"
FIRST = (
    "import sys, time; t = time.perf_counter(); import serving; serving.retrieve(*sys.argv[1:]); "
    "print((time.perf_counter() - t) * 1000)"
)
WARM_UP = 50
STEPS = ("features", "tower", "search", "ranking", "own")
BATCH = 32
TURN = 25


def main(requests: int = 1_000, k: int = 100) -> None:
    settings = get_settings()
    asked = latest_requests(settings, requests + WARM_UP)
    print(
        f"import serving: {_fresh(IMPORT):.0f} ms; first answer in a fresh process: {_fresh(FIRST, *asked[0]):.0f} ms"
    )
    without = settings.model_copy(update={"serving": settings.serving.model_copy(update={"cache_size": 0})})
    with Retriever(without) as retriever, Retriever(settings) as caching:
        release = load_release(settings.paths.releases / retriever.release_id)
        vectors = [release.encoder.encode(query) for _, query in asked]
        requests = [Request(user=user, query=query, k=k) for user, query in asked]
        caching.retrieve_many(requests)
        many = [[requests[(i + j) % len(asked)] for j in range(BATCH)] for i in range(len(asked))]
        calls: dict[str, Callable[[int], Any]] = {
            "retrieve()": lambda i: retriever.retrieve(*asked[i], k=k),
            "retrieve(), nobody": lambda i: retriever.retrieve(None, asked[i][1], k=k),
            "retrieve(), asked before": lambda i: caching.retrieve(*asked[i], k=k),
            "peer: numpy exact": lambda i: exact(release.items.vectors, vectors[i], min(k, len(release.items.ids))),
        }
        milliseconds, answers = _interleaved(calls, len(asked))
        batch, _ = _interleaved({"a batch": lambda i: retriever.retrieve_many(many[i])}, min(len(asked), 150))
    personal = np.mean([answer.personalized for answer in answers])
    print(f"{len(release.items.ids):,} items, k = {k}, {len(answers):,} requests, {personal:.0%} personalized")
    table = {f"- {name}": np.array([answer.timings_ms[name] for answer in answers]) for name in STEPS}
    rows = {"retrieve()": milliseconds.pop("retrieve()")} | table | milliseconds
    rows |= {f"retrieve_many(), per request of {BATCH}": batch["a batch"] / BATCH}
    bare = np.median(milliseconds["peer: numpy exact"])
    for name, values in rows.items():
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:36} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   x exact search {p50 / bare:5.2f}")


def latest_requests(settings: Settings, count: int) -> list[tuple[str, str]]:
    """The latest (user, query) pairs of the log."""
    files = str(settings.paths.sessions / "requests" / "*" / "part.parquet")
    rows = duckdb.execute(
        "select user_id, query_text from read_parquet(?) where regexp_matches(query_text, '[0-9A-Za-z]') "
        "order by time desc, query_id limit ?",
        [files, count],
    )
    return rows.fetchall()


def _interleaved(calls: dict[str, Callable[[int], Any]], count: int) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Milliseconds per call, the first ones left out, and what the first call returned.

    By turns, so that whatever else the machine does is shared by all; ``TURN`` calls at a time, because one call leaves
    the processor's caches full of its own data, as no server does.
    """
    milliseconds = np.zeros((len(calls), count))
    answers = []
    for start in range(0, count, TURN):
        for row, call in enumerate(calls.values()):
            for i in range(start, min(start + TURN, count)):
                began = time.perf_counter()
                answer = call(i)
                milliseconds[row, i] = (time.perf_counter() - began) * 1000
                if row == 0:
                    answers.append(answer)
    return dict(zip(calls, milliseconds[:, WARM_UP:], strict=True)), answers[WARM_UP:]


def _fresh(code: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
