"""Milliseconds per step of a request."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Runs from when it is made."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._steps = dict.fromkeys(("features", "tower", "search", "ranking"), 0.0)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Time a block; 0 of a step that never runs."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._steps[name] += (time.perf_counter() - began) * 1000

    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self._started

    def total(self) -> dict[str, float]:
        """Milliseconds of each step, of everything else (``own``), and in ``total``."""
        total = self.elapsed_s() * 1000
        return {**self._steps, "own": total - sum(self._steps.values()), "total": total}
