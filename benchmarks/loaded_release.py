"""A release loaded and asked in this process, which imports what a server does and no more: its memory is a server's.

Run by :mod:`benchmarks.large_release`, with a home, a release in it, and a file of queries. Peer: numpy's exact search
over the same vectors.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from infra.contract.request import NO_CONTEXT
from infra.freed import give_back_freed
from infra.settings import get_settings
from infra.threads import limit_threads
from serving.filters import Filter
from serving.loading import load_served, warm

K = 100
PEER_QUERIES = 50


def main(home: str, release_id: str, asked: str) -> None:
    settings = get_settings().model_copy(update={"home": Path(home)})
    texts = json.loads(Path(asked).read_text())
    began, cpu = time.perf_counter(), time.process_time()
    served = load_served(settings, release_id)
    warm(served)
    # as a server does after each load
    limit_threads(settings.serving.threads)
    give_back_freed()
    print(f"loaded and warm: {time.perf_counter() - began:.1f} s, {time.process_time() - cpu:.1f} s of processor time")
    _print_memory("memory, warm")

    def answer(text: str) -> None:
        vector = served.release.encoder.encode(text)[None]
        towers = served.search(vector, served.depth(K), Filter())
        served.ranked([text], [NO_CONTEXT], vector, towers, K, Filter())

    _print_times("answer", [_milliseconds(answer, text) for text in texts])
    _print_memory("memory, after the answers")
    queries = [served.release.encoder.encode(text) for text in texts]
    _print_times("- tower, query's text kept", [_milliseconds(served.release.encoder.encode, text) for text in texts])
    _print_times(
        "- search", [_milliseconds(lambda q: served.search(q[None], served.depth(K), Filter()), q) for q in queries]
    )
    vectors = served.release.items.vectors
    _print_times(
        "peer: numpy exact", [_milliseconds(lambda q: exact(vectors, q, K), q) for q in queries[:PEER_QUERIES]]
    )


def exact(items: NDArray[np.float32], vector: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Rows of the best k items, best first, by looking at each."""
    scores = items @ vector
    best = np.argpartition(scores, -k)[-k:]
    return best[np.argsort(-scores[best])]


def _milliseconds(call: Callable[[Any], object], value: Any) -> float:
    began = time.perf_counter()
    call(value)
    return (time.perf_counter() - began) * 1000


def _print_times(name: str, milliseconds: list[float]) -> None:
    p50, p99 = np.percentile(milliseconds, [50, 99])
    print(f"{name:28} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms", flush=True)


def _print_memory(name: str) -> None:
    told = psutil.Process().memory_full_info()
    print(f"{name:28} {told.rss / 2**20:,.0f} MiB resident, {told.uss / 2**20:,.0f} of its own", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:4])
