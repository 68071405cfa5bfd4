"""DIGINETICA (CIKM Cup 2016): queries with the items shown, clicks, purchases, and products in hashed words."""

from __future__ import annotations

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps, count, watched
from features.adapters.csv_tables import csv_columns, load_csv
from features.adapters.research_files import named_files

NAME = "diginetica"
WHAT = "DIGINETICA (CIKM Cup 2016): train-queries, train-clicks, train-purchases, products, product-categories"
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("`train-queries.csv`: `queryId`, `userId`, `sessionId`", "`query_id`, `user_id`, `client_id`, `session_id`"),
    Maps("`searchstring.tokens`", "`user_query`", "hashed words, a blank between; none where a category was browsed"),
    Maps("`categoryId` of a query", "`query_attributes.category`"),
    Maps("`items`", "`query_response_hit_ids`"),
    Maps("`eventdate` and `timeframe`", "`timestamp`", "milliseconds since the session began, on that day in UTC"),
    Maps("`is.test` TRUE", "left out", "its clicks were held back"),
    Maps("`train-clicks.csv`", "click"),
    Maps("`train-purchases.csv`", "purchase", "names no query: a run attributes it"),
    Maps("`train-item-views.csv`", "left out", "views of pages, not of search"),
    Maps("`products.csv`: `pricelog2`, `product.name.tokens`", "`price`, `title`", "price = 2^x - 1"),
    Maps("`product-categories.csv`", "`category_path`"),
)
FILES = {"queries": r"train-queries\.csv", "clicks": r"train-clicks\.csv", "purchases": r"train-purchases\.csv",
         "products": r"products\.csv"}  # fmt: skip
OPTIONAL = {"categories": r"product-categories\.csv", "views": r"train-item-views\.csv"}


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the cup's training files; they are parted by semicolons."""
    files, unread = named_files(request, FILES, OPTIONAL)
    columns = {role: csv_columns(request, f"digi_{role}", [file]) for role, file in files.items()}
    for role, name in (("queries", "queryId"), ("clicks", "queryId"), ("purchases", "itemId"), ("products", "itemId")):
        columns[role].need("DIGINETICA", name)
    for table in columns.values():
        load_csv(connection, request, table, every=True)
    if "categories" not in files:
        connection.execute('CREATE TABLE digi_categories ("itemId" VARCHAR, "categoryId" VARCHAR)')
    with watched(connection, request.progress, "queries, events and products"):
        connection.execute(_SQL)
        connection.execute(_BECAME_SQL)
        if "views" in files:
            connection.execute(
                "INSERT INTO digi_became SELECT 'item view', 'left out: a page seen outside of search', count(*), 0"
                " FROM digi_views"
            )
        ragged = sum(count(connection, f"SELECT rows FROM digi_{role}_ragged") for role in files)
        connection.execute(
            "INSERT INTO digi_became SELECT 'line', 'left out: not the columns of its file', ?, 0", [ragged]
        )
    return Loaded(
        rows_in=ragged + sum(count(connection, f"SELECT count(*) FROM digi_{role}") for role in files),
        became="digi_became",
        queries="digi_requests",
        events="digi_events",
        catalog="digi_catalog",
        notes=[
            *unread,
            "Words are hashed: encoders of text find none of them, n-grams of ids do; most queries browse a category"
            " and have no text.",
        ],
    )


# "NA" is R's word for nothing
_SQL = """
CREATE MACRO known(t) AS CASE WHEN trim(t) NOT IN ('', 'NA') THEN trim(t) END;
CREATE MACRO moment(day, after) AS try_cast(day || ' 00:00:00+00' AS TIMESTAMPTZ)
    + to_milliseconds(try_cast(after AS BIGINT));
CREATE TEMP TABLE digi_asked AS
SELECT known("queryId") AS query_id, known("userId") AS user_id, known("sessionId") AS session_id,
    coalesce(replace(known("searchstring.tokens"), ',', ' '), '') AS user_query,
    moment(eventdate, timeframe) AS timestamp, string_split(known(items), ',') AS query_response_hit_ids,
    known("categoryId") AS category, eventdate,
    CASE WHEN known("queryId") IS NULL THEN 'no query id' WHEN upper("is.test") = 'TRUE' THEN 'held back for the test'
        WHEN moment(eventdate, timeframe) IS NULL THEN 'no time' END AS why
FROM digi_queries;
CREATE TEMP VIEW digi_requests AS
SELECT query_id, user_id, session_id AS client_id, session_id, user_query, timestamp, query_response_hit_ids,
    CASE WHEN nullif(category, '0') IS NOT NULL THEN json_object('category', category) END AS query_attributes
FROM digi_asked WHERE why IS NULL;
CREATE TEMP TABLE digi_acted AS
SELECT 'click' AS action_name, query_id, user_id, session_id, moment(eventdate, timeframe) AS timestamp,
    known("itemId") AS object_id, CASE WHEN query_id IS NULL THEN 'its query is not there'
        WHEN known("itemId") IS NULL THEN 'no item' WHEN moment(eventdate, timeframe) IS NULL THEN 'no time' END AS why
FROM digi_clicks LEFT JOIN (SELECT query_id, user_id, session_id, eventdate FROM digi_asked WHERE query_id IS NOT NULL
    QUALIFY row_number() OVER (PARTITION BY query_id) = 1) AS asked ON known("queryId") = query_id
UNION ALL
SELECT 'purchase', NULL, known("userId"), known("sessionId"), moment(eventdate, timeframe), known("itemId"),
    CASE WHEN known("itemId") IS NULL THEN 'no item' WHEN moment(eventdate, timeframe) IS NULL THEN 'no time'
        WHEN known("sessionId") IS NULL THEN 'no session' END
FROM digi_purchases;
CREATE TEMP VIEW digi_events AS
SELECT action_name, query_id, user_id, session_id AS client_id, session_id, timestamp, object_id
FROM digi_acted WHERE why IS NULL;
CREATE TEMP VIEW digi_catalog AS
SELECT known("itemId") AS item_id, replace(known("product.name.tokens"), ',', ' ') AS title,
    2 ** try_cast(pricelog2 AS DOUBLE) - 1 AS price, [category] AS category_path
FROM digi_products LEFT JOIN (SELECT known("itemId") AS item, min(known("categoryId")) AS category FROM digi_categories
    GROUP BY ALL) AS c ON known("itemId") = item
WHERE known("itemId") IS NOT NULL;
"""

_BECAME_SQL = """
CREATE TABLE digi_became AS
SELECT CASE WHEN user_query = '' THEN 'category page' ELSE 'query' END AS source_event,
    coalesce('left out: ' || why, 'request') AS became, count(*) AS rows, count(*) FILTER (why IS NULL) AS written
FROM digi_asked GROUP BY ALL
UNION ALL
SELECT action_name, coalesce('left out: ' || why, action_name), count(*), count(*) FILTER (why IS NULL)
FROM digi_acted GROUP BY ALL
UNION ALL
SELECT 'product', 'item', count(*), count(*) FROM digi_catalog
UNION ALL
SELECT 'product', 'left out: no id', (SELECT count(*) FROM digi_products) - count(*), 0 FROM digi_catalog
UNION ALL
SELECT 'category of a product', 'category_path of its item', count(*), 0 FROM digi_categories;
"""
