"""Numbers in order, against a plain search."""

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from training.ranking.identifiers import Said
from training.ranking.number_index import NumberIndex

KEYS = st.lists(st.tuples(st.integers(0, 5), st.text("ab1é", min_size=1, max_size=5)), max_size=20)


def said(pairs: list[tuple[int, str]]) -> Said:
    rows = np.array([row for row, _ in pairs], dtype=np.int64)
    return Said(rows, pa.array([key for _, key in pairs], pa.string()))


@given(KEYS, KEYS, st.text("ab1é", min_size=1, max_size=3))
def test_it_finds_what_a_plain_search_finds(
    own: list[tuple[int, str]], texts: list[tuple[int, str]], part: str
) -> None:
    few = 2
    index = NumberIndex(said(own), said(texts), 6, few)
    rest = set(texts) - set(own)
    rest = {(row, key) for row, key in rest if len({r for r, k in rest if k == key}) <= few}
    for key in {key for _, key in [*own, *texts]} | {part}:
        of, by = index.rows_of(key)
        assert of.tolist() == sorted({row for row, k in own if k == key})
        assert by.tolist() == sorted({row for row, k in rest if k == key})
    every = set(own) | rest
    first, inside = index.rows_with(part)
    assert first.tolist() == sorted({row for row, key in every if key.startswith(part)})
    assert inside.tolist() == sorted({row for row, key in every if part in key})


def test_a_part_that_too_many_have_finds_nothing() -> None:
    index = NumberIndex(said([(0, f"a1{n}") for n in range(300)]), said([]), 1, 1)
    assert [rows.tolist() for rows in index.rows_with("a1")] == [[], []]
    assert [rows.tolist() for rows in index.rows_with("a129")] == [[0], [0]]
