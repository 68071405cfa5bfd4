"""What the lines of a search engine's bulk format say is read alike by the readers and by the import."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest

from features.adapters.ubi_rows import PLAIN_MACROS, rows_sql
from features.file_names import CATALOG_INDEXES, is_catalog
from features.json_macros import create_macros

LINES: list[tuple[Any, dict[str, str] | None]] = [
    ({"index": {"_index": "ubi_queries", "_id": "7"}}, {"_index": "ubi_queries", "_id": "7"}),
    ({"create": {}}, {}),
    ({"update": {"_id": "7"}}, {"_id": "7"}),
    ({"delete": {"_index": "x"}}, {"_index": "x"}),
    ({"index": "a"}, None),
    ({"index": {"_id": "7"}, "user_query": "shoes"}, None),
    ({"_source": {"index": {"_id": "7"}}}, None),
    ({"user_query": "shoes"}, None),
]


@pytest.fixture
def connection() -> duckdb.DuckDBPyConnection:
    made = duckdb.connect()
    create_macros(SimpleNamespace(con=made))
    made.execute(PLAIN_MACROS)
    return made


@pytest.mark.parametrize(("line", "says"), LINES)
def test_an_action_line_is_one_to_every_reader(
    connection: duckdb.DuckDBPyConnection, line: Any, says: dict[str, str] | None
) -> None:
    text = json.dumps(line)
    ((action, is_one),) = connection.execute("SELECT action_of($1::JSON), is_action_line($1::JSON)", [text]).fetchall()
    assert (json.loads(action) if action else None, is_one) == (says, says is not None)
    rows = rows_sql(f"(SELECT '{text}'::JSON AS json)", ())
    assert connection.execute(f"SELECT kind = 'action_line' FROM ({rows})").fetchall()[0][0] in (is_one, is_one or None)


@pytest.mark.parametrize(
    ("index", "source"),
    [
        ("ubi_queries", "ubi_queries"),
        ("Shop-Query-2026", "ubi_queries"),
        ("UBI_EVENTS", "ubi_events"),
        ("query_events", None),
        ("products", None),
        ("", None),
        (None, None),
    ],
)
def test_an_index_names_its_source(connection: duckdb.DuckDBPyConnection, index: str | None, source: str) -> None:
    assert connection.execute("SELECT source_of_index(?)", [index]).fetchall() == [(source,)]


@pytest.mark.parametrize("name", ["catalog.csv", "catalogues", "Product_2026.csv", "shop-items.parquet"])
def test_a_file_of_a_catalogue_is_an_index_of_one_by_name(name: str) -> None:
    assert is_catalog(name)
    assert any(word in name.lower() for word in CATALOG_INDEXES)
