"""Stems, compounds and unspaced texts, by what an index over a catalogue finds."""

from pathlib import Path

import pytest

from training.ranking.bm25 import Bm25
from training.ranking.word_forms import UNSPACED, language_of

GERMAN = ["Hundeleine aus Leder für große Hunde", "Leine und Halsband für den Hund", "Katzenklo mit Deckel",
          "Schuhe für Damen, nicht nur für die Freizeit", "Kühlschrank mit Eis", "Schrank für das Büro"]  # fmt: skip
ENGLISH = ["Leash for a dog and the cat", "Running shoes for the trail", "Box of crème brûlée with a torch", "Boxes"]
JAPANESE = ["犬用リード 10m", "猫のトイレ", "ランニングシューズ 白", "犬のおもちゃ"]
CHINESE = ["无线蓝牙耳机", "蓝牙音箱", "运动鞋 男"]


def found(texts: list[str], query: str) -> list[int]:
    rows, _ = Bm25.of_items(texts).search([query], len(texts))
    return sorted(row for row in rows[0].tolist() if row >= 0)


@pytest.mark.parametrize(
    ("texts", "language"),
    [(GERMAN, "german"), (ENGLISH, "english"), (JAPANESE, UNSPACED), (CHINESE, UNSPACED), ([], None),
     (["Berlin", "Paris"], None), (["Chaussures de course pour les hommes et les femmes"], "french")],
)  # fmt: skip
def test_the_language_is_told_by_stop_words_and_script(texts: list[str], language: str | None) -> None:
    assert language_of(texts) == language


@pytest.mark.parametrize(
    ("query", "rows"),
    [("leine", [0, 1]), ("leinen", [0, 1]), ("hundeleine", [0, 1]), ("kuhlschranke", [4]), ("schrank", [5]),
     ("schuh", [3]), ("katze", [])],
)  # fmt: skip
def test_german_compounds_are_split_by_the_words_of_the_catalogue(query: str, rows: list[int]) -> None:
    assert found(GERMAN, query) == rows


@pytest.mark.parametrize(("query", "rows"), [("shoe", [1]), ("box", [2, 3]), ("leashes", [0]), ("cremes", [2])])
def test_a_stem_finds_the_words_that_have_it(query: str, rows: list[int]) -> None:
    assert found(ENGLISH, query) == rows


def test_the_word_that_was_asked_for_counts_most() -> None:
    scores = Bm25.of_items([*ENGLISH, "Box"]).scores(["boxes"])[0]
    assert scores[3] > scores[4] > 0


@pytest.mark.parametrize(
    ("texts", "query", "rows"),
    [(JAPANESE, "リード", [0]), (JAPANESE, "犬", [0, 3]), (JAPANESE, "猫 トイレ", [1]), (CHINESE, "蓝牙耳机", [0, 1]),
     (CHINESE, "运动鞋", [2]), (CHINESE, "冰箱", [])],
)  # fmt: skip
def test_an_unspaced_text_is_found_by_pairs_of_its_letters(texts: list[str], query: str, rows: list[int]) -> None:
    assert found(texts, query) == rows


def test_an_index_is_read_as_it_was_written_and_forms_are_no_words(tmp_path: Path) -> None:
    index = Bm25.of_items(GERMAN)
    index.save(tmp_path / "lexical")
    read = Bm25.load(tmp_path / "lexical")
    for query in ("leine", "schuhe", "kühlschränke", "xyz", ""):
        assert read.scores([query]).tolist() == index.scores([query]).tolist()
    assert not [word for word in read.document_frequency()[0] if not word.isalnum()]
    assert set(read.items_with("leine").tolist()) == {1}


def test_an_index_of_before_there_were_forms_is_read(tmp_path: Path) -> None:
    Bm25(ENGLISH).save(tmp_path / "lexical")
    (tmp_path / "lexical" / "size.json").write_text('{"texts": 4, "is_empty": false}', encoding="utf-8")
    assert Bm25.load(tmp_path / "lexical").scores(["box"]).tolist() == Bm25(ENGLISH).scores(["box"]).tolist()
