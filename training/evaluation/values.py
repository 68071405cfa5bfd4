"""Rankings of all methods, block by block, and what each measure makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from infra.progress import Progress
from training.baselines import reciprocal_rank_fusion
from training.data.ragged import Ragged
from training.evaluation.methods import Method, Searches
from training.evaluation.metrics import DEPTH, Values, per_request

I64 = NDArray[np.int64]
BLOCK = 2_048
"""Requests whose rankings are held at once."""


class Clock:
    """Seconds per part of an evaluation."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, part: str) -> Iterator[None]:
        """Add what is done within to ``part``."""
        start = perf_counter()
        yield
        self.seconds[part] = round(self.seconds.get(part, 0) + perf_counter() - start, 3)


def values_of(
    searches: Searches,
    names: Sequence[str],
    requests: I64,
    truths: Mapping[str, Ragged],
    clock: Clock,
    progress: Progress | None = None,
) -> dict[str, dict[str, Values]]:
    """Per truth and method, each measure of each request, [n].

    Args:
        requests: [n]; truths: wanted items of each request, of which all methods' rankings are made once.

    Raises:
        ValueError: a name that is no method.
    """
    made: dict[str, Method] = {}
    for name in searches.parts_of(names):
        with clock.on(name):
            made[name] = searches.makers[name]()
    blocks: dict[str, dict[str, list[Values]]] = {truth: {name: [] for name in names} for truth in truths}
    for start in range(0, len(requests), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(requests)))
        found = _rankings(made, searches, names, requests[rows], clock)
        with clock.on("measures"):
            for truth, wanted in truths.items():
                part = wanted.take(rows)
                row, item = part.rows_of_entries(), part.ids.astype(np.int64)
                for name in names:
                    blocks[truth][name].append(per_request(found[name], row, item))
        if progress:
            progress(f"{rows[-1] + 1:,} of {len(requests):,} requests searched", (rows[-1] + 1) / len(requests))
    return {truth: {name: _joined(parts) for name, parts in of.items()} for truth, of in blocks.items()}


def _rankings(
    made: Mapping[str, Method], searches: Searches, names: Sequence[str], requests: I64, clock: Clock
) -> dict[str, I64]:
    found = {}
    for name, method in made.items():
        with clock.on(name):
            found[name] = method(requests)
    for name in names:
        if name in searches.fusions:
            with clock.on(name):
                found[name] = reciprocal_rank_fusion([found[part] for part in searches.fusions[name]], DEPTH)
    return found


def _joined(blocks: Sequence[Values]) -> Values:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
