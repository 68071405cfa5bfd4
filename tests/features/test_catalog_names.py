"""Which column becomes which field: names in other spellings, columns that lack values, products and variants."""

from __future__ import annotations

from typing import Any

import pytest

from features.catalog_aliases import ALIASES
from features.catalog_names import assign_fields, opened_columns, plain_name


def fields(columns: dict[str, int], rows: int = 10) -> dict[str, tuple[str | None, str | None]]:
    """Column -> (field, slot) of one file, given the rows that have a value in each."""
    table = assign_fields([(0, key, filled) for key, filled in columns.items()], {0: rows})
    return {row["key"]: (row["field"], row["slot"]) for row in table.to_pylist()}


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("Sale Price", "saleprice"),
        ("sale-price", "saleprice"),
        ("salePrice", "saleprice"),
        ("g:sale_price", "saleprice"),
        ("{http://base.google.com/ns/1.0}sale_price", "saleprice"),
        ("  SALE_PRICE ", "saleprice"),
        ("Catégorie", "categorie"),
        ("Größe", "grosse"),
        ("offers.lowPrice", "offers.lowprice"),
        ("@id", "@id"),
        ("schema:@id", "@id"),
        ("Body (HTML)", "bodyhtml"),
    ],
)
def test_names_are_compared_without_spelling(name: str, plain: str) -> None:
    assert plain_name(name) == plain


def test_each_known_name_is_its_field_and_of_no_other() -> None:
    seen: dict[str, str] = {}
    for field, names in ALIASES.items():
        for name in names:
            assert seen.setdefault(plain_name(name), field) == field, name
            assert fields({name: 10})[name][0] == field, name


@pytest.mark.parametrize(
    ("filled", "chosen"),
    [
        ({"SKU": 10, "ID": 10}, "SKU"),
        ({"SKU": 7, "ID": 10}, "ID"),
        ({"ID": 10, "Handle": 10, "SKU": 9}, "ID"),
        ({"mpn": 9, "gtin": 8}, "mpn"),
        ({"SKU": 0, "ID": 3}, "ID"),
    ],
)
def test_the_id_is_what_every_row_has(filled: dict[str, int], chosen: str) -> None:
    found = fields(filled)
    assert [key for key, (field, _) in found.items() if field == "item_id"] == [chosen]
    assert all(slot == "other_id" for key, (_, slot) in found.items() if key != chosen)


def test_the_id_is_chosen_over_all_days_alike() -> None:
    keys = [(0, "sku", 10), (0, "id", 10), (1, "sku", 4), (1, "id", 10)]
    table = assign_fields(keys, {0: 10, 1: 10}).to_pylist()
    assert {(row["file"], row["key"]) for row in table if row["field"] == "item_id"} == {(0, "id"), (1, "id")}


def test_what_some_rows_lack_is_read_from_the_next_column() -> None:
    table = assign_fields([(0, "Sale price", 3), (0, "Regular price", 10), (0, "list price", 10)], {0: 10}).to_pylist()
    assert {row["key"]: (row["field"], row["rank"]) for row in table} == {
        "Sale price": ("price", 0),
        "Regular price": ("price", 1),
        "list price": (None, 0),
    }


@pytest.mark.parametrize(
    ("columns", "field", "key"),
    [
        ({"title": 0, "name": 10}, "title", "name"),
        ({"Titel": 10}, "title", "Titel"),
        ({"product type": 10, "google product category": 10}, "category_path", "product type"),
        ({"product type": 0, "google product category": 10}, "category_path", "google product category"),
        ({"Type": 10, "Handle": 10, "Option1 Value": 10}, "category_path", "Type"),
        ({"brand": 10, "manufacturer": 10}, "brand", "brand"),
    ],
)
def test_of_several_names_the_best_that_has_values(columns: dict[str, int], field: str, key: str) -> None:
    assert [name for name, (found, _) in fields(columns).items() if found == field] == [key]


