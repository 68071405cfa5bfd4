"""Prices, texts and numbers inside whatever a catalogue packs them in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog import build_catalog
from features.catalog_fields import PRICES_SQL
from tests.features.catalog_columns import column_of
from tests.features.catalog_files import items, landing
from tests.features.raw_log import ndjson, shop


def prices(values: list[Any]) -> list[float | None]:
    """What the prices of one shop are read as."""
    with column_of(values, "price") as connection:
        connection.execute(PRICES_SQL)
        read = dict(connection.execute("FROM prices").fetchall())
    return [read.get(n) for n in range(len(values))]


TEXTS: dict[str, float | None] = {
    "19.99": 19.99,
    "19,99 €": 19.99,
    "€ 19,99": 19.99,
    "EUR 19.99": 19.99,
    "USD19.99": 19.99,
    "$1,299.00": 1299.0,
    "1.299,00 €": 1299.0,
    "1'299.50 CHF": 1299.5,
    "1 299,00 kr": 1299.0,
    "1\u202f299,00\u00a0€": 1299.0,
    "₹1,23,456.00": 123456.0,
    "R$ 1.299,90": 1299.9,
    "1200円": 1200.0,
    "Rs.500": 500.0,
    "19.99 USD/kg": 19.99,
    "12.50*": 12.5,
    "12,50 EUR inkl. 19% MwSt.": 12.5,
    "inkl. 7,7 % MwSt 12,50 €": 12.5,
    "5,-": 5.0,
    "5.–": 5.0,
    ".99": 0.99,
    "$.99": 0.99,
    "12.50000000": 12.5,
    "From $10.00": 10.0,
    "ab 10,00 €": 10.0,
    "$10.00 - $20.00": 10.0,
    "20–10": 10.0,
    "10 to 20 USD": 10.0,
    "10 bis 20 €": 10.0,
    "0.00 EUR": 0.0,
    "-5": None,
    "Free": None,
    "on request": None,
    "1e3": None,
    "$20.00 $15.00": None,
    "1.2.3": None,
}


def test_prices_as_texts() -> None:
    assert dict(zip(TEXTS, prices(list(TEXTS)), strict=True)) == TEXTS


PACKED: list[tuple[Any, float | None]] = [
    ({"value": "15.00", "currency": "USD"}, 15.0),
    ({"amount": 5, "currency": "EUR"}, 5.0),
    ({"USD": 10, "EUR": 9}, 10.0),
    ({"DE": {"value": 3}}, 3.0),
    ({"en-US": {"amount": 5}}, 5.0),
    ({"price": {"value": 7}}, 7.0),
    ({"min": 3, "max": 9}, 3.0),
    ({"price_min": "3", "price_max": 9}, 3.0),
    ({"regular": 10, "sale": 8}, 8.0),
    ({"gross": 5, "net": 4}, 5.0),
    ({"centAmount": 1999, "currencyCode": "EUR", "fractionDigits": 2}, 19.99),
    ({"value": {"centAmount": 500, "fractionDigits": 0}}, 500.0),
    ({"amountMicros": "15990000", "currencyCode": "USD"}, 15.99),
    ({"formatted": "$5.00"}, 5.0),
    ('{"value": 5}', 5.0),
    ([{"price": 5}, {"price": "4,00 €"}], 4.0),
    (["$5", "$4"], 4.0),
    ([], None),
    ({"currency": "EUR"}, None),
    (True, None),
]


def test_prices_as_objects_and_lists() -> None:
    assert prices([value for value, _ in PACKED]) == [price for _, price in PACKED]


NOTATIONS = {
    "plain": "{0}.{2}",
    "english": "{1_comma}.{2}",
    "dollars": "US$ {1_comma}.{2}",
    "german": "{1_point},{2} €",
    "swiss": "CHF {1_quote}.{2}",
    "french": "{1_space},{2} EUR",
    "narrow": "{1_narrow},{2}\u00a0€",
    "round": "{1_point},{2}",
}


def written(cents: int, notation: str) -> str:
    whole = f"{cents // 100:,}"
    marks = {"comma": ",", "point": ".", "quote": "'", "space": " ", "narrow": "\u202f"}
    text = NOTATIONS[notation].replace("{0}", str(cents // 100)).replace("{2}", f"{cents % 100:02}")
    for name, mark in marks.items():
        text = text.replace(f"{{1_{name}}}", whole.replace(",", mark))
    return text


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(NOTATIONS)), st.lists(st.integers(0, 10**9), min_size=1, max_size=8))
def test_a_shop_that_writes_its_prices_alike_has_them_read_exactly(notation: str, cents: list[int]) -> None:
    texts = [written(amount, notation) for amount in cents]
    assert prices(texts) == [pytest.approx(amount / 100) for amount in cents], texts


FINITE = st.floats(allow_nan=False, allow_infinity=False)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.text(), FINITE, st.integers(), st.dictionaries(st.text(), st.text())), min_size=1))
def test_nothing_that_stands_for_a_price_breaks_the_reader(values: list[Any]) -> None:
    assert all(price is None or price >= 0 for price in prices(values))


def test_a_price_of_zero_beside_another_is_no_sale(tmp_path: Path) -> None:
    config = shop(tmp_path)
    rows = [
        {"id": "a", "Sale price": "0.00", "Regular price": "20.00"},
        {"id": "b", "Sale price": "15.00", "Regular price": "20.00"},
        {"id": "c", "Sale price": None, "Regular price": "20.00"},
        {"id": "d", "Sale price": "0", "Regular price": "0"},
    ]
    (landing(config) / "catalog.ndjson").write_text(ndjson(rows))
    build_catalog(config)
    assert [row["price"] for row in items(config)] == [20.0, 15.0, 20.0, 0.0]


@pytest.mark.parametrize(
    ("logged", "text"),
    [
        ("Acme", "Acme"),
        ({"name": "Acme"}, "Acme"),
        ({"@type": "Brand", "name": "Acme"}, "Acme"),
        ({"de": "Lampe", "en": "Lamp"}, "Lamp"),
        ({"fr": "Lampe"}, "Lampe"),
        ({"name": {"de": "Lampe"}}, "Lampe"),
        ([{"label": "Acme"}], "Acme"),
        ('{"name": "Acme"}', "Acme"),
        ({"rendered": "Acme"}, "Acme"),
        ({"id": 7}, None),
        ({}, None),
    ],
)
def test_the_text_in_a_value(logged: Any, text: str | None) -> None:
    with column_of([logged], "brand") as connection:
        ((found,),) = connection.execute("SELECT labels_of(value)[1] FROM keyed").fetchall()
    assert found == text


def test_what_cannot_be_read_is_counted_for_each_field(tmp_path: Path) -> None:
    config = shop(tmp_path)
    odd = {"title": {"id": 1}, "brand": {"id": 1}, "price": "ask", "rating": "good", "category": {"id": 1}}
    odd |= {"available_from": "soon", "description": {"id": 1}, "tags": {"id": 1}, "rating_count": "many"}
    (landing(config) / "catalog.ndjson").write_text(ndjson([{"id": "a"} | odd, {"id": "b", "title": "t"}]))
    report = build_catalog(config)
    assert report.unreadable == dict.fromkeys(sorted([*(key for key in odd if key != "category"), "category_path"]), 1)


def test_json_inside_the_texts_of_a_csv(tmp_path: Path) -> None:
    config = shop(tmp_path)
    row = ["a", {"en": "Lamp"}, {"name": "Acme"}, ["warm", "new"], [{"name": "Home"}, {"name": "Lamps"}], {"amount": 5}]
    cells = ['"' + (cell if isinstance(cell, str) else json.dumps(cell)).replace('"', '""') + '"' for cell in row]
    header = "id,title,brand,tags,categories,price"
    (landing(config) / "catalog.csv").write_text(f"{header}\n{','.join(cells)}\n")
    build_catalog(config)
    (found,) = items(config)
    assert (found["title"], found["brand"], found["tags"]) == ("Lamp", "Acme", ["warm", "new"])
    assert (found["category_path"], found["price"]) == (["Home", "Lamps"], 5.0)


def test_nested_offers_and_ratings(tmp_path: Path) -> None:
    config = shop(tmp_path)
    rows: list[dict[str, Any]] = [
        {"sku": "a", "offers": [{"price": "12.00", "priceCurrency": "EUR"}, {"price": "10.00"}]},
        {"sku": "b", "offers": {"@type": "AggregateOffer", "lowPrice": "3", "highPrice": "9"}},
        {"sku": "c", "offers": {"offers": [{"price": 7}, {"price": 6}]}},
        {"sku": "d", "offers": {"priceSpecification": [{"price": "8.00"}, {"price": "6.50"}]}},
        {"sku": "e", "offers": '{"price": 5}', "aggregateRating": {"ratingValue": "4,5", "reviewCount": "1.299"}},
        {"sku": "f", "rating": {"rate": 4.1, "count": 12}},
    ]
    (landing(config) / "catalog.ndjson").write_text(ndjson(rows))
    build_catalog(config)
    found = items(config)
    assert [row["price"] for row in found] == [10.0, 3.0, 6.0, 6.5, 5.0, None]
    assert [(row["rating"], row["rating_count"]) for row in found[4:]] == [(4.5, 1299.0), (4.1, 12.0)]
    assert all(row["attributes"] == [] for row in found)
