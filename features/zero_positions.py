"""Positions of a day that counts them from zero, read as UBI has them: from one."""

from __future__ import annotations

from typing import Any

LEAST_SHARE = 0.5
"""Of the requests that tell several positions, those that must begin with zero."""

_COUNTED = """
CREATE OR REPLACE TABLE {table}_from_zero AS
WITH told AS (
    SELECT query_id, item_id, position FROM {table}
    UNION ALL
    SELECT query_id, listed.item_id, listed.position FROM (SELECT query_id, unnest(basket) AS listed FROM {table})
), items AS (
    SELECT query_id, item_id, min(position) AS least, max(position) AS most FROM told
    WHERE query_id IS NOT NULL AND item_id IS NOT NULL AND position >= 0 GROUP BY ALL
), requests AS (
    SELECT count(*) FILTER (least = 0) = 1 AND count(*) FILTER (most = 0) = 1 AS begins
    FROM items GROUP BY query_id HAVING count(DISTINCT least) > 1
)
SELECT count(*) FILTER (begins) AS beginning, count(*) AS requests FROM requests
"""

_RAISE = """
UPDATE {table} SET position = position + 1,
    basket = list_transform(basket, lambda e: {{'item_id': e.item_id, 'position': e.position + 1}})
WHERE position IS NOT NULL OR basket IS NOT NULL
"""


def count_from_one(engine: Any, table: str) -> None:
    """Add one to all positions where most requests of a day begin with zero.

    A request begins with zero where one item stands there, and nowhere else: a log that writes zero for a position that
    it does not know has several there, or one that it shows elsewhere. Leaves ``<table>_from_zero``, one row:
    ``beginning``, how many requests do, of ``requests`` that tell several positions.

    Args:
        engine: Ibis DuckDB backend.
        table: ``ubi.read_events``; changed in place.
    """
    engine.con.execute(_COUNTED.format(table=table))
    if requests_from_zero(engine, table):
        engine.con.execute(_RAISE.format(table=table))


def requests_from_zero(engine: Any, table: str) -> int:
    """How many requests begin with zero in a day that counts from there; 0 of another."""
    ((beginning, requests),) = engine.con.execute(f"FROM {table}_from_zero").fetchall()
    return int(beginning) if beginning > LEAST_SHARE * requests else 0
