"""Shopify's product export (CSV): products by handle, their variants on the rows that follow."""

from __future__ import annotations

import re

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps
from features.adapters.csv_tables import RAGGED_SQL, Columns, view_csv
from features.adapters.products import catalog_of, pairs
from features.sql_text import identifier, quoted

NAME = "shopify"
WHAT = "the product export of Shopify's admin, and of Matrixify (CSV)"
OPTIONS: dict[str, str] = {"id": "the product's id: handle, or the column ID of Matrixify (default: ID if it is there)"}
MAPPING = (
    Maps("`Handle` (Matrixify: `ID`)", "`item_id`", "all rows of a handle are one item"),
    Maps("`Variant SKU`, `Variant ID`, `Variant Barcode`, the handle", "ids that lead to the item"),
    Maps("`Title`", "`title`"),
    Maps("`Body (HTML)`", "`description`"),
    Maps("`Product Category`, else `Type`", "`category_path`"),
    Maps("`Vendor`", "`brand`"),
    Maps("`Variant Price`", "`price`", "the lowest of the variants"),
    Maps("`Tags`", "`tags`"),
    Maps("`Option1 Name`, `Option1 Value` … 3", "an attribute of that name", "`Default Title` is none"),
    Maps("`Color (product.metafields…)`", "an attribute of that name"),
    Maps("`Status` draft or archived, `Published` false", "left out", "with all rows of the handle"),
    Maps("a row of a picture alone", "part of its item"),
)


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read exports; several files are one shop's."""
    columns = view_csv(connection, request, "shopify")
    columns.need("Shopify", "Handle")
    by = request.options.get("id", "ID" if columns.has("ID") else "handle")
    return catalog_of(
        connection,
        request,
        _rows_sql(columns, "ID" if by.lower() == "id" else "Handle"),
        ragged=RAGGED_SQL,
        notes=[] if columns.has("ID", "Variant ID") else [
            "The export has handles and SKUs and no ids: where the log names product or variant ids (a web pixel does),"
            " export the products with an app that adds ID and Variant ID, or let the log name SKU or handle."
        ],
    )  # fmt: skip


def _rows_sql(columns: Columns, by: str) -> str:
    of = columns.sql
    # the names of the options are on a handle's first row alone
    named = [(f"first_value({of(f'Option{n} Name')} IGNORE NULLS) OVER product", of(f"Option{n} Value")) for n in "123"]
    values = [(key, f"nullif({value}, 'Default Title')") for key, value in named]
    metafields = [
        (quoted(found[1]), f"nullif(trim({identifier(name)}), '')")
        for name in columns.by_name.values()
        if (found := re.fullmatch(r"(.+) \((?:product|variant)\.metafields\..*\)", name))
    ]
    product = f"first_value({of(by)} IGNORE NULLS) OVER product" if by != "Handle" else of("Handle")
    return f"""
    WITH listed AS (
        SELECT row_number, {product} AS product, {of("Title")} AS title, {of("Variant Price")} AS price,
            lower(first_value({of("Status")} IGNORE NULLS) OVER product) AS status,
            lower(first_value({of("Published")} IGNORE NULLS) OVER product) AS published,
            [{of("Handle")}, {of("Variant SKU")}, {of("Variant ID")}, {of("Variant Barcode")}] AS ids,
            {of("Body (HTML)")} AS description,
            {of("Product Category", "Standardized Product Type", "Type")} AS category, {of("Vendor")} AS brand,
            {of("Tags")} AS tags, {pairs(values + metafields)} AS attributes,
            {of("Variant SKU", "Variant Price", "Option1 Value")} IS NULL AS only_picture
        FROM shopify WINDOW product AS (PARTITION BY {of("Handle")} ORDER BY row_number
            ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING)
    )
    SELECT * EXCLUDE (status, published, category, only_picture, ids),
        list_filter(ids, lambda i: i IS NOT NULL) AS ids, (title IS NULL)::INT AS precedence,
        [category] AS category_path,
        CASE WHEN title IS NOT NULL THEN 'product' WHEN only_picture THEN 'picture' ELSE 'variant' END AS source_event,
        CASE WHEN product IS NULL THEN 'no handle' WHEN status IN ('draft', 'archived') THEN status
            WHEN published = 'false' THEN 'not published' END AS left_out
    FROM listed"""
