"""Rows of products and variants as a catalogue of one row per product, each id that a log may name leading to it."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.adapters.base import ImportRequest, Loaded, count, watched

ROWS = """row_number BIGINT, source_event VARCHAR, left_out VARCHAR, product VARCHAR, precedence INT, ids VARCHAR[],
    title VARCHAR, description VARCHAR, category_path VARCHAR[], brand VARCHAR, price VARCHAR, tags VARCHAR,
    rating VARCHAR, rating_count VARCHAR, created_at VARCHAR, attributes STRUCT("key" VARCHAR, "value" VARCHAR)[]"""
"""Columns of ``product_rows``: ``product`` is the id of the product that a row is of, ``precedence`` is 0 where
its texts count before those of other rows of the product, ``ids`` what else a log may call it, ``category_path`` a text
per path, its levels parted by ``>``; ``left_out`` is null where the row counts."""


def split(text: str, mark: str) -> str:
    """The parts of a text as SQL, blanks around a mark gone; a text without the mark is spared the expression."""
    parts = f"string_split_regex({text}, '\\s*{mark}\\s*')"
    return f"CASE WHEN contains({text}, '{mark}') THEN {parts} WHEN {text} IS NOT NULL THEN [{text}] END"


_TEXTS = ("title", "description", "brand", "tags", "rating", "rating_count", "created_at")
_FIRST = ", ".join(f"arg_min({name}, place) AS {name}" for name in _TEXTS)

_CATALOG_SQL = f"""
CREATE TEMP VIEW product_catalog AS
WITH kept AS (
    SELECT *, (precedence::BIGINT << 40) + row_number AS place
    FROM product_rows WHERE left_out IS NULL
)
SELECT product AS item_id, {_FIRST},
    list_transform(arg_min(category_path, place) FILTER (list_any_value(category_path) IS NOT NULL),
        lambda t: list_filter({split("t", ">")}, lambda l: l <> '')) AS category_path,
    list_sort(list(price) FILTER (price IS NOT NULL)) AS price,
    list_sort(flatten(list(attributes) FILTER (attributes IS NOT NULL))) AS attributes,
    list_transform(list_sort(flatten(list(ids))), lambda i: {{'id': i}}) AS variants
FROM kept GROUP BY product
"""

_BECAME_SQL = """
CREATE TABLE product_became AS
WITH placed AS (
    SELECT source_event, left_out, product, precedence, row_number FROM product_rows
), rows_of AS (
    SELECT source_event, left_out, count(*) AS rows FROM placed GROUP BY ALL
), firsts AS (
    SELECT arg_min({'event': source_event}, (precedence, row_number)).event AS source_event FROM placed
    WHERE left_out IS NULL GROUP BY product
), items_of AS (
    SELECT source_event, count(*) AS items FROM firsts GROUP BY ALL
)
SELECT source_event, 'left out: ' || left_out AS became, rows, 0 AS written FROM rows_of WHERE left_out IS NOT NULL
UNION ALL SELECT source_event, 'item', items, items FROM items_of
UNION ALL SELECT r.source_event, 'part of an item', rows - coalesce(items, 0), 0
FROM rows_of AS r LEFT JOIN items_of AS i ON r.source_event IS NOT DISTINCT FROM i.source_event WHERE left_out IS NULL
"""


def catalog_of(
    connection: duckdb.DuckDBPyConnection,
    request: ImportRequest,
    rows_sql: str,
    *,
    read: Sequence[str],
    ragged: str | None = None,
    notes: Sequence[str] = (),
) -> Loaded:
    """The catalogue of ``rows_sql``, a query with the columns ``ROWS`` by name; what it lacks of them is null.

    The catalogue is a view, so that long texts go from the files' rows to the catalogue's file at once.

    Args:
        read: Tables that hold the rows read, each once.
        ragged: Table of ``load_csv`` with the number of lines that are no row; they count as left out.
        notes: As of ``Loaded``.
    """
    with watched(connection, request.progress, "products and variants"):
        connection.execute(f"CREATE TEMP TABLE product_columns ({ROWS})")
        connection.execute(f"CREATE TEMP VIEW product_rows AS FROM product_columns UNION ALL BY NAME ({rows_sql})")
        connection.execute(_CATALOG_SQL)
        connection.execute(_BECAME_SQL)
    lines = count(connection, f"SELECT rows FROM {ragged}") if ragged else 0
    connection.execute(
        "INSERT INTO product_became SELECT 'line', 'left out: not the columns of its file', ?, 0", [lines]
    )
    rows = sum(count(connection, f"SELECT count(*) FROM {table}") for table in read)
    return Loaded(rows_in=rows + lines, became="product_became", catalog="product_catalog", notes=notes)


def pairs(columns: Sequence[tuple[str, str]]) -> str:
    """A list of attributes from (name, text) as SQL expressions; what is null in a row is not in its list."""
    listed = ", ".join(f"{{'key': {key}, 'value': {value}}}" for key, value in columns)
    kept = "lambda p: p['key'] <> '' AND p['value'] <> ''"
    return f'list_filter([{listed}]::STRUCT("key" VARCHAR, "value" VARCHAR)[], {kept})'
