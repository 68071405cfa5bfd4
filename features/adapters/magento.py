"""Magento's (Adobe Commerce's) product export (CSV): configurable products, and rows of store views."""

from __future__ import annotations

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps
from features.adapters.csv_tables import Columns, csv_columns, load_csv
from features.adapters.products import catalog_of
from features.sql_text import quoted

NAME = "magento"
WHAT = "the product export of Magento 2 and Adobe Commerce (CSV)"
OPTIONS: dict[str, str] = {"store": "code of the store view whose texts count (default: the row of all views)"}
MAPPING = (
    Maps("`sku`", "`item_id`", "of a configurable product's variation that product's"),
    Maps("`configurable_variations`", "the ids that lead to the item"),
    Maps("`name`", "`title`"),
    Maps("`description`, else `short_description`", "`description`"),
    Maps("`categories`", "`category_path`", "without the root `Default Category`"),
    Maps("`special_price`, else `price`", "`price`", "the lowest of the variations"),
    Maps("`additional_attributes`: `manufacturer` or `brand`", "`brand`"),
    Maps("other `additional_attributes`", "an attribute of that name, `|` parts values"),
    Maps("`created_at`", "`available_from`"),
    Maps("`product_online` 2", "left out: disabled"),
    Maps("`visibility` Not Visible Individually", "left out where it is no variation"),
    Maps("`store_view_code`", "texts of that view where it is the option `store`, else left out"),
)


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read exports; several files are one shop's."""
    columns = csv_columns(request, "magento")
    columns.need("Magento", "sku")
    columns.need("Magento", "product_type", "attribute_set_code", "categories")
    rows = _rows_sql(columns, request.options.get("store", ""))
    parents = _parents_sql(columns)
    load_csv(connection, request, columns)
    connection.execute(parents)
    return catalog_of(connection, request, rows, read=["magento"], ragged="magento_ragged")


def _parents_sql(columns: Columns) -> str:
    """The configurable product that each variation is named by."""
    variations, sku = columns.sql("configurable_variations"), columns.sql("sku")
    return f"""
    CREATE TEMP TABLE magento_parents AS
    SELECT sku, min(product) AS product FROM (
        SELECT unnest(regexp_extract_all(variations, '(?:^|[|,])\\s*sku=([^,|]+)', 1)) AS sku, product
        FROM (SELECT {variations} AS variations, {sku} AS product FROM magento) WHERE variations IS NOT NULL
    ) WHERE sku <> product GROUP BY ALL"""


def _rows_sql(columns: Columns, store: str) -> str:
    of = columns.sql
    return f"""
    WITH listed AS NOT MATERIALIZED (
        SELECT row_number, {of("sku")} AS sku, {of("store_view_code")} AS view, lower({of("product_type")}) AS type,
            {of("name")} AS title, {of("description", "short_description")} AS description,
            {of("categories")} AS categories, coalesce({of("special_price")}, {of("price")}) AS price,
            {of("product_online")} AS online, lower({of("visibility")}) AS visibility,
            {of("created_at")} AS created_at, {of("additional_attributes")} AS additional,
            {of("manufacturer", "brand")} AS brand
        FROM magento
    ), attributed AS (
        SELECT listed.*, parents.product AS parent, contains(additional, '|') AS lists_values,
            contains(additional, 'manufacturer') OR contains(additional, 'brand') AS names_brand,
            list_transform(list_filter(string_split(regexp_replace(additional, ',([\\w.-]{{1,64}}=)', chr(1) || '\\1',
                'g'), chr(1)), lambda t: contains(t, '=')),
            lambda t: {{'key': trim(split_part(t, '=', 1)), 'value': trim(substr(t, strpos(t, '=') + 1), '" ')}})
            AS said
        FROM listed LEFT JOIN magento_parents AS parents USING (sku)
    )
    SELECT row_number, CASE WHEN view IS NOT NULL THEN 'store view' WHEN parent IS NOT NULL THEN 'variation'
            ELSE coalesce(type, 'product') END AS source_event,
        coalesce(parent, sku) AS product, CASE WHEN parent IS NOT NULL THEN 2 WHEN view IS NULL THEN 1 ELSE 0 END
            AS precedence,
        [sku] AS ids, title, description, created_at, price,
        coalesce(brand, CASE WHEN names_brand THEN
            list_filter(said, lambda p: p['key'] IN ('manufacturer', 'brand'))[1]['value'] END) AS brand,
        list_transform(list_filter(string_split(categories, ','), lambda t: trim(t) <> 'Default Category'),
            lambda t: replace(CASE WHEN starts_with(trim(t), 'Default Category/') THEN substr(trim(t), 18) ELSE trim(t)
                END, '/', ' > ')) AS category_path,
        CASE WHEN lists_values THEN flatten(list_transform(others, lambda p: list_transform(
            string_split(p['value'], '|'), lambda v: {{'key': p['key'], 'value': v}}))) ELSE others END AS attributes,
        CASE WHEN sku IS NULL THEN 'no sku' WHEN view <> {quoted(store)} THEN 'texts of the store view ' || view
            WHEN online = '2' THEN 'disabled'
            WHEN parent IS NULL AND contains(visibility, 'not visible') THEN 'not visible individually' END AS left_out
    FROM (SELECT *, CASE WHEN names_brand THEN list_filter(said, lambda p: p['key'] NOT IN ('manufacturer', 'brand'))
        ELSE said END AS others FROM attributed)"""
