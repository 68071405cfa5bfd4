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

_TEXTS = ("title", "description", "brand", "tags", "rating", "rating_count", "created_at")
_FIRST = ", ".join(f"arg_min({name}, place) FILTER ({name} IS NOT NULL) AS {name}" for name in _TEXTS)

_CATALOG_SQL = f"""
CREATE TABLE product_catalog AS
WITH kept AS (
    SELECT *, (precedence::BIGINT << 40) + row_number AS place
    FROM product_rows WHERE left_out IS NULL
)
SELECT product AS item_id, {_FIRST},
    list_transform(arg_min(category_path, place) FILTER (list_any_value(category_path) IS NOT NULL),
        lambda t: list_filter(string_split_regex(t, '\\s*>\\s*'), lambda l: l <> '')) AS category_path,
    list_sort(list(price) FILTER (price IS NOT NULL)) AS price,
    list_sort(flatten(list(attributes) FILTER (attributes IS NOT NULL))) AS attributes,
    list_transform(list_sort(flatten(list(ids))), lambda i: {{'id': i}}) AS variants
FROM kept GROUP BY product
"""

_BECAME_SQL = """
CREATE TABLE product_became AS
WITH firsts AS (SELECT product, arg_min(row_number, (precedence, row_number)) AS row_number FROM product_rows
    WHERE left_out IS NULL GROUP BY product)
SELECT source_event, CASE WHEN left_out IS NOT NULL THEN 'left out: ' || left_out
    WHEN firsts.row_number IS NOT NULL THEN 'item' ELSE 'part of an item' END AS became,
    count(*) AS rows, count(firsts.row_number) AS written
FROM product_rows LEFT JOIN firsts USING (row_number) GROUP BY ALL
"""


def catalog_of(
    connection: duckdb.DuckDBPyConnection,
    request: ImportRequest,
    rows_sql: str,
    *,
    ragged: str = "SELECT 0",
    notes: Sequence[str] = (),
) -> Loaded:
    """The catalogue of ``rows_sql``, a query with the columns ``ROWS`` by name; what it lacks of them is null.

    Args:
        ragged: Query for the lines that are no row, asked once the others were read; they count as left out.
        notes: As of ``Loaded``.
    """
    with watched(connection, request.progress, "products and variants"):
        connection.execute(f"CREATE TABLE product_rows ({ROWS})")
        connection.execute(f"INSERT INTO product_rows BY NAME {rows_sql}")
        connection.execute(_CATALOG_SQL)
        connection.execute(_BECAME_SQL)
    lines = count(connection, ragged)
    connection.execute(
        "INSERT INTO product_became SELECT 'line', 'left out: not the columns of its file', ?, 0", [lines]
    )
    rows = count(connection, "SELECT count(*) FROM product_rows")
    return Loaded(rows_in=rows + lines, became="product_became", catalog="product_catalog", notes=notes)


def pairs(columns: Sequence[tuple[str, str]]) -> str:
    """A list of attributes from (name, text) as SQL expressions; what is null in a row is not in its list."""
    listed = ", ".join(f"{{'key': {key}, 'value': {value}}}" for key, value in columns)
    kept = "lambda p: p['key'] <> '' AND p['value'] <> ''"
    return f'list_filter([{listed}]::STRUCT("key" VARCHAR, "value" VARCHAR)[], {kept})'
