"""Make the next batches while a step computes."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

PREFETCHED = 2
"""Batches that are made while a step computes."""


def prefetched(source: Iterator[T], ahead: int = PREFETCHED) -> Iterator[T]:
    """The entries of ``source`` in order, ``ahead`` of them made in a thread before they are asked for.

    An error in the source is raised where its entry would have come.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
        waiting: deque[Future[T]] = deque(pool.submit(next, source) for _ in range(ahead))
        try:
            while True:
                entry = waiting.popleft()
                waiting.append(pool.submit(next, source))
                try:
                    yield entry.result()
                except StopIteration:
                    return
        finally:
            for future in waiting:
                future.cancel()
