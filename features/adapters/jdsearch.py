"""JDsearch: a line per person, with a test query, the products shown for it, and what they did in the year before."""

from __future__ import annotations

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.research_files import day, named_files
from features.sql_text import quoted

NAME = "jdsearch"
WHAT = "JDsearch (JD.com): release_data.txt and product_data.txt, or its samples"
OPTIONS: dict[str, str] = {
    "last": "day of the test queries, as the set has intervals and no dates (default 2022-12-31)"
}
MAPPING = (
    Maps("a line's place in the file", "`user_id`"),
    Maps("`query` and `candidate_wid_list`", "a request with its hits", "at noon UTC of the option `last`"),
    Maps("`candidate_label_list` 1.0, 2.0, 3.0", "click, add_to_cart, purchase", "0.0: shown alone"),
    Maps("`history_qry_list`", "a request without hits", "as many as follow one another with one query; `-1`: none"),
    Maps("`history_type_list` CLICK, CART, ORD", "click, add_to_cart, purchase"),
    Maps("`history_type_list` FLW", "left out", "a follow is none of them"),
    Maps("`history_time_list`", "`timestamp`", "seconds between actions, counted back from the test query"),
    Maps("`product_data.txt`: `wid`, `name`", "`item_id`, `title`"),
    Maps("`brand_name` or `brand_id`, `shop_id`", "`brand`, the attribute `shop`"),
    Maps("`cate_name_1` … 4, else the ids", "`category_path`"),
)
FILES = {"people": r"release_data(_sample)?\.txt|user_behavior_data(_sample)?\.txt"}
OPTIONAL = {"products": r"product_(meta_)?data(_sample)?\.txt"}
_PEOPLE = ("query", "candidate_wid_list", "candidate_label_list", "history_qry_list", "history_wid_list",
           "history_type_list", "history_time_list")  # fmt: skip
_PRODUCTS = ("wid", "name", "brand_id", "brand_name", "cate_id_1", "cate_name_1", "cate_id_2", "cate_name_2",
             "cate_id_3", "cate_name_3", "cate_id_4", "cate_name_4", "shop_id")  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the set; a row is a test query, a product shown for it, an action of the history, or a product."""
    last = day(request.options.get("last", "2022-12-31"), "last")
    files, unread = named_files(request, FILES, OPTIONAL)
    with watched(connection, request.progress, f"reading {files['people'].name}"):
        connection.execute(_read("jd_people", str(files["people"]), _PEOPLE))
        if not count(connection, "SELECT count(*) FROM jd_people"):
            raise AdapterError(f"{files['people'].name} has no line of {len(_PEOPLE)} tab-separated values")
        connection.execute(_SQL.replace("{last}", quoted(f"{last} 12:00:00+00")))
    if "products" in files:
        with watched(connection, request.progress, f"reading {files['products'].name}"):
            connection.execute(_read("jd_products", str(files["products"]), _PRODUCTS))
            connection.execute(_PRODUCTS_SQL)
    connection.execute(_BECAME_SQL)
    if "products" in files:
        connection.execute(_PRODUCTS_BECAME_SQL)
    return Loaded(
        rows_in=count(connection, "SELECT sum(rows) FROM jd_read"),
        became="jd_became",
        queries="jd_requests",
        events="jd_events",
        catalog="jd_catalog" if "products" in files else None,
        notes=[
            *unread,
            f"The set has intervals and no dates: the test queries are set on {last}, option last.",
            "Of the searches of the year before it is not known what was shown: they give histories, and no clicks of"
            " theirs can be told from what was passed over.",
            "Words are hashed: encoders of text find none of them.",
        ],
    )


def _read(table: str, file: str, columns: tuple[str, ...]) -> str:
    """A table of lines of tab-separated values, as they are; the samples have a header line, the set has none."""
    typed = ", ".join(f"'{name}': 'VARCHAR'" for name in columns)
    return f"""
    CREATE TEMP TABLE {table}_lines AS FROM read_csv({quoted(file)}, auto_detect = false, header = false,
        delim = '\\t', quote = '', escape = '', columns = {{{typed}}}, max_line_size = 10000000, null_padding = true,
        store_rejects = true) WHERE {columns[0]} IS DISTINCT FROM '{columns[0]}';
    CREATE TEMP VIEW {table} AS SELECT rowid + 1 AS line, * FROM {table}_lines;
    """


_SQL = """
CREATE MACRO words(t) AS replace(t, chr(24), ' ');
CREATE MACRO act(t) AS CASE t WHEN 'CLICK' THEN 'click' WHEN 'CART' THEN 'add_to_cart' WHEN 'ORD' THEN 'purchase'
    WHEN '1.0' THEN 'click' WHEN '2.0' THEN 'add_to_cart' WHEN '3.0' THEN 'purchase' END;
