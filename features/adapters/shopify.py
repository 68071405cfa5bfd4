"""Shopify's product export (CSV): products by handle, their variants on the rows that follow."""

from __future__ import annotations

import re

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps
from features.adapters.csv_tables import Columns, csv_columns, load_csv
from features.adapters.products import catalog_of, pairs
from features.sql_text import quoted

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

_ONCE = ("product", "status", "published", "name_1", "name_2", "name_3")


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read exports; several files are one shop's."""
    columns = csv_columns(request, "shopify")
    columns.need("Shopify", "Handle")
    by = request.options.get("id", "ID" if columns.has("ID") else "handle")
    rows = _rows_sql(columns, "ID" if by.lower() == "id" else "Handle")
    load_csv(connection, request, columns)
    notes = [] if columns.has("ID", "Variant ID") else [
        "The export has handles and SKUs and no ids: where the log names product or variant ids (a web pixel does),"
        " export the products with an app that adds ID and Variant ID, or let the log name SKU or handle."
    ]  # fmt: skip
    return catalog_of(connection, request, rows, read=["shopify"], ragged="shopify_ragged", notes=notes)


def _rows_sql(columns: Columns, by: str) -> str:
    of = columns.sql
    metafields = [
        (quoted(found[1]), of(name))
        for name in columns.by_name.values()
        if (found := re.fullmatch(r"(.+) \((?:product|variant)\.metafields\..*\)", name))
    ]
    options = ", ".join(f"{of(f'Option{n} Name')} AS name_{n}, {of(f'Option{n} Value')} AS value_{n}" for n in "123")
    said = [(f"handles.name_{n}", f"nullif(value_{n}, 'Default Title')") for n in "123"]
    said += [(key, f"field_{n}") for n, (key, _) in enumerate(metafields)]
    fields = "".join(f", {value} AS field_{n}" for n, (_, value) in enumerate(metafields))
    # the names of the options, as the state, are on a handle's first row alone
    once = ", ".join(f"arg_min({name}, row_number) AS {name}" for name in _ONCE)
    return f"""
    WITH own AS NOT MATERIALIZED (
        SELECT row_number, {of("Handle")} AS handle, {of(by)} AS product, {of("Title")} AS title,
            {of("Variant Price")} AS price, lower({of("Status")}) AS status, lower({of("Published")}) AS published,
            [{of("Handle")}, {of("Variant SKU")}, {of("Variant ID")}, {of("Variant Barcode")}] AS ids,
            {of("Body (HTML)")} AS description, {of("Tags")} AS tags, {of("Vendor")} AS brand,
            {of("Product Category", "Standardized Product Type", "Type")} AS category, {options}{fields},
            {of("Variant SKU", "Variant Price", "Option1 Value")} IS NULL AS only_picture
        FROM shopify
    ), handles AS (
        SELECT handle, {once} FROM own GROUP BY handle
    ), listed AS (
        SELECT row_number, handles.product, title, price, handles.status, handles.published, ids, description, category,
            brand, tags, {pairs(said)} AS attributes, only_picture
        FROM own JOIN handles ON own.handle IS NOT DISTINCT FROM handles.handle
    )
    SELECT * EXCLUDE (status, published, category, only_picture, ids),
        list_filter(ids, lambda i: i IS NOT NULL) AS ids, (title IS NULL)::INT AS precedence,
        [category] AS category_path,
        CASE WHEN title IS NOT NULL THEN 'product' WHEN only_picture THEN 'picture' ELSE 'variant' END AS source_event,
        CASE WHEN product IS NULL THEN 'no handle' WHEN status IN ('draft', 'archived') THEN status
            WHEN published = 'false' THEN 'not published' END AS left_out
    FROM listed"""
