"""Search in memory as served against bare FAISS of the same type, on one core, by index type.

    python benchmarks/index_search.py [items] [queries] [folder of a release]

With a release, its vectors are drawn with a little noise up to so many items, and queries near them; without, they are
clusters. "as served" is a list of hits with ids and exact scores, order by score and then row; bare FAISS returns row
numbers. Parameters are those that the tuner chooses for each type on other queries. Read the ratios.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faiss
import numpy as np
import pyarrow as pa
from safetensors.numpy import load_file

from infra.settings import IndexSettings, Settings
from serving.fields import FilterFields
from serving.filters import Filter
from serving.index.approximate import PqFastScan
from serving.index.kinds import RERANK, IndexChoice
from serving.index.memory import MemoryIndex
from serving.served import ServedRelease
from serving.tuning import KS, tune

WIDTH, CLUSTERS, NOISE = 192, 500, 0.7


def main(items: int = 20_000, queries: int = 300, release: str | None = None) -> None:
    faiss.omp_set_num_threads(1)
    vectors, asked, tuned_on = _drawn(items, queries, release)
    report = tune(Settings(index=IndexSettings(tuning_trials=12)), vectors, tuned_on)
    print(
        f"{items:,} items, {vectors.shape[1]} dimensions, {queries} queries, one core; the tuner took"
        f" {report['seconds']:.0f} s and chooses {report['chosen']['type']}"
    )
    fields = FilterFields({}, pa.table({}), ())
    for found in report["types"]:
        choice = IndexChoice.from_json(found)
        index = MemoryIndex(vectors, pa.table({}), choice)
        stand_in: Any = SimpleNamespace(
            manifest=SimpleNamespace(config={"boosting": {"weights": []}}),
            items=SimpleNamespace(vectors=vectors, ids=[f"B{row:08d}" for row in range(items)]),
        )
        served = ServedRelease(stand_in, index, index, fields, timedelta(0))
        for k in KS:
            bare = _bare(index, vectors, k)
            calls: list[Callable[[np.ndarray], Any]] = [lambda q, k=k, s=served: s.search(q, k, Filter()), bare]
            (p50, p99), (bare_50, bare_99) = _interleaved(calls, asked)
            loss, parameters = found["recall_loss"][str(k)], dict(choice.params)
            print(
                f"{choice.type:12} k {k:5}  served p50 {p50:6.3f} p99 {p99:6.3f} ms   bare p50 {bare_50:6.3f}"
                f" p99 {bare_99:6.3f} ms   ratio {p50 / bare_50:5.2f}   recall loss {loss:7.3%}"
                f"   {found['memory_bytes'] / 1e6:6.1f} MB   build {found['build_seconds']:5.1f} s   {parameters}"
            )


def _bare(index: MemoryIndex, vectors: np.ndarray, k: int) -> Callable[[np.ndarray], Any]:
    """FAISS alone, as its own documentation would have it."""
    approximate, choice = index._approximate, index.choice
    if approximate is None:
        flat = faiss.IndexFlatIP(vectors.shape[1])
        flat.add(vectors)
        return lambda q: flat.search(q, k)
    if isinstance(approximate, PqFastScan):
        refined = faiss.IndexRefineFlat(approximate.index, faiss.swig_ptr(vectors))
        refined.k_factor = RERANK
        padding = -vectors.shape[1] % int(choice.params["dims_per_code"])
        assert padding == 0, "FAISS refines by the vectors that it codes: choose a width of whole codes"
        return lambda q: refined.search(q, k)
    if choice.type == "HNSW":
        approximate.index.hnsw.efSearch = choice.ef(k)
    else:
        approximate.index.nprobe = int(choice.params["nprobe"])
    return lambda q: approximate.index.search(q, k)


def _interleaved(calls: list[Callable[[np.ndarray], Any]], queries: np.ndarray) -> list[np.ndarray]:
    """Median and 99th percentile of each call in milliseconds; in turn, so that all share what the machine does."""
    times = np.empty((len(calls), len(queries)))
    for row in range(len(queries)):
        query = queries[row : row + 1]
        # Who comes second finds the query's items in the cache: each is second as often as first.
        for place in range(len(calls))[:: -1 if row % 2 else 1]:
            began = time.perf_counter()
            calls[place](query)
            times[place, row] = (time.perf_counter() - began) * 1000
    return list(np.percentile(times[:, 10:], [50, 99], axis=1).T)


def _drawn(items: int, queries: int, release: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Item vectors, query vectors, and query vectors to tune on."""
    rng = np.random.default_rng(7)
    if release is None:
        known = rng.normal(size=(CLUSTERS, WIDTH))
        noise = NOISE
    else:
        known = load_file(Path(release) / "item_vectors.safetensors")["vectors"].astype(np.float64)
        noise = 0.3 * known.std()

    def near(count: int, some: np.ndarray) -> np.ndarray:
        made = some[rng.integers(0, len(some), count)] + noise * rng.normal(size=(count, known.shape[1]))
        return (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(np.float32)

    vectors = near(items, known)
    # Lengths differ as those of boosted items do.
    vectors *= rng.uniform(1.0, 1.1, (items, 1)).astype(np.float32)
    return vectors, near(queries, vectors), near(200, vectors)


if __name__ == "__main__":
    main(*(int(n) for n in sys.argv[1:3]), *sys.argv[3:])
