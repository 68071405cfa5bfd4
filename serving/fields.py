"""Which catalogue fields a release can be filtered by, and their values as flat columns.

A field with several values per item (the levels of a category, a repeated attribute, tags) takes one column per value,
so that an equality is the same plain expression on Milvus Lite, on a Milvus server and in memory. What an item lacks
is ``""`` or ``MISSING``: older servers have no nulls and refuse NaN.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from serving.field_values import FieldValues

MISSING = -1.0e308
"""Stands for an absent number. No price or rating is below it, and every range says so."""
MAX_VALUE_BYTES = 1024
"""A longer text is stored as absent: nobody filters by it, and columns have a fixed width on a server."""
MAX_VALUES_PER_ITEM = 8
"""A field with more values on some item is left out."""
MAX_COLUMNS = 56
"""A Milvus collection has at most 64 fields."""

TEXT_FIELDS = ("category", "brand", "tags")
NUMBER_FIELDS = ("price", "rating")


@dataclass(frozen=True)
class Field:
    """One name to filter by, and the columns that hold its values."""

    name: str
    kind: Literal["text", "number"]
    columns: tuple[str, ...]
    are_levels: bool = False
    """The columns are the levels of a path, from its root."""


@dataclass(frozen=True)
class FilterFields:
    """The fields of a release by name, their columns in the order of its items, and the names left out."""

    by_name: Mapping[str, Field]
    columns: pa.Table
    left_out: tuple[str, ...]
    _values: dict[str, FieldValues] = dataclass_field(default_factory=dict, init=False, repr=False, compare=False)

    def values_of(self, field: Field) -> FieldValues:
        """The values of a text field."""
        if field.name not in self._values:
            columns = [self.columns[name] for name in field.columns]
            self._values[field.name] = FieldValues(columns, are_levels=field.are_levels)
        return self._values[field.name]

    def with_numbers(self, columns: pa.Table) -> FilterFields:
        """The same where nothing but numbers changed."""
        other = replace(self, columns=columns)
        other._values.update(self._values)
        return other

    def warm(self) -> None:
        """Build what finds the values of text now, which the first filter would do."""
        for field in self.by_name.values():
            if field.kind == "text":
                self.values_of(field).warm()


def filter_fields(items: pa.Table) -> FilterFields:
    """Flat filter columns of a catalogue, one row per item.

    Args:
        items: any of ``category_path`` (list of text), ``brand``, ``price``, ``rating``, ``attributes`` (list of
            key-value structs) and ``tags`` (list of text). Attributes are taken by how many items have them.
    """
    items = items.combine_chunks()
    fields: dict[str, Field] = {}
    columns: dict[str, pa.Array] = {}
    left_out: list[str] = []
    for name in NUMBER_FIELDS:
        if name in items.column_names and items[name].null_count < len(items):
            fields[name] = Field(name, "number", (name,))
            columns[name] = _numbers(items[name])
    for name, prefix, values in _texts(items):
        slots = _slots(values)
        if slots is None or name in fields or len(columns) + len(slots) > MAX_COLUMNS:
            left_out.append(name)
        elif slots:
            names = tuple(f"{prefix}_{slot}" for slot in range(1, len(slots) + 1))
            fields[name] = Field(name, "text", names, are_levels=prefix == "category")
            columns.update(zip(names, slots, strict=True))
    return FilterFields(fields, pa.table(columns), tuple(left_out))


@dataclass(frozen=True)
class _Values:
    """Values one after the other, each with the row of its item; rows ascend."""

    rows: np.ndarray
    texts: pa.Array
    count: int


def _texts(items: pa.Table) -> Iterator[tuple[str, str, _Values]]:
    """Text fields as (name, prefix of the columns, values), the most telling first."""
    for name, source in zip(TEXT_FIELDS, ("category_path", "brand", "tags"), strict=True):
        if source in items.column_names:
            yield name, name, _values(items[source])
    if "attributes" in items.column_names:
        lists = _array(items["attributes"])
        rows = pc.list_parent_indices(lists).to_numpy(zero_copy_only=False)
        pairs = pc.list_flatten(lists)
        keys, texts = pairs.field("key"), pairs.field("value")
        frequent = pa.table({"key": keys, "row": rows}).group_by("key").aggregate([("row", "count_distinct")])
        frequent = frequent.sort_by([("row_count_distinct", "descending"), ("key", "ascending")])
        for number, key in enumerate(frequent["key"].drop_null().to_pylist()[:MAX_COLUMNS], start=1):
            mine = pc.equal(keys, key)
            of_key = np.flatnonzero(pc.fill_null(mine, False).to_numpy(zero_copy_only=False))
            readable = re.sub(r"[^A-Za-z0-9]+", "_", key)[:40].strip("_")
            yield key, f"attr{number}_{readable}", _Values(rows[of_key], texts.take(pa.array(of_key)), len(items))


def _array(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks else pa.array([], column.type)


def _values(column: pa.ChunkedArray) -> _Values:
    array = _array(column)
    if pa.types.is_list(array.type):
        rows = pc.list_parent_indices(array).to_numpy(zero_copy_only=False)
        return _Values(rows, pc.list_flatten(array), len(array))
    return _Values(np.arange(len(array)), array, len(array))


def _slots(values: _Values) -> list[pa.Array] | None:
    """One column per value of an item, ``""`` where it has fewer; None where some item has too many."""
    texts = values.texts.cast(pa.string())
    size = pc.fill_null(pc.binary_length(texts), 0).to_numpy(zero_copy_only=False)
    usable = np.flatnonzero((size > 0) & (size <= MAX_VALUE_BYTES))
    rows = values.rows[usable]
    starts = np.flatnonzero(np.r_[True, rows[1:] != rows[:-1]]) if len(rows) else np.array([], dtype=np.int64)
    rank = np.arange(len(rows)) - np.repeat(starts, np.diff(np.r_[starts, len(rows)]))
    count = int(rank.max()) + 1 if len(rank) else 0
    if count > MAX_VALUES_PER_ITEM:
        return None
    slots = []
    for slot in range(count):
        source = np.full(values.count, -1, dtype=np.int64)
        source[rows[rank == slot]] = usable[rank == slot]
        slots.append(pc.fill_null(texts.take(pa.array(source, mask=source < 0)), ""))
    return slots


def _numbers(column: pa.ChunkedArray) -> pa.Array:
    values = pc.fill_null(column.cast(pa.float64()), float("nan")).to_numpy()
    return pa.array(np.where(np.isfinite(values) & (values > MISSING), values, MISSING))


def frequent_values(fields: FilterFields, count: int = 50) -> list[dict[str, Any]]:
    """For people who choose a filter: ``name``, ``kind``, and of text the ``values`` that most items have, of numbers
    the least and the largest."""
    found = []
    for field in fields.by_name.values():
        values: list[Any] = []
        if field.kind == "text":
            values = fields.values_of(field).frequent(count)
        else:
            held = fields.columns[field.columns[0]]
            bounds = pc.min_max(held.filter(pc.greater(held, MISSING)))
            values = [bounds["min"].as_py(), bounds["max"].as_py()]
        found.append({"name": field.name, "kind": field.kind, "values": [v for v in values if v is not None]})
    return found
