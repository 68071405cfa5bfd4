"""WANDS, Wayfair's products, queries and judgements: a catalogue and qrels, no log."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps, count, watched
from features.adapters.csv_tables import Columns, csv_columns, load_csv
from features.adapters.products import split
from features.adapters.research_files import named_files

NAME = "wands"
WHAT = "WANDS (Wayfair): product.csv, query.csv, label.csv"
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("`product.csv`: `product_id`, `product_name`, `product_description`", "`item_id`, `title`, `description`"),
    Maps("`category hierarchy`, else `product_class`", "`category_path`"),
    Maps("`product_class`", "`tags`"),
    Maps("`product_features`: `a:b|c:d`", "attributes", "`brand` and `manufacturer` are left as they are"),
    Maps("`average_rating`, `rating_count`", "`rating`, `rating_count`"),
    Maps("`label.csv`: Exact, Partial, Irrelevant", "judgements of grade 3, 2, 0", "with the text of `query.csv`"),
)


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the three files of the set."""
    wanted = {"products": r"product\.csv", "queries": r"query\.csv", "labels": r"label\.csv"}
    files, unread = named_files(request, wanted, {})
    tables = {role: csv_columns(request, f"wands_{role}", [file]) for role, file in files.items()}
    tables["products"].need("WANDS", "product_id")
    tables["queries"].need("WANDS", "query_id")
    tables["labels"].need("WANDS", "label")
    sql = _sql(tables)
    for columns in tables.values():
        load_csv(connection, request, columns)
    with watched(connection, request.progress, "products and judgements"):
        connection.execute(sql)
        connection.execute(_BECAME_SQL)
    ragged = count(connection, "SELECT sum(rows) FROM wands_left_out")
    rows = sum(count(connection, f"SELECT count(*) FROM wands_{role}") for role in files)
    return Loaded(
        rows_in=rows + ragged,
        became="wands_became",
        catalog="wands_catalog",
        judgements="wands_judgements",
        notes=[
            *unread,
            "WANDS has no log: a run makes sessions over the judged queries, see `demoshop.judged`.",
        ],
    )


def _sql(tables: Mapping[str, Columns]) -> str:
    of, query, label = (tables[role].sql for role in ("products", "queries", "labels"))
    return f"""
    CREATE TEMP VIEW wands_catalog AS
    SELECT {of("product_id")} AS item_id, {of("product_name")} AS title,
        {of("product_description")} AS description,
        {split(of("category hierarchy", "product_class"), "/")} AS category_path,
        string_split({of("product_class")}, '|') AS tags, {of("average_rating")} AS rating,
        {of("rating_count", "review_count")} AS rating_count,
        list_transform(list_filter(list_distinct(string_split({of("product_features")}, '|')),
            lambda t: regexp_matches(t, '^\\s*[^:\\s][^:]*:\\s*\\S')),
            lambda t: {{'key': trim(split_part(t, ':', 1)), 'value': trim(substr(t, strpos(t, ':') + 1))}})
            AS attributes
    FROM wands_products WHERE {of("product_id")} IS NOT NULL;
    CREATE TEMP VIEW wands_judged AS
    SELECT q.query, item_id, label,
        CASE lower(label) WHEN 'exact' THEN 3 WHEN 'partial' THEN 2 WHEN 'irrelevant' THEN 0 END AS grade
    FROM (
        SELECT {label("query_id")} AS id, {label("product_id")} AS item_id, {label("label")} AS label FROM wands_labels
    ) LEFT JOIN (SELECT {query("query_id")} AS id, {query("query")} AS query FROM wands_queries) AS q USING (id);
    """


_BECAME_SQL = """
CREATE TEMP VIEW wands_judgements AS SELECT query, item_id, grade FROM wands_judged
    WHERE query IS NOT NULL AND item_id IS NOT NULL AND grade IS NOT NULL;
CREATE TABLE wands_left_out AS FROM wands_products_ragged UNION ALL FROM wands_queries_ragged
    UNION ALL FROM wands_labels_ragged;
CREATE TABLE wands_became AS
SELECT 'product' AS source_event, 'item' AS became, count(*) AS rows, count(*) AS written FROM wands_catalog
UNION ALL SELECT 'product', 'left out: no product_id', (SELECT count(*) FROM wands_products) - count(*), 0
    FROM wands_catalog
UNION ALL SELECT 'query', 'text of its judgements', count(*), 0 FROM wands_queries
UNION ALL SELECT coalesce(label, 'label'), CASE WHEN query IS NULL THEN 'left out: its query is not in query.csv'
    WHEN item_id IS NULL THEN 'left out: no product_id' WHEN grade IS NULL THEN 'left out: a label of no known meaning'
    ELSE 'judgement of grade ' || grade END, count(*),
    count(*) FILTER (query IS NOT NULL AND item_id IS NOT NULL AND grade IS NOT NULL) FROM wands_judged GROUP BY ALL
UNION ALL SELECT 'line', 'left out: not the columns of its file', sum(rows), 0 FROM wands_left_out
"""
