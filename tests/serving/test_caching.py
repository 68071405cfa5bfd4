"""Caches: bounded, expiring, counted."""

from __future__ import annotations

import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

from hypothesis import given
from hypothesis import strategies as st

from serving.caching import CountedCache

OPERATIONS = st.tuples(st.sampled_from(["get", "put", "drop"]), st.integers(0, 4))


@given(st.lists(OPERATIONS, max_size=80), st.integers(1, 4))
def test_it_does_as_a_plain_cache_that_forgets_the_least_lately_used(
    operations: list[tuple[str, int]], size: int
) -> None:
    cache: CountedCache[int] = CountedCache(size, 60)
    plain: OrderedDict[int, int] = OrderedDict()
    hits = misses = 0
    for n, (operation, key) in enumerate(operations):
        if operation == "get":
            assert cache.get(key) == plain.get(key)
            hits, misses = hits + (key in plain), misses + (key not in plain)
            if key in plain:
                plain.move_to_end(key)
        elif operation == "put":
            cache.put(key, n)
            plain[key] = n
            plain.move_to_end(key)
            if len(plain) > size:
                plain.popitem(last=False)
        else:
            cache.drop(key)
            plain.pop(key, None)
        assert len(cache) == len(plain)
    assert (cache.hits, cache.misses) == (hits, misses)


def test_a_full_cache_forgets_what_was_not_asked_for() -> None:
    cache: CountedCache[int] = CountedCache(8, 60)
    for key in range(8):
        cache.put(key, key)
    assert [cache.get(key) for key in range(8)] == list(range(8))
    assert cache.get(0) == 0
    cache.put(8, 8)
    assert [cache.get(key) for key in (0, 1, 8)] == [0, None, 8]


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


def test_what_was_dropped_while_it_was_read_is_not_held() -> None:
    cache: CountedCache[str] = CountedCache(4, 60)
    with cache.filling() as put, cache.filling() as put_other:
        cache.drop("a")
        put("a", "old")
        put_other("a", "old")
        put("b", "as it is")
        with cache.filling() as put_later:
            put_later("a", "new")
    assert (cache.get("a"), cache.get("b")) == ("new", "as it is")
