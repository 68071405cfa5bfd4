"""Variants of a product are one item: rows of one Shopify handle, of one item group, and those that name a parent.

The product has the id of its parent row, else what its variants name; what the parent row lacks is that of the first
variant that has it, its price is the lowest, and attributes are those of all. Logs may name a variant, so that
``aliases.parquet`` beside the catalogue leads each variant's id to its product.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import ibis
import pyarrow as pa
import pyarrow.parquet as pq

from features.compiled import EngineTable, engine_table
from features.sql_text import quoted
from infra.settings import Settings

ALIASES = pa.schema(
    [pa.field("alias_id", pa.string(), nullable=False), pa.field("item_id", pa.string(), nullable=False)]
)
"""One row per id of a variant."""

FAMILIES_SQL = (
    r"""
CREATE TABLE own_ids AS SELECT row_id, file, arg_min(text, rank) AS own FROM keyed
    WHERE field = 'item_id' AND text IS NOT NULL GROUP BY ALL;
CREATE TABLE row_names AS
    SELECT file, text AS name, min(own) AS own FROM keyed JOIN own_ids USING (row_id, file)
    WHERE (field = 'item_id' OR slot = 'other_id') AND text IS NOT NULL
        AND EXISTS (FROM keyed WHERE field IN ('product', 'variant_ids')) GROUP BY ALL;
CREATE TABLE said_products AS
    SELECT row_id, file, arg_min(regexp_replace(named(labels[1]), '^id:', ''), rank) AS name FROM keyed
    WHERE field = 'product' AND named(labels[1]) <> '0' GROUP BY ALL;
CREATE TABLE listed_variants AS
    SELECT DISTINCT row_id, file, coalesce(own, name) AS product, unnest(CASE WHEN contains(text, 'sku=')
        THEN regexp_extract_all(text, '(?:^|[|,])\s*sku=([^,|]+)', 1) ELSE labels END) AS variant
    FROM keyed LEFT JOIN own_ids USING (row_id, file) LEFT JOIN said_products USING (row_id, file)
    WHERE field = 'variant_ids' AND coalesce(own, name) IS NOT NULL;
CREATE TABLE members AS
    WITH led AS (
        SELECT said_products.row_id, said_products.file, coalesce(row_names.own, name) AS product
        FROM said_products LEFT JOIN row_names USING (file, name)
        UNION ALL
        SELECT own_ids.row_id, file, product FROM listed_variants JOIN own_ids USING (file) WHERE own = variant
    ), whole AS (
        FROM led UNION ALL
        SELECT row_id, file, own FROM own_ids WHERE (file, own) IN (SELECT (file, product) FROM led)
    ), one AS (
        SELECT row_id, file, min(product) AS product FROM whole GROUP BY ALL
    )
    SELECT one.*, own, first_value(one.row_id) OVER (PARTITION BY one.file, product
        ORDER BY own IS DISTINCT FROM product, NOT coalesce(titled, false), own IS NOT NULL, one.row_id) AS lead
    FROM one LEFT JOIN own_ids USING (row_id)
    LEFT JOIN (SELECT DISTINCT row_id, true AS titled FROM keyed WHERE field = 'title' AND is_said(value))
        USING (row_id)
""",
    """
CREATE TABLE aliases AS
    SELECT alias_id, arg_min(item_id, (-file, item_id)) AS item_id FROM (
        SELECT own AS alias_id, product AS item_id, file FROM members
        UNION ALL SELECT trim(variant), product, file FROM listed_variants
    ) WHERE alias_id <> item_id AND alias_id NOT IN (SELECT product FROM members)
        AND alias_id NOT IN (SELECT own FROM own_ids ANTI JOIN members USING (row_id))
    GROUP BY alias_id
""",
    """
CREATE TABLE merged AS
    SELECT lead AS row_id, keyed.file, key, field, rank, slot, value, text, labels
    FROM keyed JOIN members USING (row_id) WHERE is_said(value) AND (field IS NOT NULL OR NOT is_long OR row_id = lead)
    QUALIFY field IS NULL OR field IN ('price', 'pair_value', 'attributes') OR row_number() OVER (
        PARTITION BY lead, coalesce(slot, field), field ORDER BY row_id <> lead, row_id, rank) = 1;
DELETE FROM keyed WHERE row_id IN (SELECT row_id FROM members);
INSERT INTO keyed (row_id, file, key, field, rank, slot, value, text, labels) FROM merged
""".replace("is_long", "coalesce(len(text) > 60, false)"),
)
"""From ``keyed`` to ``members(row_id, file, product, own, lead)``, ``aliases``, and ``keyed`` with a product's rows
under its leading row."""


def item_aliases(engine: Any, settings: Settings) -> EngineTable | None:
    """The table ``ALIASES`` as the view ``item_aliases``; None where no item has variants."""
    path = settings.paths.item_aliases
    if not path.exists() or not pq.read_metadata(path).num_rows:
        return None
    engine.con.execute(f"CREATE VIEW item_aliases AS FROM read_parquet({quoted(path)})")
    return engine_table(engine, "item_aliases")


def canonical_items(table: Any, aliases: Any | None) -> Any:
    """A table whose ``item_id`` is the product's where it was a variant's; the same columns in the same order."""
    if aliases is None:
        return table
    products = aliases.select(variant_id=aliases.alias_id, product_id=aliases.item_id)
    joined = table.left_join(products, table.item_id == products.variant_id)
    return joined.mutate(item_id=ibis.coalesce(joined.product_id, joined.item_id)).select(*table.columns)


def aliases_key(settings: Settings, tables: Sequence[Path]) -> str:
    """Hash of the aliases that tables with ``item_id`` were, or would be, read with; empty where there are none.

    Only what leads from or to an item of theirs counts: a new product's variants leave the days before it as they are.

    Args:
        settings: All settings.
        tables: Parquet files with a column ``item_id``; those that are absent are passed over.
    """
    path, there = settings.paths.item_aliases, [str(file) for file in tables if file.exists()]
    if not there or not path.exists() or not pq.read_metadata(path).num_rows:
        return ""
    with duckdb.connect() as connection:
        found = connection.execute(
            """
            WITH ids AS (SELECT DISTINCT item_id FROM read_parquet(?, union_by_name := true))
            SELECT md5(string_agg(alias_id || chr(0) || item_id, chr(0) ORDER BY alias_id)) FROM read_parquet(?)
            WHERE item_id IN (SELECT item_id FROM ids) OR alias_id IN (SELECT item_id FROM ids)
            """,
            [there, str(path)],
        ).fetchone()
    return (found[0] if found else None) or ""
