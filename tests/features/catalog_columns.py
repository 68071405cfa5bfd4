"""A column of a catalogue's values in DuckDB, with the macros that read it: faster than a whole catalogue."""

from __future__ import annotations

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import duckdb

from features.catalog_values import VALUE_MACROS
from features.json_macros import create_macros


def column_of(values: Sequence[Any], field: str) -> duckdb.DuckDBPyConnection:
    """A connection whose table ``keyed`` has a row for each value, which is what JSON can hold."""
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("SET TimeZone = 'UTC'")
    create_macros(SimpleNamespace(con=connection))
    connection.execute(VALUE_MACROS)
    connection.execute("CREATE TABLE keyed (row_id BIGINT, field VARCHAR, rank BIGINT, value JSON)")
    rows = [[n, field, 0, json.dumps(value)] for n, value in enumerate(values)]
    connection.executemany("INSERT INTO keyed VALUES (?, ?, ?, unboxed(?::JSON))", rows)
    return connection
