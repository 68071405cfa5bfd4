"""Where a Parquet file's own types have the fields of a log, and how each type is read: as the macros of
``json_macros`` read the JSON that it would be, but for what JSON text cannot hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from features.sql_text import quoted

_WHOLE = {"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint",
          "uhugeint", "bignum"}  # fmt: skip
_TEXT = {"varchar", "enum", "uuid", "time", "time_ns", "time with time zone", "interval", "bit"}
_MOMENT = {"date", "timestamp", "timestamp_s", "timestamp_ms", "timestamp with time zone"}
_FORMS = (
    dict.fromkeys(_WHOLE, "whole") | dict.fromkeys(_TEXT, "text") | dict.fromkeys(_MOMENT, "moment")
    | {"float": "number", "double": "number", "decimal": "decimal", "timestamp_ns": "nanoseconds", "struct": "struct"}
    | {"map": "map", "list": "list", "array": "list"}
)  # fmt: skip
_SCALARS = ("whole", "text", "moment", "number", "decimal", "nanoseconds")

MACROS = r"""
CREATE OR REPLACE TEMP MACRO typed_key(t) AS CASE WHEN trim(t) <> '' AND NOT says_none(trim(t)) THEN trim(t) END;
CREATE OR REPLACE TEMP MACRO decimal_text(d) AS regexp_replace(d::VARCHAR, '\.?0+$', '');
"""


@dataclass(frozen=True)
class Value:
    """What a row has at a path, as SQL."""

    sql: str
    form: str
    """Of ``_FORMS``; ``json``: a JSON value of any type; ``other``: a type that is none of these."""
    kind: Any
    """DuckDB's type; None for ``json``."""

    @property
    def is_scalar(self) -> bool:
        """Whether all values are texts, numbers or times."""
        return self.form in _SCALARS

    @property
    def text(self) -> str:
        """SQL of the value as ``as_text`` reads it."""
        if self.form == "json":
            return f"as_text({self.sql})"
        if self.form == "number":
            return f"as_text(to_json({self.sql}))"
        if self.form == "decimal":
            scaled = not str(self.kind).endswith(",0)")
            return f"decimal_text({self.sql})" if scaled else f"{self.sql}::VARCHAR"
        return f"{self.sql}::VARCHAR" if self.is_scalar else "NULL::VARCHAR"

    @property
    def id(self) -> str:
        """SQL of the value as ``as_id`` reads it."""
        return self.text if self.form in ("whole", "decimal") else f"nullif(trim({self.text}), '')"

    @property
    def key(self) -> str:
        """SQL of the value as ``as_key`` reads it."""
        return self.text if self.form in ("whole", "decimal") else f"typed_key({self.text})"

    @property
    def time(self) -> str:
        """SQL of the value as ``as_time`` reads it; a moment as it stands, one without a zone in UTC."""
        if self.form == "json":
            return f"as_time({self.sql})"
        if self.form == "nanoseconds":
            return f"within_reason(make_timestamptz(epoch_ns({self.sql}) // 1000))"
        read = f"{self.sql}::TIMESTAMPTZ" if self.form == "moment" else f"parsed_time({self.id})"
        return f"within_reason({read})"

    @property
    def is_none_or_scalar(self) -> str:
        """SQL: whether nothing stands there that is an object, a list or a truth value."""
        if self.form == "json":
            return f"NOT no_scalar({self.sql})"
        return "true" if self.is_scalar else f"{self.sql} IS NULL"

    @property
    def element(self) -> Value:
        """``e`` of a list's type."""
        return value_of("e", self.kind.child)

    @property
    def ids(self) -> str:
        """SQL of a list as ``as_id`` reads its elements."""
        if self.element.form == "whole":
            return f"{self.sql}::VARCHAR[]"
        return f"list_transform({self.sql}, lambda e: {self.element.id})"


def value_of(sql: str, kind: Any) -> Value:
    """An expression of a DuckDB type."""
    return Value(sql, "json" if str(kind) == "JSON" else _FORMS.get(kind.id, "other"), kind)


def columns_of_row(kind: Any) -> dict[str, Value]:
    """The columns of a row that is a struct called ``row``."""
    return _children(value_of('"row"', kind))


def leaves_of(value: Value) -> Iterator[tuple[str, Value]]:
    """What is in a struct at any level, each with its name; a struct's own name has no value that counts."""
    for name, child in _children(value).items():
        yield name, child
        yield from leaves_of(child)


def value_at(columns: Mapping[str, Value], path: str) -> Value | None:
    """What is at a JSON path of a row; None where the types say that nothing can be."""
    value, children = None, columns
    for place in re.finditer(r'\.(?:"([^"]+)"|([^.]+))', path):
        if value is not None and value.form in ("json", "map"):
            whole = value.sql if value.form == "json" else f"to_json({value.sql})"
            return Value(f"json_extract({whole}, {quoted('$' + path[place.start() :])})", "json", None)
        value = children.get(place[1] or place[2])
        if value is None:
            return None
        children = _children(value)
    return value


def first_of(expressions: Iterable[str], kind: str = "VARCHAR") -> str:
    """SQL of the first that is not null; a null of a type where there are none."""
    return f"coalesce({', '.join(every)})" if (every := list(expressions)) else f"NULL::{kind}"


def all_of(conditions: Iterable[str]) -> str:
    """SQL of conditions that all hold."""
    return " AND ".join(condition for condition in conditions if condition != "true") or "true"


def _children(value: Value) -> dict[str, Value]:
    if value.form != "struct":
        return {}
    return {name: value_of(f"{value.sql}[{quoted(name)}]", kind) for name, kind in value.kind.children}
