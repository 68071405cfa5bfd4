"""Items by a number of their own."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.contract.query_text import normalise
from training.ranking.bm25 import Bm25, catalog_text
from training.ranking.candidates import DEPTH
from training.ranking.item_numbers import ItemNumbers, depth_of, named_first
from training.ranking.second_stage import LEXICAL_FIELDS

ATTRIBUTES = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
BRAKE, LAPTOP, SLEEVE, SHIRT, PHONE, MAGNET, NUMBER = range(600, 607)


def numbers_of(catalog: pa.Table) -> ItemNumbers:
    return ItemNumbers(catalog, Bm25(catalog_text(catalog, LEXICAL_FIELDS)))


def shop() -> ItemNumbers:
    """Six hundred ordinary items, whose ids are in words, and a few that somebody asks for by a number."""
    kinds = ["iphone 13 case", "usb3 cable", "t-shirt", "4k tv stand", "calendar 2021", "cleaner 500ml"]
    ids = [f"{kinds[n % 6].replace(' ', '-')}-{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(600)]
    titles: list[str | None] = [f"{kinds[n % 6]} by brembo" for n in range(600)]
    ids += ["BP-1107/7", "lap", "sleeve", "t-shirt", "iphone-13", "24-1", "48810"]
    titles += ["Brake pads by brembo", "Ultrabook XPS-9310 with 16GB", "Sleeve for XPS-9310, red", "t-shirt"]
    titles += ["iphone 13", None, "Magnet"]
    attributes = [[] for _ in ids]
    attributes[LAPTOP] = [{"key": "EAN", "value": "4012345678901"}, {"key": "weight", "value": "1200g"}]
    variants = [[] for _ in ids]
    variants[SHIRT] = ["RS-77-M", "RS-77-L"]
    table = {
        "item_id": ids,
        "title": titles,
        "attributes": pa.array(attributes, ATTRIBUTES),
        "variant_ids": pa.array(variants, pa.list_(pa.string())),
    }
    return numbers_of(pa.table(table))


SHOP = shop()


def named(text: str, is_known: bool = False) -> list[int]:
    return list(SHOP.named([text], np.array([is_known]))[0].tolist())


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("bp-1107/7", [BRAKE]),
        ("bp1107/7", [BRAKE]),
        ("bp-1107", [BRAKE]),
        ("bp 1107 7", [BRAKE]),
        ("bp-1107/7 brembo", [BRAKE]),
        ("brembo bp1107/7", [BRAKE]),
        ("pads for bp 1107/7 please", [BRAKE]),
        ("bp110", [BRAKE]),
        ("brembo p-110", [BRAKE]),
        ("rs-77-m", [SHIRT]),
        ("rs77l shirt", [SHIRT]),
        ("4012345678901", [LAPTOP]),
        ("401234567", [LAPTOP]),
        ("xps-9310", [LAPTOP, SLEEVE]),
        ("xps9310 ultrabook", [LAPTOP]),
        ("red sleeve xps9310", [SLEEVE]),
        ("xps93", [LAPTOP, SLEEVE]),
        ("48810", [NUMBER]),
        ("magnet 48810", [NUMBER]),
        ("24-1", [MAGNET]),
        ("1107/7", [BRAKE]),
        ("1107-7 brake", [BRAKE]),
        ("77-m", []),  # short
    ],
)
def test_a_number_names_its_items(text: str, items: list[int]) -> None:
    assert named(text) == items


ORDINARY = ["iphone 13", "iphone13", "ps5", "usb3", "usb3 cable", "500ml", "4k tv", "2021", "calendar 2021", "t-shirt",
            "16gb", "1200g", "xps-9310 cable", "1080p", "12x16in", "", "brembo", "48 810", "24 1", "90210"]  # fmt: skip


@pytest.mark.parametrize("text", ORDINARY)
def test_an_ordinary_query_names_nothing(text: str) -> None:
    assert named(text) == []


def test_a_short_id_of_a_known_query_names_nothing() -> None:
    numbers = numbers_of(pa.table({"item_id": ["501", "SKU 1", "sku-22"]}))
    known = np.array([False, True, True, True])
    found = numbers.named(["501", "501", "sku 1", "sku22"], known)
    assert [rows.tolist() for rows in found] == [[0], [], [1], [2]]


def test_only_what_is_allowed_is_named() -> None:
    allowed = np.ones((1, 607), dtype=np.bool_)
    allowed[0, LAPTOP] = False
    found = SHOP.named(["xps-9310", "4012345678901"], np.zeros(2, dtype=np.bool_), allowed)
    assert [rows.tolist() for rows in found] == [[SLEEVE], []]


@settings(deadline=None)  # the first pattern of a process takes its time
@given(st.lists(st.text("ABCab012-/. _é", min_size=1, max_size=12), min_size=1, max_size=30, unique_by=normalise))
def test_an_id_with_digits_is_its_items_however_it_is_written(ids: Sequence[str]) -> None:
    numbers = numbers_of(pa.table({"item_id": ids}))
    for row, item in enumerate(ids):
        key = "".join(c for c in normalise(item) if c.isalnum())
        if len(key) >= 5 and any(c.isdigit() for c in key) and any(c.isalpha() for c in key):
            for text in (normalise(item), key):
                (found,) = numbers.named([text], np.zeros(1, dtype=np.bool_))
                same = {"".join(c for c in normalise(ids[i]) if c.isalnum()) for i in found.tolist()}
                assert same == {key} and (row in found or normalise(item) != text), (item, text)


@settings(deadline=None)  # the first pattern of a process takes its time
@given(st.text(max_size=40))
def test_any_text_may_be_asked(text: str) -> None:
    (found,) = SHOP.named([normalise(text)], np.zeros(1, dtype=np.bool_))
    assert len(found) <= 10


def test_a_shop_without_a_text_has_numbers() -> None:
    assert numbers_of(pa.table({"item_id": pa.array([], pa.string())})).named(["a1"], np.zeros(1, dtype=np.bool_))


def test_it_comes_first_and_once() -> None:
    seven = np.array([7])
    items, scores = named_first(np.array([4, 7, 2]), np.array([3.0, 2.0, 1.0], dtype=np.float32), seven, 3)
    assert items.tolist() == [7, 4, 2] and scores.tolist() == [4, 3, 1]
    items, scores = named_first(np.array([4, 7]), np.array([-3.0, -4.0], dtype=np.float32), np.array([1]), 2)
    assert items.tolist() == [1, 4] and scores.tolist() == [1, -3]
    assert named_first(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), np.array([1]), 2)[0].tolist() == [1]


def test_several_come_in_the_order_of_their_scores() -> None:
    hits, scores = np.array([4, 7, 2, 9]), np.array([3.0, 2.0, 1.0, 0.5], dtype=np.float32)
    items, best = named_first(hits, scores, np.array([1, 2, 9]), 5)
    assert items.tolist() == [2, 9, 1, 4, 7] and best.tolist() == [6, 5, 4, 3, 2]
    one, two = np.array([1]), np.array([1, 2])
    assert depth_of([one]) == 0 and depth_of([one, two]) > 3 * DEPTH


def test_a_part_between_marks_names_its_items_where_nobody_else_has_its_words() -> None:
    ids = [*(f"item-{chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(500)), "MK-4311/32-A", "MK-4311/33-A"]
    titles = [*["Planner 2018-2019, pack of 24/7, 4711/12 inch"] * 500, "Seal", "Seal"]
    numbers = numbers_of(pa.table({"item_id": [*ids, "MK-4711/12", "MK-8812/5"], "title": [*titles, "Valve", "Valve"]}))
    asked = {
        "4311/32-a": [500], "4311-32-a": [500], "seal 4311/33": [501], "4311/34-a": [], "311/32-a": [],
        "4711/12": [], "mk-4711/12": [502], "8812/5": [503], "8812/5 valve": [503], "2018-2019": [], "24/7": [],
    }  # fmt: skip
    found = numbers.named(list(asked), np.zeros(len(asked), dtype=np.bool_))
    assert dict(zip(asked, [rows.tolist() for rows in found], strict=True)) == asked


def test_items_that_came_later_are_named_by_all_their_numbers() -> None:
    base = pa.table({"item_id": ["a-100", "b-200"], "title": ["Red mug", "Blue mug"]})
    later = pa.table(
        {
            "item_id": ["c-300", "sku-77/12-9"],
            "title": ["Kettle XPS-9310", None],
            "attributes": pa.array([[], [{"key": "EAN", "value": "4012345678901"}]], ATTRIBUTES),
            "variant_ids": pa.array([["c-300-red"], []], pa.list_(pa.string())),
        }
    )
    # as a slice of a larger table, which is what the feed makes of it
    whole = pa.concat_tables([base, later], promote_options="permissive")
    added = whole.slice(2)
    lexical = Bm25(catalog_text(base, LEXICAL_FIELDS))
    numbers = ItemNumbers(base, lexical).with_items(added, lexical.with_texts(catalog_text(added, LEXICAL_FIELDS)))
    asked = {"c-300": 2, "c300red": 2, "xps9310": 2, "4012345678901": 3, "sku77129": 3, "mug a-100": 0, "40123456": 3}
    found = numbers.named(list(asked), np.zeros(len(asked), dtype=np.bool_))
    assert [rows.tolist() for rows in found] == [[row] for row in asked.values()]
