"""A column of a catalogue's values in DuckDB, with the macros that read it: faster than a whole catalogue."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from types import SimpleNamespace
from typing import Any

import duckdb

from features.catalog_values import VALUE_MACROS
from features.json_macros import create_macros


@contextmanager
def column_of(values: Sequence[Any], field: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection whose table ``keyed`` has a row for each value, which is what JSON can hold.

    All columns share it: what is made of one is rolled back.
    """
    connection = _connection()
    connection.execute("BEGIN")
    try:
        connection.execute("CREATE TABLE keyed (row_id BIGINT, field VARCHAR, rank BIGINT, value JSON)")
        connection.execute(
            "INSERT INTO keyed SELECT row_id - 1, ?, 0, unboxed(text::JSON)"
            " FROM (SELECT unnest(?) AS text, generate_subscripts(?, 1) AS row_id)",
            [field, texts := [json.dumps(value) for value in values], texts],
        )
        yield connection
    finally:
        connection.execute("ROLLBACK")


@cache
def _connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    create_macros(SimpleNamespace(con=connection))
    connection.execute(VALUE_MACROS)
    return connection
