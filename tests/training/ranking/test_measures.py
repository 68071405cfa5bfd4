"""Measures, which are found however they are written."""

import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ranking.bm25 import Bm25
from training.ranking.measures import item_text, query_text

WAYS = [
    ["18V", "18 V", "18-V", "18 Volt"],
    ["9V", "9 V"],
    ["1,5 l", "1.5 l", "1.5 L"],
    ["6x40mm", "6 x 40 mm", "6 × 40 mm"],
    ["M6x40", "M6 x 40"],
    ["500ml", "500 ml"],
    ['27"', "27 inch", "27 Zoll", "27in"],
]
PAIRS = [(item, query) for ways in WAYS for item in ways for query in ways]
WORD = re.compile(r"\w+")
ODD = st.text("0123456789.,/x×* -vlmminV\"'abc") | st.text()


@pytest.mark.parametrize(("item", "query"), PAIRS)
def test_a_measure_finds_the_item_that_has_it_written_in_another_way(item: str, query: str) -> None:
    index = Bm25(["drill", f"drill {item} green", "drill 77 cm", "drill 4 a"])
    (scores,) = index.scores([query])
    assert scores[1] > 0 and scores[[0, 2, 3]].tolist() == [0, 0, 0]


def test_ways_of_writing_a_measure_are_the_same_query() -> None:
    for together, apart in (("18v", "18 v"), ("500ml", "500 ml"), ("6x40mm", "6 x 40 mm")):
        assert set(Bm25([""]).asked(together)) == set(Bm25([""]).asked(apart))


@pytest.mark.parametrize(
    "text",
    ["iphone 13", "usb3", "2018-2019", "t-shirt", "a4", "14 oz", "500 ml", "500ml", "wx-4000", "ps5 games", "18 cm"],
)
def test_an_item_gets_no_word_that_its_own_words_say(text: str) -> None:
    assert item_text(text) == text


def test_a_number_before_an_ordinary_word_is_still_asked_for() -> None:
    assert {"13", "black"} <= set(query_text("iphone 13 in black").split())


@given(ODD)
def test_words_are_added_and_none_is_taken(text: str) -> None:
    for read in (item_text, query_text):
        assert not Counter(WORD.findall(text)) - Counter(WORD.findall(read(text)))
