"""Made catalogues and research sets in the shapes that their sources publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

WORDS = "['lamp','shoe','red','small','oak','steel','garden','winter','blue','large','cotton','desk']"
_TITLE = f"list_extract({WORDS}, 1 + (hash(i) % 12)::INT) || ' ' || list_extract({WORDS}, 1 + (hash(i * 7) % 12)::INT)"
_TEXT = f"repeat({_TITLE} || ' ', 12)"
_BARE = "(FORMAT csv, HEADER false, DELIMITER '\t', QUOTE '')"
_PRICE = "((hash(i * 3) % 20000) / 100.0)::DECIMAL(10, 2)"


def _csv(connection: duckdb.DuckDBPyConnection, file: Path, query: str, delimiter: str = ",") -> None:
    connection.execute(f"COPY ({query}) TO '{file}' (FORMAT csv, HEADER, DELIMITER '{delimiter}')")


def _json(connection: duckdb.DuckDBPyConnection, file: Path, query: str) -> None:
    connection.execute(f"COPY ({query}) TO '{file}' (FORMAT json)")


def shopify(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A product of four rows: its own, two variants and a picture."""
    _csv(
        connection,
        folder / "products_export.csv",
        f"""SELECT 'h' || i // 4 AS "Handle", CASE WHEN i % 4 = 0 THEN {_TITLE} END AS "Title",
        CASE WHEN i % 4 = 0 THEN '<p>' || {_TEXT} || '</p>' END AS "Body (HTML)",
        CASE WHEN i % 4 = 0 THEN 'Brand ' || i % 97 END AS "Vendor",
        CASE WHEN i % 4 = 0 THEN 'Home > Kitchen > Group ' || i % 31 END AS "Product Category",
        CASE WHEN i % 4 = 0 THEN 'new, sale' END AS "Tags", CASE WHEN i % 4 = 0 THEN 'true' END AS "Published",
        CASE WHEN i % 4 = 0 THEN 'Color' END AS "Option1 Name",
        CASE WHEN i % 4 < 3 THEN 'Shade ' || i % 9 END AS "Option1 Value",
        CASE WHEN i % 4 < 3 THEN 'SKU-' || i END AS "Variant SKU",
        CASE WHEN i % 4 < 3 THEN {_PRICE} END AS "Variant Price", 'https://x/' || i || '.jpg' AS "Image Src",
        CASE WHEN i % 4 = 0 THEN if(i % 40 = 0, 'draft', 'active') END AS "Status" FROM range({rows}) AS r(i)""",
    )