CREATE TEMP TABLE jd_shown AS
SELECT line, generate_subscripts(items, 1) AS place, unnest(items) AS item, unnest(labels) AS label FROM (
    SELECT line, string_split(candidate_wid_list, '_') AS items, string_split(candidate_label_list, '_') AS labels
    FROM jd_people WHERE candidate_wid_list <> ''
);
CREATE TEMP TABLE jd_history AS
WITH told AS (
    SELECT line, string_split(history_qry_list, '_') AS queries, string_split(history_wid_list, '_') AS items,
        string_split(history_type_list, '_') AS types, list_transform(string_split(history_time_list, '_'),
            lambda t: coalesce(try_cast(t AS DOUBLE), 0)) AS gaps
    FROM jd_people WHERE history_wid_list <> ''
), actions AS (
    SELECT line, generate_subscripts(items, 1) AS place, unnest(items) AS item, unnest(queries) AS query,
        unnest(types) AS type, unnest(gaps[1:len(items)]) AS gap, list_sum(gaps) AS whole
    FROM told
), timed AS (
    SELECT *, {last}::TIMESTAMPTZ - to_seconds(whole - sum(gap) OVER w) AS time,
        query IS DISTINCT FROM lag(query) OVER w AS begins
    FROM actions WINDOW w AS (PARTITION BY line ORDER BY place)
)
SELECT line, place, item, nullif(query, '-1') AS query, type, act(type) AS action, time,
    count(*) FILTER (begins) OVER (PARTITION BY line ORDER BY place) AS search
FROM timed;
CREATE TEMP VIEW jd_requests AS
SELECT 'test-' || line AS query_id, line::VARCHAR AS user_id, line::VARCHAR AS client_id, words(query) AS user_query,
    {last}::TIMESTAMPTZ AS timestamp, string_split(nullif(candidate_wid_list, ''), '_') AS query_response_hit_ids
FROM jd_people WHERE coalesce(query, '') <> ''
UNION ALL
SELECT line || '-' || search, line::VARCHAR, line::VARCHAR, words(any_value(query)), min(time), NULL
FROM jd_history WHERE query IS NOT NULL GROUP BY line, search;
CREATE TEMP VIEW jd_events AS
SELECT action AS action_name, CASE WHEN query IS NOT NULL THEN line || '-' || search END AS query_id,
    line::VARCHAR AS user_id, line::VARCHAR AS client_id, time AS timestamp, item AS object_id,
    NULL::BIGINT AS "event_attributes.position.ordinal"
FROM jd_history WHERE action IS NOT NULL
UNION ALL
SELECT act(label), 'test-' || line, line::VARCHAR, line::VARCHAR, {last}::TIMESTAMPTZ + to_seconds(place), item, place
FROM jd_shown WHERE act(label) IS NOT NULL;
"""

_PRODUCTS_SQL = """
CREATE TEMP VIEW jd_catalog AS
SELECT wid AS item_id, words(name) AS title, coalesce(nullif(words(brand_name), ''), nullif(brand_id, '')) AS brand,
    list_filter([coalesce(nullif(words(cate_name_1), ''), nullif(cate_id_1, '')),
        coalesce(nullif(words(cate_name_2), ''), nullif(cate_id_2, '')),
        coalesce(nullif(words(cate_name_3), ''), nullif(cate_id_3, '')),
        coalesce(nullif(words(cate_name_4), ''), nullif(cate_id_4, ''))], lambda t: t IS NOT NULL) AS category_path,
    {'shop': nullif(shop_id, '')} AS attributes
FROM jd_products WHERE wid <> '';
"""

_BECAME_SQL = """
CREATE TABLE jd_read AS
SELECT count(*) AS rows FROM jd_people UNION ALL SELECT count(*) FROM jd_shown UNION ALL SELECT count(*) FROM jd_history
UNION ALL SELECT count(DISTINCT (file_id, line)) FROM reject_errors;
CREATE TABLE jd_became AS
SELECT 'test query' AS source_event, CASE WHEN coalesce(query, '') <> '' THEN 'request' ELSE 'left out: no query' END
    AS became, count(*) AS rows, count(*) FILTER (coalesce(query, '') <> '') AS written FROM jd_people GROUP BY ALL
UNION ALL
SELECT 'shown, label ' || coalesce(label, ''), coalesce(act(label), 'hit of its request'), count(*), count(act(label))
FROM jd_shown GROUP BY ALL
UNION ALL
SELECT coalesce(type, 'action'), coalesce(action, 'left out: no click, cart or order'), count(*), count(action)
FROM jd_history GROUP BY ALL
UNION ALL
SELECT 'query of the history', 'request', 0, count(DISTINCT (line, search)) FROM jd_history WHERE query IS NOT NULL
UNION ALL
SELECT 'line', 'left out: not the columns of its file', count(DISTINCT (file_id, line)), 0 FROM reject_errors;
"""

_PRODUCTS_BECAME_SQL = """
INSERT INTO jd_read SELECT count(*) FROM jd_products;
INSERT INTO jd_became
SELECT 'product', CASE WHEN wid <> '' THEN 'item' ELSE 'left out: no wid' END, count(*),
    count(*) FILTER (wid <> '') FROM jd_products GROUP BY ALL;
"""
