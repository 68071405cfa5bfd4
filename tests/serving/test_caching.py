"""Caches: bounded, expiring, counted."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.caching import CountedCache

pytestmark = pytest.mark.server


@given(st.lists(st.integers(0, 20), max_size=80), st.integers(1, 8))
def test_it_holds_what_was_put_last_and_counts(keys: list[int], size: int) -> None:
    cache: CountedCache[str] = CountedCache(size, 60)
    for key in keys:
        found = cache.get(key)
        assert found in (None, str(key))
        cache.put(key, str(key))
        assert cache.get(key) == str(key)
        assert len(cache) <= size
    assert cache.hits + cache.misses == 2 * len(keys)
    assert cache.misses >= len(set(keys))


def test_an_entry_expires() -> None:
    cache: CountedCache[int] = CountedCache(4, 0.05)
    cache.put("a", 1)
    assert cache.get("a") == 1
    time.sleep(0.06)
    assert cache.get("a") is None


def test_dropped_is_gone_and_size_0_holds_nothing() -> None:
    cache: CountedCache[int] = CountedCache(4, 60)
    cache.put("a", 1)
    cache.drop("a")
    cache.drop("never there")
    assert cache.get("a") is None
    off: CountedCache[int] = CountedCache(0, 60)
    off.put("a", 1)
    assert off.get("a") is None


def test_threads_share_it() -> None:
    cache: CountedCache[int] = CountedCache(16, 60)

    def use(start: int) -> None:
        for i in range(2_000):
            cache.put((start + i) % 40, (start + i) % 40)
            assert cache.get((start + i) % 40) in (None, (start + i) % 40)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(4)))
    assert len(cache) <= 16
    assert cache.hits + cache.misses == 8_000
