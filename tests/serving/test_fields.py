"""Filter columns of a catalogue."""

from __future__ import annotations

import pyarrow as pa

from serving.fields import MAX_VALUES_PER_ITEM, MISSING, filter_fields

PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))


def test_values_of_an_item_take_a_column_each_and_absent_ones_are_marked() -> None:
    items = pa.table(
        {
            "category_path": [["Shoes", "Running"], [], None],
            "brand": ["Acme", None, ""],
            "price": [10.0, None, float("nan")],
            "attributes": pa.array(
                [
                    [{"key": "color", "value": "red"}, {"key": "color", "value": "blue"}],
                    None,
                    [{"key": "Größe / size", "value": "XL"}, {"key": "color", "value": "red"}],
                ],
                PAIRS,
            ),
        }
    )
    fields = filter_fields(items)
    assert fields.columns.to_pydict() == {
        "price": [10.0, MISSING, MISSING],
        "category_1": ["Shoes", "", ""],
        "category_2": ["Running", "", ""],
        "brand_1": ["Acme", "", ""],
        "attr1_color_1": ["red", "", "red"],
        "attr1_color_2": ["blue", "", ""],
        "attr2_Gr_e_size_1": ["", "", "XL"],
    }
    assert list(fields.by_name) == ["price", "category", "brand", "color", "Größe / size"]
    assert fields.left_out == ()


def test_what_does_not_fit_is_named() -> None:
    tags = [[f"t{n}" for n in range(MAX_VALUES_PER_ITEM + 1)], ["t1"]]
    many = [[{"key": f"k{n:03}", "value": "x"} for n in range(80)], [{"key": "brand", "value": "taken"}]]
    fields = filter_fields(pa.table({"brand": ["a", "b"], "tags": tags, "attributes": pa.array(many, PAIRS)}))
    assert len(fields.columns.column_names) <= 60
    assert "tags" in fields.left_out
    assert "k000" in fields.by_name
    assert "k079" not in fields.by_name


def test_a_catalogue_without_anything_has_no_fields() -> None:
    fields = filter_fields(pa.table({"item_id": ["a"], "title": ["x"], "brand": pa.nulls(1, pa.string())}))
    assert not fields.by_name
    assert fields.columns.column_names == []


def test_too_long_values_count_as_absent() -> None:
    fields = filter_fields(pa.table({"brand": ["é" * 513, "ok"]}))
    assert fields.columns["brand_1"].to_pylist() == ["", "ok"]
