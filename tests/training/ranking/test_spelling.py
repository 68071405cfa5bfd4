"""Query correction: what it changes, what it leaves alone, in several languages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contract.query_text import normalise
from tests.training.baselines.test_random_walk import edges_of
from training.ranking.bm25 import Bm25, words_of
from training.ranking.near_words import fold
from training.ranking.spelling import MOST_UNKNOWN, Spelling

CATALOG = (
    *["Dog leash, red leather"] * 4, *["Kitchen towels and paper"] * 4, *["Running shoes for women"] * 4,
    *["Wireless headphones"] * 3, *["Cotton T-shirt"] * 3, *["Laptop stand WX-4000 2-pack"] * 2, "Velvet curtain",
    *["Hunde Leine aus Leder, Kühlschrank"] * 4, *["Fußmatte", "Türmatte für die Küche"] * 2,
    *["Crème brûlée, café moulu, thé vert"] * 3, *["Jamón serrano, piñata"] * 3, *["Smørrebrød fra Ærø"] * 2,
    *["Красные ботинки"] * 3, *["Κόκκινα παπούτσια"] * 3, *["נעליים אדומות"] * 3, *["赤い靴 ワイヤレス"] * 3,
    "Cardigan wool", "Bookend steel", *["E-cloth, e-bike, wi-fi router"] * 2, *["stocks and bonds"] * 4,
)  # fmt: skip
GENERAL = ("socks", "glove", "underwear", "carpet")


def spelling_of(
    texts: Sequence[str] = CATALOG,
    queries: Mapping[str, int] | None = None,
    general: Sequence[str] = GENERAL,
    lexical: Bm25 | None = None,
) -> Spelling:
    queries = queries or {}
    return Spelling.of(
        lexical or Bm25(list(texts)),
        texts,
        pa.array(list(queries), pa.string()),
        np.array(list(queries.values()), dtype=np.int64),
        pa.array(general),
    )


SHOP = spelling_of(queries={"iphone case": 40, "iphnoe charger": 1, "v neck": 3, "zzyzx": 1, "qqqqq": 9})
WORDS = sorted({word for text in CATALOG for word in words_of(normalise(text))})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        # a letter too few, too many, wrong, swapped; the first one
        ("dog lesh", "dog leash"), ("dog leassh", "dog leash"), ("dog leasj", "dog leash"), ("dog laesh", "dog leash"),
        ("dog ealsh", "dog ealsh"), ("eadphones", "headphones"), ("qireless headphones", "wireless headphones"),
        # two, in long words alone
        ("haedphnoes", "headphones"), ("hadphons", "headphones"), ("leaxhh", "leaxhh"),
        # more than one word, what stands between them
        ("runing sheos", "running shoes"), ("lether/vlvet", "leather/velvet"), ("(vlevet)", "(velvet)"),
        # endings
        ("curtains", "curtain"), ("towel", "towels"), ("cardigans", "cardigan"),
        # compounds written together and apart
        ("dogleash", "dog leash"), ("kitchentowels", "kitchen towels"), ("shoesforwomen", "shoes for women"),
        ("head phones", "headphones"), ("lap-top", "laptop"), ("lap top stand", "laptop stand"),
        ("tshirt", "t-shirt"), ("cotton tshirt", "cotton t-shirt"), ("ecloth", "e-cloth"),
        ("wifi routr", "wi-fi router"),
        ("hundeleine", "hunde leine"), ("hundelederleine", "hunde leder leine"), ("kühl schrank", "kühlschrank"),
        # accents that a keyboard lacks, as a word's spelling and with a slip
        ("creme brulee", "crème brûlée"), ("cafe", "café"), ("crme", "crème"), ("kuhlschrank", "kühlschrank"),
        ("kuehlschrank", "kühlschrank"), ("fussmatte", "fußmatte"), ("tuermatte", "türmatte"), ("jamon", "jamón"),
        ("pinata", "piñata"), ("smorrebrod", "smørrebrød"), ("smoerrebroed", "smørrebrød"),
        ("cafe\u0301", "café"),
        # other alphabets
        ("красные ботинкы", "красные ботинки"), ("κοκκινα", "κόκκινα"), ("παπουτσια", "παπούτσια"), ("נעלים", "נעליים"),
        # what was asked for
        ("iphne", "iphone"), ("qqqq", "qqqqq"),
        # a slip that one query had, elsewhere
        ("iphnoe", "iphone"), ("red iphnoe charger", "red iphone charger"),
    ],
)  # fmt: skip
def test_slips_become_the_shops_words(typed: str, meant: str) -> None:
    assert SHOP.corrected(normalise(typed)) == meant


@pytest.mark.parametrize(
    "typed",
    [
        "dog leash", "wireless t-shirt", "dog-leash", "laptop and headphones",  # known words
        "wx-4001", "wx4000", "b07h8qmzpv", "lesh-12", "3-pakc", "12v",  # numbers, ids, models
        "dgo", "ref", "sho",  # short
        "赤い靴を", "ワイヤレ", "รองเท้า",  # scripts that need no spaces
        "socks", "carpets", "underwear", "gloves",  # known elsewhere: neither stocks nor cardigans
        "zebra", "qwrtzpsd", "zzyzy",  # nothing near, or a slip that one query had
        "iphnoe charger", "v neck", "zzyzx",  # known queries
        "t shirt", "dog s leash",  # letters
        "stockbonds",  # a part that is no word
        "", "?!", "-", " ",
    ],
)  # fmt: skip
def test_the_rest_is_left_alone(typed: str) -> None:
    assert SHOP.corrected(normalise(typed)) == normalise(typed)


def test_a_word_of_one_item_gives_way_to_none_and_to_a_frequent_one() -> None:
    assert spelling_of(["velvet", "pilow"]).corrected("velvt") == "velvet"
    rare = spelling_of(["marker", "market", "masker"])
    assert rare.corrected("maxker") == "maxker"
    often = spelling_of([*["marker"] * 9, "market", "masker"])
    assert often.corrected("marke") == "marker"
    asked = spelling_of(["marker", "market", "masker"], {"market stall": 4})
    assert asked.corrected("marke") == "market"


def test_a_correction_of_one_edit_comes_before_a_split_and_a_split_before_two_edits() -> None:
    texts = [*["book ring"] * 9, *["booking"] * 9, *["red wagons", "redwagen"] * 9]
    assert spelling_of(texts).corrected("bookring") == "booking"
    assert spelling_of([*texts, *["redwagon"] * 9]).corrected("redwagons") == "redwagon"
    assert spelling_of(texts).corrected("redwagons") == "red wagons"


def test_a_letter_that_the_catalogue_writes_apart_is_joined_to_frequent_words_alone() -> None:
    texts = ["Cotton T-Shirt, men's"] * 9 + [
        "tshirt dress",
        "oring",
        "vitaminc",
        "Vitamin C (serum)",
        "an ebook",
        "x-ray",
    ]
    shop = spelling_of([*texts, *["O ring set"] * 9, *["iPad"] * 9, "i-pad sleeve", "wifi", "wi-fi", "pad", "book"])
    for query in (
        "t-shirt",
        "t shirt",
        "blue t shirt",
        "o-ring set",
        "o ring",
        "vitamin c",
        "vitamin c serum",
        "wi fi",
    ):
        assert shop.corrected(query) == query
    for query in ("t shirts", "o-rings"):
        assert spelling_of([*texts, *["o-ring"] * 9, "tshirts", "orings", "shirts", "rings"]).corrected(query) == query
    assert spelling_of([*["V necks"] * 9, "vneck", "neck"]).corrected("v neck") == "v neck"
    assert spelling_of([*["women's coat"] * 9, "womens"]).corrected("wom ens coat") == "womens coat"
    # the catalogue hardly writes it so, or never
    assert shop.corrected("i pad sleeve") == "ipad sleeve"
    assert shop.corrected("e book") == "ebook"
    assert shop.corrected("t shrit") == "t shirt"


@pytest.mark.parametrize("query", ["women's top", "women’s top", "kid's hoes"])
def test_an_apostrophes_letter_is_no_part_of_the_next_word(query: str) -> None:
    shop = spelling_of([*["door stop, shoes"] * 9, "women", "kid", "top", "hoes"], general=[])
    assert shop.corrected(query) == query


def test_what_was_clicked_after_a_slip_does_not_make_it_a_word() -> None:
    texts = [*["red sneakers"] * 9, "blue mug"]
    once = spelling_of(texts, {"sneekers": 1, "green sneekers": 1})
    assert [once.corrected(q) for q in ("sneekers", "green sneekers")] == ["sneekers", "green sneekers"]
    assert [once.corrected(q) for q in ("red sneekers", "snekers")] == ["red sneakers", "sneakers"]
    assert spelling_of(texts, {"sneek-ers": 1}).corrected("red sneekers") == "red sneakers"
    often = spelling_of(texts, {"sneekers": 2, "green sneekers": 1})
    assert often.corrected("red sneekers") == "red sneekers"


def test_a_well_known_word_that_was_asked_for_once_stays() -> None:
    shop = spelling_of(["stocks and bonds"] * 9, {"socks": 1, "wool socks": 1}, general=["socks", "wool"])
    assert shop.corrected("blue socks") == "blue socks"


def test_two_different_accents_are_two_words() -> None:
    shop = spelling_of([*["pêche fraîche"] * 5, "péché mignon"])
    assert shop.corrected("peche") == "pêche"
    assert shop.corrected("pèche") == "pêche"
    assert shop.corrected("péché") == "péché"


def test_a_long_text_is_no_query_of_the_shop() -> None:
    words = [f"leas{a}{b}" for a, b in zip("bcdfgjklmnp", "hhhhhhhhhhh", strict=True)]
    assert SHOP.corrected(" ".join(words[:MOST_UNKNOWN])) != " ".join(words[:MOST_UNKNOWN])
    assert SHOP.corrected(" ".join(words)) == " ".join(words)


def test_only_what_had_happened_counts() -> None:
    edges = edges_of([(0, 0, 1, 1), (0, 0, 2, 1), (0, 0, 3, 1), (0, 1, 9, 1)])
    texts, queries = ["mug"], pa.array(["iphone case", "samsung case"])
    early, late = (Spelling.as_of(Bm25(texts), texts, edges, queries, at) for at in (5, 10))
    assert early.corrected("iphne") == late.corrected("iphne") == "iphone"
    assert late.corrected("samsung caes") == "samsung case"
    assert early.corrected("samsung caes") == "samsung case"
    assert early.corrected("samsong") == "samsong"


@pytest.mark.parametrize("texts", [[], [""], ["!"], ["mug"]])
def test_an_empty_shop_corrects_nothing(texts: list[str]) -> None:
    assert spelling_of(texts, general=[]).corrected("red sheos") == "red sheos"


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    SHOP.save(tmp_path / "words.parquet")
    loaded = Spelling.load(tmp_path / "words.parquet")
    for typed in ("dog lesh", "tshirt", "creme", "socks", "iphnoe", "iphnoe charger", "t shirt", "hundeleine"):
        assert loaded.corrected(typed) == SHOP.corrected(typed)


slips = st.one_of(
    st.sampled_from(WORDS),
    st.text("abcdeéhlnorsüt-' ", max_size=12),
    st.builds(lambda w, i, c: w[: i % len(w)] + c + w[i % len(w) + 1 :], st.sampled_from(WORDS), st.integers(0, 20),
              st.sampled_from(["", "a", "ee", " ", "-", "7", "é"])),
    st.text(max_size=6),
)  # fmt: skip
typed_queries = st.lists(slips, max_size=6).map(lambda words: normalise(" ".join(words)))


@given(st.lists(st.sampled_from(WORDS), max_size=6), st.sampled_from([" ", "-", " / ", ", "]))
def test_a_query_of_known_words_is_never_changed(words: list[str], between: str) -> None:
    assert SHOP.corrected(between.join(words)) == between.join(words)


@pytest.mark.parametrize("letter", ["ﷺ", "ﬃ", "ß", "ŉ", "ﰀ", "ͺ", "ªº", "İ", "й", "\U0001d400"])
@pytest.mark.parametrize("count", [4, 18, 24, 25, 60])
def test_letters_that_are_several_once_folded(letter: str, count: int) -> None:
    SHOP.corrected(normalise(letter * count))
    spelling_of(["mug", letter * count]).corrected(normalise(f"x{letter * count}"))


LETTERS = map(chr, [*range(0x80, 0x600), *range(0xFB00, 0xFE00)])
LETTERS_OF_SEVERAL = [c for c in LETTERS if c.isalpha() and len(fold(c)) > 2]


@given(st.one_of(st.text(), st.text(st.characters(categories=["L", "M"]), min_size=4, max_size=60),
                 st.text(LETTERS_OF_SEVERAL, min_size=14, max_size=24)))  # fmt: skip
def test_any_text_is_answered(typed: str) -> None:
    once = SHOP.corrected(normalise(typed))
    assert SHOP.corrected(once) == once


@given(typed_queries)
def test_corrected_once_is_corrected(typed: str) -> None:
    once = SHOP.corrected(typed)
    assert SHOP.corrected(once) == once == normalise(once)


@given(typed_queries)
def test_words_that_come_are_known_and_words_with_digits_stay(typed: str) -> None:
    import unicodedata

    same_form = unicodedata.normalize("NFC", typed)
    before, after = same_form.split(" "), SHOP.corrected(typed).split(" ")
    known = {*WORDS, "iphone", "case", "qqqqq", "charger", "v", "neck", "t", "e", "wi", "fi"}
    came = {w for chunk in set(after) - set(before) for w in words_of(chunk)}
    assert came <= known | {w for chunk in before for w in words_of(chunk)}
    assert [w for w in before if any(c.isdigit() for c in w)] == [w for w in after if any(c.isdigit() for c in w)]


def test_another_ending_is_the_same_query_and_another_word_is_not() -> None:
    texts = [*["Curtain for the window and the door"] * 9, *["Wireless headphones for a dog"] * 9]
    spelling = spelling_of(texts, lexical=Bm25.of_items(list(texts)))
    for typed, meant, is_same in (
        ("curtains", "curtain", True), ("ＣＵＲＴＡＩＮ", "curtain", True), ("curtian", "curtain", False),
        ("wireless curtain", "wireless curtain", True), ("headfones", "headphones", False),
    ):  # fmt: skip
        corrected = spelling.corrected(normalise(typed))
        assert corrected in (meant, normalise(typed))
        assert spelling.is_same(normalise(typed), meant) == is_same


def test_what_finds_compounds_is_no_slip(tmp_path: Path) -> None:
    texts = [*["Schlagbohrmaschine für den Profi und die Werkstatt", "Tischbohrmaschine für das Heim"] * 5]
    spelling = spelling_of(texts, lexical=Bm25.of_items(list(texts)))
    assert spelling.corrected("bohrmaschine") == "bohrmaschine"
    assert spelling.corrected("schlagborhmaschine") == "schlagbohrmaschine"
    spelling.save(tmp_path / "words.parquet")
    read = Spelling.load(tmp_path / "words.parquet", Bm25.of_items(list(texts)).forms)
    assert read.corrected("bohrmaschine") == "bohrmaschine"
