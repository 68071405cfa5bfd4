from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from training.data.ragged import Ragged, join, offsets_of, stack

ROWS = st.lists(st.lists(st.integers(0, 99), max_size=5), max_size=6)


def ragged(rows: list[list[int]]) -> Ragged:
    flat = np.array([x for row in rows for x in row], dtype=np.int32)
    return Ragged(offsets_of(np.array([len(r) for r in rows], dtype=np.int64)), flat)


def lists(rows: Ragged) -> list[list[int]]:
    return [rows[i].tolist() for i in range(len(rows))]


@given(ROWS, st.data())
def test_take(rows: list[list[int]], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=8)) if rows else []
    assert lists(ragged(rows).take(np.array(chosen, dtype=np.int64))) == [rows[i] for i in chosen]


@given(st.lists(st.tuples(*[st.lists(st.integers(0, 99), max_size=4)] * 3), min_size=1, max_size=5), st.integers(1, 9))
def test_join(rows: list[tuple[list[int], ...]], limit: int) -> None:
    parts = [ragged([row[part] for row in rows]) for part in range(3)]
    assert lists(join(parts)) == [a + b + c for a, b, c in rows]
    assert lists(join(parts, limit)) == [(a + b + c)[:limit] for a, b, c in rows]


@given(ROWS, ROWS)
def test_stack(first: list[list[int]], second: list[list[int]]) -> None:
    assert lists(stack([ragged(first), ragged(second)])) == first + second


@given(ROWS)
def test_sample_draws_from_its_row_only(rows: list[list[int]]) -> None:
    whole = ragged(rows)
    drawn = whole.sample(np.arange(len(rows)), 3, np.random.default_rng(0))
    assert drawn.shape == (len(rows), 3)
    for row, places in zip(rows, drawn, strict=True):
        assert {int(whole.ids[p]) for p in places} <= set(row) if row else (places == -1).all()


@given(ROWS, st.integers(1, 4))
def test_first_are_the_first_of_each_row(rows: list[list[int]], count: int) -> None:
    whole = ragged(rows)
    found = whole.first(np.arange(len(rows)), count)
    assert [[int(whole.ids[p]) for p in places if p >= 0] for places in found] == [row[:count] for row in rows]


@given(ROWS, st.integers(0, 99))
def test_where_keeps_the_entries_that_are_marked(rows: list[list[int]], below: int) -> None:
    kept = np.arange(100) < below
    assert lists(ragged(rows).where(kept)) == [[x for x in row if x < below] for row in rows]


@given(ROWS)
def test_rows_of_entries(rows: list[list[int]]) -> None:
    assert ragged(rows).rows_of_entries().tolist() == [i for i, row in enumerate(rows) for _ in row]


@given(st.lists(st.lists(st.integers(0, 9), max_size=4), max_size=6))
def test_padded_rows_hold_their_entries_in_order(rows: list[list[int]]) -> None:
    padded = ragged(rows).padded()
    assert padded.shape == (len(rows), max(map(len, rows), default=0))
    assert [[n for n in row if n >= 0] for row in padded.tolist()] == rows
