"""Values of a field as people write them."""

from __future__ import annotations

import pyarrow as pa
import pytest

from serving import field_values
from serving.fields import FilterFields, filter_fields
from serving.filters import UnknownValue, parse_filters

PATHS = [
    ["Home & Garden", "Lamps"],
    ["Home & Garden", "Sofas", "Corner"],
    ["Food/Drinks", "Tea"],
    ["Shoes", "Running"],
    ["Sale", "Shoes", "Running"],
    ["SHOES", "Trail"],
    [],
]


@pytest.fixture(scope="module")
def fields() -> FilterFields:
    brands = ["Acme", "Acme", "O'Neil", "nike", "Nike", "Müller", None]
    return filter_fields(pa.table({"category_path": PATHS, "brand": brands, "price": [1.0] * len(PATHS)}))


def rows(fields: FilterFields, filters: dict[str, object]) -> list[int]:
    mask = parse_filters(filters, fields).mask(fields.columns)
    assert mask is not None
    return [int(row) for row in mask.nonzero()[0]]


@pytest.mark.parametrize(
    "path",
    [
        "Home & Garden > Sofas",
        "home & garden>sofas",
        "Home & Garden/Sofas/Corner",
        "/Home & Garden/Sofas/",
        " HOME  & GARDEN › Sofas ",
        ["Home & Garden", "Sofas"],
        [["Home & Garden", "Sofas", "Corner"]],
    ],
)
def test_a_category_is_a_path_or_its_beginning_as_people_write_it(fields: FilterFields, path: object) -> None:
    assert rows(fields, {"category_path": path}) == [1]
    assert not parse_filters({"category_path": path}, fields).unknown


def test_a_path_begins_at_the_root_and_a_level_is_one_at_any_depth(fields: FilterFields) -> None:
    assert rows(fields, {"category": "Shoes"}) == [3, 4]
    assert rows(fields, {"category": "Shoes > Running"}) == [3]
    assert rows(fields, {"category": "sale/shoes"}) == [4]
    assert rows(fields, {"category": "Food/Drinks"}) == rows(fields, {"category": "Food/Drinks/Tea"}) == [2]
    assert rows(fields, {"category": ["Home & Garden", "Sofas"]}) == [0, 1], "one or the other"
    assert rows(fields, {"category_path": [["Lamps"], ["Food/Drinks", "Tea"]]}) == [0, 2], "one or the other"
    assert rows(fields, {"category": [["Shoes", "Running"], "Tea"]}) == [2, 3]


def test_case_and_spaces_are_passed_over_where_no_value_is_written_so(fields: FilterFields) -> None:
    assert rows(fields, {"brand": " ACME "}) == [0, 1]
    assert rows(fields, {"brand": "mu\u0308ller"}) == [5]
    assert rows(fields, {"brand": "nike"}) == [3]
    assert rows(fields, {"brand": "NIKE"}) == [3, 4], "both ways in which items write it"
    assert not parse_filters({"brand": "NIKE"}, fields).unknown


def test_what_no_item_has_is_told_with_the_nearest(fields: FilterFields) -> None:
    wanted = parse_filters({"brand": ["Amce", "nike"], "category": "Shoes > Runing", "price": 3}, fields)
    assert wanted.unknown[0] == UnknownValue("brand", "Amce", ("Acme",))
    assert (wanted.unknown[1].value, wanted.unknown[1].nearest[0]) == ("Shoes > Runing", "Shoes > Running")
    assert rows(fields, {"brand": ["Amce", "nike"]}) == [3]
    assert parse_filters({"brand": "\x00"}, fields).unknown == (UnknownValue("brand", "\x00", ()),)
    many = parse_filters({"brand": [f"acm{n}" for n in range(9)]}, fields).unknown
    assert len(many) == 9 and many[0].nearest == ("Acme",) and not many[-1].nearest


@pytest.mark.parametrize("path", [["Shoes", "Lamps"], ["Lamps"], ["Home & Garden", "Sofas", "Corner", "Blue"]])
def test_a_path_that_no_item_has_matches_nothing_and_is_told(fields: FilterFields, path: list[str]) -> None:
    assert rows(fields, {"category_path": path}) == []
    (unknown,) = parse_filters({"category_path": path}, fields).unknown
    assert (unknown.field, unknown.value) == ("category", " > ".join(path))


def test_many_values_are_resolved_in_one_pass(fields: FilterFields, monkeypatch: pytest.MonkeyPatch) -> None:
    fields.warm()
    calls: list[int] = []
    index_in = field_values.pc.index_in

    def counted(asked: pa.Array, **options: pa.Array) -> pa.Array:
        calls.append(len(asked))
        return index_in(asked, **options)

    monkeypatch.setattr(field_values.pc, "index_in", counted)
    asked = [f"nothing {n}" for n in range(500)] + ["shoes", "tea", "home & garden / lamps"]
    assert fields.values_of(fields.by_name["category"]).resolve(asked)[500:] == [
        None,
        "Tea",
        ("Home & Garden", "Lamps"),
    ]
    assert len(calls) == 4


def test_the_values_of_text_stand_where_numbers_alone_change(fields: FilterFields) -> None:
    fields.warm()
    columns = fields.columns.set_column(0, "price", pa.array([2.0] * len(PATHS)))
    other, brand = fields.with_numbers(columns), fields.by_name["brand"]
    assert other.values_of(brand) is fields.values_of(brand)
    assert rows(other, {"price": 2.0, "brand": "acme"}) == [0, 1]
