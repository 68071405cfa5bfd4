"""BM25 as a source: words, and an index that is the same when it was written and read."""

from pathlib import Path

import bm25s
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.contract.letters import same_letters
from training.ranking.bm25 import Bm25, best_matches, words_of


@given(st.text() | st.lists(st.sampled_from(["The", "red", "café", "ps5", "a", "x-2", "日本", "İ"])).map(" ".join))
def test_words_are_those_of_the_library(text: str) -> None:
    (expected,) = bm25s.tokenize([same_letters(text)], stopwords="en", return_ids=False, show_progress=False)
    assert words_of(text) == expected


def test_an_index_is_the_same_when_it_was_written_and_read(tmp_path: Path) -> None:
    index = Bm25(["red mug A-1", "blue mug", "", "red lamp"])
    for name in ("first", "second"):
        index.save(tmp_path / name)
    asked = ["red mug", "a-1", "zebra", ""]
    read = Bm25.load(tmp_path / "first")
    np.testing.assert_array_equal(read.scores(asked), index.scores(asked))
    for file in (tmp_path / "first").iterdir():
        assert file.read_bytes() == (tmp_path / "second" / file.name).read_bytes()


def test_an_index_of_nothing_finds_nothing_also_when_it_was_read(tmp_path: Path) -> None:
    Bm25(["", ""]).save(tmp_path / "none")
    assert Bm25.load(tmp_path / "none").scores(["red", ""]).tolist() == [[0, 0], [0, 0]]


def test_one_word_is_a_vocabulary() -> None:
    assert (Bm25(["red", "red"]).scores(["red"]) > 0).all()


ROWS = st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, 2.0, -1.0]), min_size=6, max_size=6), max_size=3)


@given(ROWS, st.integers(1, 6))
def test_the_best_matches_are_those_of_a_whole_sort(rows: list[list[float]], k: int) -> None:
    scores = np.array(rows, dtype=np.float32).reshape(-1, 6)
    found, best = best_matches(scores, k)
    for row, items, values in zip(scores, found.tolist(), best.tolist(), strict=True):
        expected = [i for i in np.argsort(-row, kind="stable").tolist() if row[i] > 0][:k]
        assert items == expected + [-1] * (k - len(expected))
        assert values[: len(expected)] == row[expected].tolist()
