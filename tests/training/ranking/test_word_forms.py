"""Stems, compounds and unspaced texts, by what an index over a catalogue finds."""

import json
from pathlib import Path

import numpy as np
import pytest

from training.ranking.bm25 import AS_WRITTEN, READING, Bm25
from training.ranking.word_forms import UNSPACED, language_of

GERMAN = ["Hundeleine aus Leder für große Hunde", "Leine und Halsband für den Hund", "Katzenklo mit Deckel",
          "Schuhe für Damen, nicht nur für die Freizeit", "Kühlschrank mit Eis", "Schrank für das Büro"]  # fmt: skip
ENGLISH = ["Leash for a dog and the cat", "Running shoes for the trail", "Box of crème brûlée with a torch", "Boxes"]
TOOLS = ["Schlagbohrmaschine für den Profi und die Werkstatt", "Tischbohrmaschine für das Heim",
         "Lehrbuch für den Elektriker", "Akkuschrauber für den Garten", "Schlagschrauber", "Gartentisch aus Holz",
         "Tisch aus Glas", "Verkleidung für die Wand", "Kleidung für den Winter", "Praktisch für die Küche", "Holz",
         "Schrauber"]  # fmt: skip
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


def test_an_index_of_before_is_asked_as_it_was_made(tmp_path: Path) -> None:
    texts = ["Ａｋｋｕ 18 V für den Profi und die Werkstatt", "ペン", "ﾍﾟﾝ", *GERMAN]
    Bm25(texts, "german", reading=AS_WRITTEN).save(tmp_path / "lexical")
    size = json.loads((tmp_path / "lexical" / "size.json").read_text(encoding="utf-8"))
    del size["reading"]
    (tmp_path / "lexical" / "size.json").write_text(json.dumps(size), encoding="utf-8")
    before = Bm25.load(tmp_path / "lexical")

    for query, rows in (
        ("ペン", [1, 2]),
        ("ﾍﾟﾝ", [1, 2]),
        ("ａｋｋｕ", [0]),
        ("leine", [3, 4]),
        ("18", [0]),
        ("18 v", [0]),
    ):
        assert np.flatnonzero(before.scores([query])[0]).tolist() == rows
    assert before.words_of("ペン ＡＫＫＵ") == ["ペン", "ａｋｋｕ"]
    # so is what comes after it
    assert before.with_texts(["ペンﾍﾟﾝ 黒"]).scores(["ペンﾍﾟﾝ"])[0, -1] > 0
    again = tmp_path / "again"
    before.save(again)
    assert Bm25.load(again).reading == AS_WRITTEN


def test_an_index_of_a_newer_program_is_refused(tmp_path: Path) -> None:
    Bm25(ENGLISH, reading=READING + 1).save(tmp_path / "lexical")
    with pytest.raises(ValueError, match="was written by a newer program"):
        Bm25.load(tmp_path / "lexical")


def test_an_index_of_before_there_were_forms_is_read(tmp_path: Path) -> None:
    Bm25(ENGLISH).save(tmp_path / "lexical")
    (tmp_path / "lexical" / "size.json").write_text('{"texts": 4, "is_empty": false}', encoding="utf-8")
    assert Bm25.load(tmp_path / "lexical").scores(["box"]).tolist() == Bm25(ENGLISH).scores(["box"]).tolist()


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("bohrmaschine", [0, 1]),  # no item has the word alone
        ("bohrmaschinen", [0, 1]),
        ("maschine", []),  # before all there is one letter, which may be what a slip left out
        ("schrauber", [11]),  # Akku is no word of this shop and begins nothing else; a shop with "Akku 18 V" finds it
        ("tisch", [5, 6]),  # what praktisch is not; Tische are, beside Garten
        ("kleidung", [8]),  # Ver is a verb's
        ("buch", []),  # short, and Lehr begins nothing else
    ],
)
def test_a_word_finds_the_compounds_that_it_is_the_last_part_of(query: str, rows: list[int]) -> None:
    assert found(TOOLS, query) == rows


def test_a_beginning_that_is_no_word_begins_a_compound_where_it_begins_another() -> None:
    texts = ["Schlagbohrer für den Profi und die Werkstatt", "Bohrer für das Heim", "Hammer für den Garten"]
    assert found(texts, "bohrer") == [1]
    assert found([*texts, "Schlaghammer"], "bohrer") == [0, 1]


@pytest.mark.parametrize("query", ["ﾜｲﾔﾚｽ", "ワイヤレス", "わいやれす"])
@pytest.mark.parametrize("item", ["ワイヤレスイヤホン 黒", "ﾜｲﾔﾚｽｲﾔﾎﾝ 黒", "わいやれすいやほん 黒"])
def test_kana_are_found_in_one_another(query: str, item: str) -> None:
    assert found([*JAPANESE, item], query)[-1] == len(JAPANESE)


def test_full_width_letters_are_found() -> None:
    assert found(["ＳＯＮＹ Headphones for the road", "Leash for a dog"], "sony") == [0]
    assert found(["Sony headphones for the road", "Leash for a dog"], "ＳＯＮＹ") == [0]
