"""Which index a release is searched by: types and parameters measured on its own vectors and on real requests.

Loss is what the index misses of the exact best; the fastest that loses little enough at every K is chosen. The choice
and its loss are part of what a release is. Figures of time hold for the machine and the moment: they describe it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.settings import IndexType, Settings
from serving.filters import Filter
from serving.index.kinds import IndexChoice, usual_choice
from serving.index.memory import LEAST_ITEMS, MemoryIndex
from serving.index_loss import KS, recall_loss

if TYPE_CHECKING:
    import optuna

Floats = NDArray[np.float32]

FASTEST_AT = 100
"""The K whose median time decides: what a page asks for."""
TRIAL_QUERIES = 50
"""Queries of a trial; what is best of each type is measured on all."""


@dataclass(frozen=True)
class Measured:
    """An index choice and what it does, by K: share of the exact best it misses, milliseconds of one search alone."""

    choice: IndexChoice
    recall_loss: Mapping[int, float]
    latency_ms: Mapping[int, tuple[float, float]]
    """Median and 99th percentile."""
    memory_bytes: int
    """Beside the vectors themselves."""
    build_seconds: float

    @property
    def worst_loss(self) -> float:
        return max(self.recall_loss.values())

    def to_json(self) -> dict[str, Any]:
        return {
            **self.choice.to_json(),
            "recall_loss": {str(k): loss for k, loss in self.recall_loss.items()},
            "latency_ms": {str(k): {"p50": p50, "p99": p99} for k, (p50, p99) in self.latency_ms.items()},
            "memory_bytes": self.memory_bytes,
            "build_seconds": self.build_seconds,
        }


def tune(
    settings: Settings, vectors: Floats, queries: Floats, progress: Callable[[str, float], None] | None = None
) -> dict[str, Any]:
    """Measure index types on item vectors [items, d] and query vectors [n, d]; what ``index.json`` of a release holds.

    ``chosen`` is the fastest with at most ``index.max_recall_loss`` at each of ``KS``, of the type that the settings
    ask for, else of any; where none loses so little, the one that loses least. ``types`` has the best of each type.

    Raises:
        ValueError: no items, no queries, or widths that differ.
    """
    if not len(vectors) or not len(queries) or vectors.shape[1] != queries.shape[1]:
        raise ValueError(f"nothing to tune the index on: items {vectors.shape}, queries {queries.shape}")
    started = time.perf_counter()
    bench = _Bench(vectors, queries, settings.serving.threads)
    most = settings.index.max_recall_loss
    types = bench.together([_best(settings, bench, kind, progress) for kind in _kinds(settings, len(vectors))])
    chosen = _fastest(types, most)
    return {
        "chosen": chosen.to_json(),
        "types": [{**measured.to_json(), "eligible": measured.worst_loss <= most} for measured in types],
        "max_recall_loss": most,
        "searched_by": settings.index.searched_by,
        "threads": settings.serving.threads,
        "items": len(vectors),
        "width": vectors.shape[1],
        "queries": len(queries),
        "seconds": time.perf_counter() - started,
    }


def _kinds(settings: Settings, items: int) -> tuple[IndexType, ...]:
    wanted = settings.index.index_type
    if items < LEAST_ITEMS:
        return ("FLAT",)
    if wanted != "auto":
        return (wanted,)
    # In memory HNSW is no better than PQ, and every retriever would build its graph anew at each promotion: a minute of
    # a core per 100,000 items. Milvus has no 4-bit PQ with re-rank; for its own types FAISS's figures stand in.
    left_out = "HNSW" if settings.index.searched_by == "memory" else "PQ_FASTSCAN"
    return tuple(kind for kind in get_args(IndexType) if kind != left_out)


def _best(
    settings: Settings, bench: _Bench, kind: IndexType, progress: Callable[[str, float], None] | None
) -> IndexChoice:
    """The best parameters of a type, by a seeded search that starts at the usual ones."""
    import optuna

    if kind == "FLAT":
        return IndexChoice()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    items, most = len(bench.vectors), settings.index.max_recall_loss
    measured: list[Measured] = []

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        found = bench.measure(IndexChoice(kind, _suggested(trial, kind, items)), TRIAL_QUERIES)
        measured.append(found)
        if progress is not None:
            progress(f"{kind}: loses {found.worst_loss:.2%}", len(measured) / trials)
        # Two aims: the time of a search, and the loss beyond what is allowed.
        return found.latency_ms[FASTEST_AT][0], max(0.0, found.worst_loss - most)

    trials = max(1, settings.index.tuning_trials // 3)
    sampler = optuna.samplers.TPESampler(seed=settings.training.seed, n_startup_trials=max(1, trials // 2))
    study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
    study.enqueue_trial(dict(usual_choice(kind, items).params), skip_if_exists=True)
    study.optimize(objective, n_trials=trials)
    best = _fastest(measured, most).choice
    bench.keep_only(kind, best)
    return best


def _suggested(trial: optuna.Trial, kind: IndexType, items: int) -> dict[str, float]:
    if kind == "HNSW":
        return {
            "m": trial.suggest_categorical("m", [16, 32]),
            "ef": trial.suggest_int("ef", 64, 512, log=True),
            "ef_per_k": trial.suggest_float("ef_per_k", 1.0, 4.0),
        }
    if kind == "IVF_FLAT":
        usual = usual_choice(kind, items).params
        nlist = trial.suggest_categorical("nlist", [int(usual["nlist"]) // 2, int(usual["nlist"])])
        probes = trial.suggest_int("nprobe", max(1, int(usual["nprobe"]) // 4), int(usual["nprobe"]) * 4, log=True)
        return {"nlist": nlist, "nprobe": probes}
    return {"dims_per_code": trial.suggest_categorical("dims_per_code", [1, 2, 4])}


def _fastest(measured: list[Measured], most: float) -> Measured:
    """The fastest that loses at most ``most``; where none does, the one that loses least."""
    eligible = [m for m in measured if m.worst_loss <= most]
    if not eligible:
        return min(measured, key=lambda m: m.worst_loss)
    return min(eligible, key=lambda m: m.latency_ms[FASTEST_AT][0])


class _Bench:
    """Item and query vectors, and the exact answers to measure by."""

    def __init__(self, vectors: Floats, queries: Floats, threads: int) -> None:
        self.vectors = vectors
        # In random order, so that the first ones of a trial are of all times alike.
        self._queries = np.random.default_rng(0).permutation(queries)
        self._threads = threads
        exact = MemoryIndex(vectors, pa.table({}), threads=threads)
        self._exact = exact.search(self._queries, max(KS), Filter()).scores
        self._built: dict[tuple[str, float | None], tuple[MemoryIndex, float]] = {}

    def measure(self, choice: IndexChoice, queries: int) -> Measured:
        """One choice alone, on the first ``queries``."""
        (measured,) = self.together([choice], queries)
        return measured

    def together(self, choices: list[IndexChoice], queries: int | None = None) -> list[Measured]:
        """Several choices on the first ``queries``, in turn query by query: what else the machine does is shared."""
        built = [self._index(choice) for choice in choices]
        rows = self._queries[:queries]
        # Losses first: that warms every index up.
        losses = [{k: self._loss(index, rows, k) for k in KS} for index, _ in built]
        times = np.empty((len(built), len(KS), len(rows)))
        for row in range(len(rows)):
            for place, (index, _) in enumerate(built):
                for which, k in enumerate(KS):
                    times[place, which, row] = _timed(index, rows[row : row + 1], k)
        middle, tail = np.percentile(times, [50, 99], axis=2)
        return [
            Measured(
                choice=index.choice,
                recall_loss=losses[place],
                latency_ms={k: (float(middle[place, which]), float(tail[place, which])) for which, k in enumerate(KS)},
                memory_bytes=index.bytes,
                build_seconds=seconds,
            )
            for place, (index, seconds) in enumerate(built)
        ]

    def keep_only(self, kind: IndexType, choice: IndexChoice) -> None:
        """Drop the indexes of a type except the one of this choice."""
        self._built = {key: found for key, found in self._built.items() if key[0] != kind or key == choice.build}

    def _index(self, choice: IndexChoice) -> tuple[MemoryIndex, float]:
        """An index and the seconds of its build, which choices that differ in their search alone share."""
        if choice.build not in self._built:
            began = time.perf_counter()
            index = MemoryIndex(self.vectors, pa.table({}), choice, self._threads)
            self._built[choice.build] = index, time.perf_counter() - began
        index, seconds = self._built[choice.build]
        return index.tuned(choice), seconds

    def _loss(self, index: MemoryIndex, queries: Floats, k: int) -> float:
        return recall_loss(index.search(queries, k, Filter()).scores, self._exact[: len(queries)], k)


def _timed(index: MemoryIndex, query: Floats, k: int) -> float:
    began = time.perf_counter()
    index.search(query, k, Filter())
    return (time.perf_counter() - began) * 1000
