"""WooCommerce's product export (CSV), in English or German headers: variations by their parent."""

from __future__ import annotations

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps
from features.adapters.csv_tables import Columns, csv_columns, load_csv
from features.adapters.products import catalog_of, pairs

NAME = "woocommerce"
WHAT = "the product export of WooCommerce (CSV)"
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("`ID`, else `SKU`", "`item_id`", "of a variation its parent's"),
    Maps("`SKU`, `GTIN, UPC, EAN, or ISBN`, ids of variations", "ids that lead to the item"),
    Maps("`Parent`: an SKU or `id:12`", "the item that a variation is part of"),
    Maps("`Name`", "`title`"),
    Maps("`Description`, else `Short description`", "`description`"),
    Maps("`Categories`", "`category_path`", "`A > B, C` are two paths, `\\,` is a comma"),
    Maps("`Brands`", "`brand`"),
    Maps("`Sale price`, else `Regular price`", "`price`", "the lowest of the variations"),
    Maps("`Tags`", "`tags`"),
    Maps("`Attribute 1 name`, `Attribute 1 value(s)` …", "an attribute of that name, a value each"),
    Maps("`Published` 0 or -1", "left out: private, draft"),
    Maps("`Type` grouped", "an item of its own"),
)
ID = ("ID",)
PARENT = ("Parent", "Übergeordnetes Produkt", "Eltern")
SKU = ("SKU", "Artikelnummer", "Art.-Nr.")


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read exports; several files are one shop's (an export may come in parts)."""
    columns = csv_columns(request, "woo")
    columns.need("WooCommerce", *ID, *SKU)
    columns.need("WooCommerce", "Type", "Typ", "Name")
    parents, rows = _parents_sql(columns), _rows_sql(columns)
    load_csv(connection, request, columns)
    connection.execute(parents)
    return catalog_of(connection, request, rows, read=["woo"], ragged="woo_ragged")


def _listed(text: str) -> str:
    """The texts that commas part; one after a backslash is none of these."""
    parts = f"string_split_regex(replace({text}, '\\,', chr(1)), '\\s*,\\s*')"
    return f"""CASE WHEN contains({text}, ',') THEN list_transform({parts}, lambda t: replace(t, chr(1), ','))
        WHEN {text} IS NOT NULL THEN [replace({text}, chr(1), ',')] END"""


def _parents_sql(columns: Columns) -> str:
    """What a variation may name its product by."""
    of = columns.sql
    return f"""
    CREATE TEMP TABLE woo_parents AS
    WITH products AS NOT MATERIALIZED (
        SELECT coalesce({of(*ID)}, {of(*SKU)}) AS own, {of(*SKU)} AS sku FROM woo WHERE {of(*PARENT)} IS NULL
    )
    SELECT 'id:' || own AS name, any_value(own) AS product FROM products GROUP BY ALL
    UNION ALL
    SELECT sku, min(own) FROM products WHERE sku IS NOT NULL GROUP BY ALL"""


def _rows_sql(columns: Columns) -> str:
    of = columns.sql
    attributes = []
    for n in range(1, 1 + len(columns.matching("attribut"))):
        name = of(f"Attribute {n} name", f"Attribut {n} Name", f"Name des Attributs {n}")
        value = of(f"Attribute {n} value(s)", f"Attribut {n} Wert(e)", f"Wert(e) des Attributs {n}")
        if "NULL::VARCHAR" not in (name, value):
            attributes.append((name, value))
    sale = f"CASE WHEN try_cast(replace({of('Sale price', 'Angebotspreis')}, ',', '.') AS DOUBLE) > 0" + (
        f" THEN {of('Sale price', 'Angebotspreis')} END"
    )
    several = (
        f"regexp_matches(concat({', '.join(value for _, value in attributes)}), '[,\\x01]')" if attributes else "false"
    )
    return f"""
    WITH listed AS NOT MATERIALIZED (
        SELECT row_number, coalesce({of(*ID)}, {of(*SKU)}) AS own, {of(*SKU)} AS sku,
            {of("GTIN, UPC, EAN, or ISBN", "GTIN, UPC, EAN oder ISBN")} AS gtin,
            lower({of("Type", "Typ")}) AS type, {of(*PARENT)} AS parent,
            {of("Published", "Veröffentlicht")} AS published, {of("Name")} AS title,
            {of("Description", "Beschreibung", "Short description", "Kurzbeschreibung")} AS description,
            {of("Categories", "Kategorien")} AS categories, {of("Brands", "Marken", "Brand")} AS brand,
            coalesce({sale}, {of("Regular price", "Regulärer Preis", "Price")}) AS price,
            {of("Tags", "Schlagwörter")} AS tags, {pairs(attributes)} AS pairs,
            {several} AS has_several
        FROM woo
    ), placed AS (
        SELECT listed.*, woo_parents.product AS parent_id,
            CASE WHEN contains(type, 'variation') THEN 'variation'
                ELSE coalesce(split_part(type, ',', 1), 'product') END AS source_event
        FROM listed LEFT JOIN woo_parents ON listed.parent = woo_parents.name AND contains(type, 'variation')
    )
    SELECT row_number, source_event, coalesce(parent_id, own) AS product,
        (source_event = 'variation')::INT AS precedence,
        list_filter([own, sku, gtin], lambda i: i IS NOT NULL) AS ids, title, description, brand, price, tags,
        {_listed("categories")} AS category_path,
        CASE WHEN has_several THEN flatten(list_transform(pairs, lambda p: list_transform({_listed("p['value']")},
            lambda v: {{'key': p['key'], 'value': v}}))) ELSE pairs END AS attributes,
        CASE WHEN own IS NULL THEN 'neither ID nor SKU' WHEN published = '-1' THEN 'draft'
            WHEN published = '0' THEN 'private'
            WHEN source_event = 'variation' AND parent_id IS NULL THEN 'its parent is not in the export' END AS left_out
    FROM placed"""
