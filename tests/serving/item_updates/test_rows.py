"""What is said of items: JSON objects and columns of files to one table, and what was said last."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import BadRequest
from serving.item_updates.latest import latest, needed, said_after
from serving.item_updates.rows import UPDATES, from_columns, from_objects

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def said(table: pa.Table) -> list[dict[str, Any]]:
    """The rows, without what they do not say."""
    return [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]


def test_objects_say_what_is_new_of_items() -> None:
    rows = [
        {"item_id": 7, "price": 3, "availability": "https://schema.org/OutOfStock"},
        {
            "item_id": " b ",
            "title": "Lamp",
            "category_path": "Home > Lamps",
            "attributes": {"c": "red", "s": ["M", "L"]},
        },
        {"item_id": "c", "removed": True, "tags": [], "brand": None},
    ]
    pairs = [{"key": "c", "value": "red"}, {"key": "s", "value": "M"}, {"key": "s", "value": "L"}]
    assert said(from_objects(rows, NOW)) == [
        {"item_id": "7", "time": NOW, "price": 3.0, "in_stock": False},
        {"item_id": "b", "time": NOW, "title": "Lamp", "category_path": ["Home", "Lamps"], "attributes": pairs,
         "removed": False},
        {"item_id": "c", "time": NOW, "removed": True, "tags": []},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({}, "item_id: Field required"),
        ({"item_id": ""}, "item_id: String should have at least 1"),
        ({"item_id": "a", "price": "3"}, "price: Input should be a valid number"),
        ({"item_id": "a", "price": float("inf")}, "price: Input should be a finite number"),
        ({"item_id": "a", "in_stock": "no"}, "in_stock: Input should be a valid boolean"),
        ({"item_id": "a", "stock": 3}, "stock: Extra inputs"),
        ({"item_id": "a", "latitude": 91}, "latitude: "),
        ({"item_id": "a", "availability": "maybe"}, "availability 'maybe' says nothing of stock"),
        ({"item_id": "a", "title": "\ud800"}, "title: "),
        ({"item_id": "a", "attributes": {"c": list("123456789")}}, "more than 8 values"),
        (3, "it: "),
    ],
)
def test_an_object_that_is_wrong_is_named_with_why(row: Any, why: str) -> None:
    with pytest.raises(BadRequest) as refused:
        from_objects([{"item_id": "good"}, row], NOW)
    assert str(refused.value).startswith("row 1: ") and why in str(refused.value)


def test_columns_of_a_file_are_read_by_their_names_and_types() -> None:
    table = pa.table(
        {
            "SKU": pa.array([1, 2, 3]),
            "Price": ["1.5", "", None],
            "availability": ["in stock", "Sold out", None],
            "in_stock": pa.array([None, None, 0.0]),
            "removed": pa.array([False, None, True]),
            "category_path": ["A > B", "", None],
            "tags": pa.array([["x"], None, []], pa.list_(pa.string())),
            "attributes": pa.array([[("c", "red")], None, None], pa.map_(pa.string(), pa.string())),
            "warehouse": ["n", "n", "n"],
        }
    )
    rows, bad = from_columns(table, NOW)
    assert bad is None
    assert said(rows) == [
        {"item_id": "1", "time": NOW, "price": 1.5, "in_stock": True, "removed": False, "category_path": ["A", "B"],
         "tags": ["x"], "attributes": [{"key": "c", "value": "red"}]},
        {"item_id": "2", "time": NOW, "in_stock": False},
        {"item_id": "3", "time": NOW, "in_stock": False, "removed": True, "tags": []},
    ]  # fmt: skip
    assert [row["item_id"] for row in said(from_columns(table, NOW, "warehouse")[0])] == ["n"] * 3


def test_rows_of_a_file_that_cannot_be_used_are_left_out_and_the_first_is_named() -> None:
    table = pa.table(
        {"item_id": ["a", "b", " ", "d"], "price": ["1", "12 EUR", "1", "-1"], "in_stock": ["yes", "no", "no", "never"]}
    )
    rows, bad = from_columns(table, NOW)
    assert [row["item_id"] for row in said(rows)] == ["a"]
    assert bad is not None and bad.count == 3
    assert bad.first.startswith("row 1: price is no price: ") and "12 EUR" in bad.first
    nan = pa.table({"item_id": ["a"], "price": [float("nan")], "rating": pa.nulls(1)})
    assert said(from_columns(nan, NOW)[0]) == [{"item_id": "a", "time": NOW}]


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (pa.table({"price": [1.0]}), "no column of ids"),
        (pa.table({"item_id": ["a"], "weight": [1.0]}), "no column that says something"),
        (pa.table({"item_id": ["a"], "price": [[1.0]]}), "column price is of type list"),
        (pa.table({"item_id": ["a"], "title": pa.array([b"\xff"])}), "column title is of type binary"),
    ],
)
def test_a_file_that_says_nothing_of_items_is_refused(table: pa.Table, why: str) -> None:
    with pytest.raises(BadRequest, match=why):
        from_columns(table, NOW)


VALUES = {
    "price": st.floats(0, 9).map(lambda x: round(x, 1)),
    "in_stock": st.booleans(),
    "removed": st.booleans(),
    "brand": st.sampled_from(["a", "b"]),
    "tags": st.lists(st.sampled_from("xy"), max_size=2),
}
SAID = st.fixed_dictionaries(
    {"item_id": st.sampled_from("abc"), "time": st.integers(0, 5).map(lambda n: NOW + timedelta(minutes=n))},
    optional=VALUES,
)


@given(st.lists(SAID, max_size=30), st.integers(-1, 5))
def test_what_was_said_last_counts_and_of_before_the_catalogue_stock_alone(
    rows: list[dict[str, Any]], after: int
) -> None:
    moment = NOW + timedelta(minutes=after)
    expected: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["time"]):
        counts = row if row["time"] > moment else {k: v for k, v in row.items() if k in ("item_id", "time", "in_stock")}
        if row["time"] > moment or "in_stock" in row:
            expected.setdefault(row["item_id"], {}).update(counts)
    table = pa.Table.from_pylist(rows, UPDATES)
    found = said(latest(said_after(table, moment)))
    assert found == [expected[item] for item in sorted(expected)]
    shorter = needed(table)
    assert said(latest(said_after(shorter, moment))) == found
    assert len(shorter) <= len(rows) and needed(shorter).equals(shorter)
