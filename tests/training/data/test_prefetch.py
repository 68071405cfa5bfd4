"""Entries come in order, ahead of time, and an error comes where its entry would have."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from training.data.prefetch import prefetched


@pytest.mark.parametrize("ahead", [1, 2, 50])
def test_the_same_entries_in_order(ahead: int) -> None:
    assert list(prefetched(iter(range(20)), ahead)) == list(range(20))
    assert list(prefetched(iter(()), ahead)) == []


def test_made_while_the_last_is_used() -> None:
    made = threading.Event()

    def source() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    entries = prefetched(source(), 1)
    assert next(entries) == 1
    assert made.wait(5)
    assert list(entries) == [2]


def test_an_error_comes_in_its_place() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise RuntimeError("the third file is gone")

    entries = prefetched(source(), 3)
    assert next(entries) == 1
    with pytest.raises(RuntimeError, match="third file"):
        next(entries)


def test_left_early_it_makes_no_more() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(1_000):
            made.append(number)
            yield number

    for entry in prefetched(source(), 2):
        if entry == 3:
            break
    assert len(made) < 10