def test_a_type_is_no_category_outside_shopify() -> None:
    assert fields({"Type": 10, "ID": 10})["Type"] == (None, None)


@pytest.mark.parametrize("name", ["item group id", "g:item_group_id", "Parent SKU", "Parent", "inProductGroupWithID"])
def test_a_column_that_names_the_product(name: str) -> None:
    assert fields({"id": 10, name: 4})[name] == ("product", None)
    assert fields({"id": 10, name: 0})[name] == (None, None)


def test_a_handle_is_the_product_in_shopify_alone() -> None:
    assert fields({"Handle": 10, "Option1 Value": 10, "Variant SKU": 8})["Handle"] == ("product", None)
    assert fields({"Handle": 10})["Handle"] == ("item_id", None)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Attribute 1 name", ("pair_name", "attribute1")),
        ("Attribute 1 value(s)", ("pair_value", "attribute1")),
        ("Option2 Name", ("pair_name", "option2")),
        ("option_2_value", ("pair_value", "option2")),
        ("Property 3 Values", ("pair_value", "property3")),
    ],
)
def test_attributes_in_two_columns(name: str, role: tuple[str, str]) -> None:
    assert fields({"id": 10, name: 5})[name] == role


@pytest.mark.parametrize("key", ["offers", "@type", "offers.@type", "aggregateRating.bestRating", "hasVariant"])
def test_what_is_around_other_columns_is_no_attribute(key: str) -> None:
    assert fields({"id": 10, key: 10})[key] == (None, "packing")


def test_two_spellings_of_one_name_are_one_field() -> None:
    found: dict[str, Any] = fields({"item_id": 10, "Item ID": 10, "title": 10})
    assert {found["item_id"], found["Item ID"]} == {("item_id", None), (None, None)}


def test_opened_columns_reach_inside_each_other() -> None:
    keys = ["offers", "Offers.priceSpecification", "hasVariant.offers", "brand", "offers.price"]
    assert opened_columns(keys) == ["Offers.priceSpecification", "hasVariant.offers", "offers"]


@pytest.mark.parametrize(
    ("columns", "field", "key"),
    [
        ({"id": 10, "name_de": 10, "name_tr": 2}, "title", "name_de"),
        ({"id": 10, "name_de": 10, "name_en": 10}, "title", "name_en"),
        ({"id": 10, "name": 10, "name_en": 10}, "title", "name"),
        ({"id": 10, "Title (fr)": 10}, "title", "Title (fr)"),
        ({"id": 10, "description-pt_BR": 10}, "description", "description-pt_BR"),
        ({"id": 10, "price_eur": 10}, "price", "price_eur"),
        ({"id": 10, "Price in USD": 10}, "price", "Price in USD"),
        ({"id": 10, "price": 10, "price_eur": 10}, "price", "price"),
    ],
)
def test_a_language_or_currency_behind_a_name(columns: dict[str, int], field: str, key: str) -> None:
    assert next(name for name, (found, _) in fields(columns).items() if found == field) == key


@pytest.mark.parametrize("name", ["category_id", "tag_id", "name_length", "brand_de", "price_drop"])
def test_other_endings_are_no_language_and_no_currency(name: str) -> None:
    assert fields({"sku": 10, name: 10})[name] == (None, None)


def test_a_link_names_items_that_have_no_id() -> None:
    assert fields({"url": 10, "name": 10})["url"] == ("item_id", None)
    assert fields({"url": 9, "name": 10})["url"] == (None, None)
    assert fields({"sku": 8, "url": 10})["url"] == (None, None)


def test_a_column_that_is_named_is_the_field() -> None:
    keys = [(0, "id", 10), (0, "prod_nm", 8), (0, "title", 10)]
    table = assign_fields(keys, {0: 10}, given={"title": "prod_nm"}).to_pylist()
    assert {row["key"]: (row["field"], row["rank"]) for row in table} == {
        "id": ("item_id", 0),
        "prod_nm": ("title", 0),
        "title": ("title", 1),
    }