def woocommerce(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A variable product and three variations."""
    _csv(
        connection,
        folder / "wc-product-export.csv",
        f"""SELECT i AS "ID", if(i % 4 = 0, 'variable', 'variation') AS "Type",
        if(i % 5 = 0, NULL, 'S' || i) AS "SKU", {_TITLE} AS "Name", if(i % 101 = 0, -1, 1) AS "Published",
        if(i % 4 = 0, {_TEXT}, NULL) AS "Description", NULL AS "Sale price", if(i % 4 = 0, NULL, {_PRICE})
        AS "Regular price", if(i % 4 = 0, 'Home > Kitchen, Sale > Group ' || i % 31, NULL) AS "Categories",
        if(i % 4 = 0, NULL, 'id:' || (i - i % 4)) AS "Parent", 'Color' AS "Attribute 1 name",
        'Shade ' || i % 9 AS "Attribute 1 value(s)" FROM range({rows}) AS r(i)""",
    )


def magento(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A configurable product and three simple ones."""
    _csv(
        connection,
        folder / "catalog_product.csv",
        f"""SELECT 'M' || i AS sku, NULL AS store_view_code, 'Top' AS attribute_set_code,
        if(i % 4 = 0, 'configurable', 'simple') AS product_type,
        'Default Category/Men,Default Category/Men/Group ' || i % 31 AS categories, {_TITLE} AS name,
        {_TEXT} AS description, 1 AS product_online, if(i % 4 = 0, NULL, {_PRICE}) AS price,
        if(i % 4 = 0, 'Catalog, Search', 'Not Visible Individually') AS visibility,
        'color=Shade ' || i % 9 || ',size=S' AS additional_attributes, if(i % 4 = 0,
        'sku=M' || i + 1 || ',size=S|sku=M' || i + 2 || ',size=M|sku=M' || i + 3 || ',size=L', NULL)
        AS configurable_variations FROM range({rows}) AS r(i)""",
    )


_MERCHANT = f"""SELECT 'P' || i AS id, {_TITLE} AS title, {_TEXT} AS description, 'https://x/' || i AS link,
    'in stock' AS availability, {_PRICE} || ' EUR' AS price, if(i % 7 = 0, '1.00 EUR', NULL) AS sale_price,
    'Brand ' || i % 97 AS brand, 4006381000000 + i AS gtin, 'G' || i // 4 AS item_group_id, 'Shade ' || i % 9 AS color,
    'Home > Kitchen > Group ' || i % 31 AS product_type"""


def merchant(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A TSV feed."""
    _csv(connection, folder / "feed.tsv", f"{_MERCHANT} FROM range({rows}) AS r(i)", "\t")


def merchant_xml(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """The same feed as RSS 2.0."""
    reader = connection.execute(f"{_MERCHANT} FROM range({rows}) AS r(i)")
    names = [column[0] for column in reader.description or ()]
    with (folder / "feed.xml").open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0"?><rss xmlns:g="http://base.google.com/ns/1.0"><channel>\n')
        while batch := reader.fetchmany(10_000):
            for row in batch:
                cells = (
                    f"<g:{name}>{str(cell).replace('>', '&gt;')}</g:{name}>"
                    for name, cell in zip(names, row, strict=True)
                    if cell is not None
                )
                file.write(f"<item>{''.join(cells)}</item>\n")
        file.write("</channel></rss>\n")


def jsonld(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A product a line."""
    _json(
        connection,
        folder / "products.ndjson",
        f"""SELECT 'Product' AS "@type", 'P' || i AS sku, {_TITLE} AS name, {_TEXT} AS description,
        'Home > Kitchen > Group ' || i % 31 AS category, {{'@type': 'Brand', 'name': 'Brand ' || i % 97}} AS brand,
        [{{'@type': 'Offer', 'price': {_PRICE}::VARCHAR, 'priceCurrency': 'EUR'}}] AS offers,
        {{'ratingValue': '4.4', 'reviewCount': i % 100}} AS "aggregateRating", 'G' || i // 4 AS "inProductGroupWithID"
        FROM range({rows}) AS r(i)""",
    )


def wands(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A third products, two thirds labels."""
    products = rows // 3
    _csv(
        connection,
        folder / "product.csv",
        f"""SELECT i AS product_id, {_TITLE} AS product_name, 'Beds' AS product_class,
        'Furniture / Bedroom / Group ' || i % 31 AS "category hierarchy", {_TEXT} AS product_description,
        'width:' || i % 90 || '|tone:light' AS product_features, 15.0 AS rating_count, 4.5 AS average_rating,
        14.0 AS review_count FROM range({products}) AS r(i)""",
        "\t",
    )
    _csv(connection, folder / "query.csv", "SELECT i AS query_id, 'query ' || i AS query, 'Beds' AS query_class FROM"
         " range(480) AS r(i)", "\t")  # fmt: skip
    _csv(
        connection,
        folder / "label.csv",
        f"""SELECT i AS id, i % 480 AS query_id, hash(i) % {products} AS product_id,
        ['Exact', 'Partial', 'Irrelevant'][1 + i % 3] AS label FROM range({rows - products}) AS r(i)""",
        "\t",
    )


def esci(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Half products, half examples; a tenth of another locale."""
    half = rows // 2
    locale = "if(i % 10 = 0, 'jp', 'us') AS product_locale"
    for name, query in {
        "products": f"""SELECT 'B' || i AS product_id, {_TITLE} AS product_title, {_TEXT} AS product_description,
            {_TEXT} AS product_bullet_point, 'Brand ' || i % 97 AS product_brand, 'Red' AS product_color, {locale}""",
        "examples": f"""SELECT i AS example_id, {_TITLE} || ' ' || i % 999 AS query, i % 999 AS query_id,
            'B' || hash(i) % {half} AS product_id, {locale}, ['E', 'S', 'C', 'I'][1 + i % 4] AS esci_label,
            i % 2 AS small_version, 1 AS large_version, 'train' AS split""",
    }.items():
        file = folder / f"shopping_queries_dataset_{name}.parquet"
        connection.execute(f"COPY ({query} FROM range({half}) AS r(i)) TO '{file}' (FORMAT parquet)")


def diginetica(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Four tenths queries of 20 items each, four tenths clicks, the rest products, purchases and categories."""
    queries, clicks, products, purchases = 4 * rows // 10, 4 * rows // 10, rows // 10, rows // 20
    day = "(DATE '2016-01-01' + (i // 2000)::INT)"
    tables = {
        "train-queries": f"""SELECT i AS "queryId", i // 3 AS "sessionId", 'NA' AS "userId", i % 80000 AS timeframe,
            300 AS duration, {day} AS eventdate, if(i % 2 = 0, i % 97 || ',' || i % 89, NULL) AS "searchstring.tokens",
            i % 300 AS "categoryId", array_to_string(list_transform(range(20), lambda n: hash(i * 20 + n) % {products}),
            ',') AS items, if(i % 50 = 0, 'TRUE', 'FALSE') AS "is.test" FROM range({queries}) AS r(i)""",
        "train-clicks": f"""SELECT hash(i) % {queries} AS "queryId", 80000 + i % 1000 AS timeframe,
            hash(i * 3) % {products} AS "itemId" FROM range({clicks}) AS r(i)""",
        "train-purchases": f"""SELECT i // 3 AS "sessionId", 'NA' AS "userId", 85000 AS timeframe, {day} AS eventdate,
            1 AS ordernumber, hash(i) % {products} AS "itemId" FROM range({purchases}) AS r(i)""",
        "products": f"""SELECT i AS "itemId", i % 12 AS pricelog2, i % 97 || ',' || i % 89 AS "product.name.tokens"
            FROM range({products}) AS r(i)""",
        "product-categories": f'SELECT i AS "itemId", i % 300 AS "categoryId" FROM range({products // 2}) AS r(i)',
    }
    for name, query in tables.items():
        _csv(connection, folder / f"{name}.csv", query, ";")


def jdsearch(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """People with 50 candidates and 49 actions each: a row is one of them."""
    people = max(1, rows // 100)

    def listed(of: str, length: int) -> str:
        return f"array_to_string(list_transform(range({length}), lambda n: {of}), '_')"

    connection.execute(
        f"""COPY (SELECT 'w' || i % 999, {listed("(hash(i * 50 + n) % 90000)::VARCHAR", 50)},
        {listed("if(n = 3, '1.0', '0.0')", 50)}, {listed("if(n % 3 = 0, '-1', 'w' || (i + n // 5) % 999)", 49)},
        {listed("(hash(i * 49 + n) % 90000)::VARCHAR", 49)}, {listed("['ORD', 'CLICK', 'CART'][1 + n % 3]", 49)},
        {listed("(n * 3600 % 90000)::VARCHAR", 50)} FROM range({people}) AS r(i))
        TO '{folder / "release_data.txt"}' {_BARE}"""
    )
    connection.execute(
        f"""COPY (SELECT i, 'w1' || chr(24) || 'w' || i % 99, 1, 'b', 1, 'c', 2, 'd', 3, 'e', 4, 'f', 7
        FROM range({rows // 10}) AS r(i)) TO '{folder / "product_data.txt"}' {_BARE}"""
    )


def kuaisearch(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Half searches of 40 items each, half items."""
    half = rows // 2
    _json(
        connection,
        folder / "recall.jsonl",
        f"""SELECT i % 9000 AS user_id, i AS session_id, list_transform(range(40), lambda n: hash(i * 40 + n) % {half})
        AS impressed_item_ids, [hash(i * 40 + 3) % {half}] AS clicked_item_ids, []::UBIGINT[] AS purchased_item_ids,
        i * 5 AS time_index, '羊毛大衣' || i % 999 AS query, 'train' AS split FROM range({half}) AS r(i)""",
    )
    _json(
        connection,
        folder / "items.jsonl",
        f"""SELECT i AS item_id, '大衣' || i AS item_title, i % 97 AS brand_id, 'B' || i % 97 AS brand_name,
        'S' || i % 999 AS seller_name, '女装' AS category_level1_name, 'c' || i % 31 AS category_level2_name,
        'UNKNOWN' AS category_level3_name FROM range({half}) AS r(i)""",
    )


SOURCES: dict[str, Callable[[duckdb.DuckDBPyConnection, Path, int], None]] = {
    "shopify": shopify,
    "woocommerce": woocommerce,
    "magento": magento,
    "merchant": merchant,
    "merchant_xml": merchant_xml,
    "jsonld": jsonld,
    "wands": wands,
    "esci": esci,
    "diginetica": diginetica,
    "jdsearch": jdsearch,
    "kuaisearch": kuaisearch,
}
