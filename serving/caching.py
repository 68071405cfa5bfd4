"""Bounded, expiring caches that count what they answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from cachetools import TTLCache

Value = TypeVar("Value")


class CountedCache(Generic[Value]):
    """Key to value for at most ``seconds``, at most ``size`` of them, the least lately used leave first.

    Safe to share between threads. ``size`` 0 turns it off. What is read elsewhere and takes a while to come is put
    within :meth:`filling`.
    """

    def __init__(self, size: int, seconds: float) -> None:
        self._held: TTLCache[Hashable, Value] = TTLCache(max(size, 1), seconds)
        self._on = size > 0
        self._lock = threading.Lock()
        self._dropped: dict[object, set[Hashable]] = {}
        """Of each filling in progress: the keys that were dropped since it began."""
        self.hits = 0
        self.misses = 0

    def get(self, key: Hashable) -> Value | None:
        """The value of a key, None where there is none any more."""
        with self._lock:
            found: Value | None = self._held.get(key)
            if found is None:
                self.misses += 1
            else:
                self.hits += 1
            return found

    def put(self, key: Hashable, value: Value) -> None:
        """Hold a value from now on."""
        if self._on:
            with self._lock:
                self._held[key] = value

    def drop(self, key: Hashable) -> None:
        """Forget a key, and what is being read for it now: that may be its value of before."""
        with self._lock:
            self._held.pop(key, None)
            for dropped in self._dropped.values():
                dropped.add(key)

    @contextmanager
    def filling(self) -> Iterator[Callable[[Hashable, Value], None]]:
        """A ``put`` for values that are read within the block: one whose key is dropped meanwhile is not held."""
        filling, dropped = object(), set[Hashable]()

        def put(key: Hashable, value: Value) -> None:
            if self._on:
                with self._lock:
                    if key not in dropped:
                        self._held[key] = value

        with self._lock:
            self._dropped[filling] = dropped
        try:
            yield put
        finally:
            with self._lock:
                del self._dropped[filling]

    def __len__(self) -> int:
        with self._lock:
            return len(self._held)
