"""Latency of ``retrieve()`` at the live shop, split by step, against bare peers in the same run.

    python benchmarks/serving_latency.py [requests] [k]

Uses the settings of the working folder and environment, and the latest requests of that shop's log. Peers: pymilvus
searching the same collection with the same vectors, and numpy's exact search over the release's vectors. Read the
ratios; milliseconds depend on the machine and on what else it does.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

import duckdb
import numpy as np

from infra.services import milvus_uri
from infra.settings import Settings, get_settings
from serving import Retriever
from serving.index import collection_name
from serving.index.kinds import choice_of, milvus_search
from training.release import Release, load_release

IMPORT = "import time; t = time.perf_counter(); import serving; print((time.perf_counter() - t) * 1000)"
FIRST = (
    "import sys, time; t = time.perf_counter(); import serving; serving.retrieve(*sys.argv[1:]); "
    "print((time.perf_counter() - t) * 1000)"
)
WARM_UP = 20


def main(requests: int = 1_000, k: int = 100) -> None:
    settings = get_settings()
    asked = _requests(settings, requests + WARM_UP)
    print(
        f"import serving: {_fresh(IMPORT):.0f} ms; first answer in a fresh process: {_fresh(FIRST, *asked[0]):.0f} ms"
    )
    with Retriever(settings) as retriever:
        release = load_release(settings.paths.releases / retriever.retrieve(None, asked[0][1]).release_id)
        vectors = [release.encode_query(query) for _, query in asked]
        calls: dict[str, Callable[[int], Any]] = {
            "retrieve()": lambda i: retriever.retrieve(*asked[i], k=k),
            "retrieve(), nobody": lambda i: retriever.retrieve(None, asked[i][1], k=k),
            "peer: bare pymilvus search": _bare_milvus(settings, release, vectors, k),
            "peer: numpy exact": lambda i: _exact(release.item_vectors, vectors[i], min(k, len(release.item_ids))),
        }
        milliseconds, answers = _interleaved(calls, len(asked))
    steps = [answer.timings_ms for answer in answers]
    personal = np.mean([answer.personalized for answer in answers])
    print(f"{len(release.item_ids):,} items, k = {k}, {len(steps):,} requests, {personal:.0%} personalized")
    table = {name: np.array([step[name] for step in steps]) for name in ("features", "tower", "search")}
    table["our own code"] = milliseconds["retrieve()"] - sum(table.values())
    bare = np.median(milliseconds["peer: bare pymilvus search"])
    for name, values in (table | milliseconds).items():
        p50, p99 = np.percentile(values, [50, 99])
        print(f"{name:28} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   x bare search {p50 / bare:5.2f}")


def _interleaved(calls: dict[str, Callable[[int], Any]], count: int) -> tuple[dict[str, np.ndarray], list[Any]]:
    """Milliseconds per call, the first ones left out, and what the first call returned.

    One call of each in turn, so that whatever else the machine does is shared by all.
    """
    milliseconds = np.zeros((len(calls), count))
    answers = []
    for i in range(count):
        for row, call in enumerate(calls.values()):
            began = time.perf_counter()
            answer = call(i)
            milliseconds[row, i] = (time.perf_counter() - began) * 1000
            if row == 0:
                answers.append(answer)
    return dict(zip(calls, milliseconds[:, WARM_UP:], strict=True)), answers[WARM_UP:]


def _bare_milvus(settings: Settings, release: Release, vectors: Sequence[np.ndarray], k: int) -> Callable[[int], Any]:
    from pymilvus import MilvusClient

    token = settings.index.token.get_secret_value() if settings.index.token else ""
    milvus = MilvusClient(milvus_uri(settings), token=token, dedicated=True)
    arguments = {
        "limit": k,
        "output_fields": ["item_id"],
        "search_params": milvus_search(choice_of(release), k),
        "consistency_level": "Eventually",
    }
    name = collection_name(release.id)
    return lambda i: milvus.search(name, data=[vectors[i]], **arguments)


def _exact(items: np.ndarray, vector: np.ndarray, k: int) -> np.ndarray:
    scores = items @ vector
    best = np.argpartition(scores, -k)[-k:]
    return best[np.argsort(-scores[best])]


def _requests(settings: Settings, count: int) -> list[tuple[str, str]]:
    """The latest (user, query) pairs of the log."""
    files = str(settings.paths.sessions / "requests" / "*" / "part.parquet")
    rows = duckdb.execute(
        "select user_id, query_text from read_parquet(?) where regexp_matches(query_text, '[0-9A-Za-z]') "
        "order by time desc, query_id limit ?",
        [files, count],
    )
    return rows.fetchall()


def _fresh(code: str, *arguments: str) -> float:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))
