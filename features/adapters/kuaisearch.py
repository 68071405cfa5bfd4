"""KuaiSearch (Kuaishou): searches with what was shown, clicked and bought, items, and people."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.json_rows import MAX_LINE_BYTES
from features.adapters.research_files import day, named_files, whole
from features.sql_text import quoted

NAME = "kuaisearch"
WHAT = "KuaiSearch (Kuaishou): recall.jsonl, items.jsonl, users.jsonl"
OPTIONS: dict[str, str] = {
    "start": "day of time_index 0, as the set has no dates (default 2025-01-01)",
    "tick": "seconds that one step of time_index stands for, which its authors do not say (default 1)",
}
MAPPING = (
    Maps("`recall.jsonl`: `session_id`", "`query_id`, `session_id`", "a session is one search"),
    Maps("`user_id`", "`user_id`"),
    Maps("`query`", "`user_query`"),
    Maps("`impressed_item_ids`", "`query_response_hit_ids`", "in the order of the file, which need not be that shown"),
    Maps("`clicked_item_ids`, `purchased_item_ids`", "click, purchase", "a second and two after the search"),
    Maps("`time_index`", "`timestamp`", "from the option `start`, in steps of `tick`"),
    Maps("`items.jsonl`: `item_id`, `item_title`", "`item_id`, `title`"),
    Maps("`brand_name`, `seller_name`", "`brand`, the attribute `seller`", "UNKNOWN, 无品牌 and 其他/other are none"),
    Maps("`category_level1_name` … 3", "`category_path`"),
    Maps("`users.jsonl`: `fre_country`", "`query_attributes.country` of the user's searches"),
    Maps("`rank.jsonl`, `relevance.jsonl`", "not read", "the same searches; judgements that name no item"),
)
FILES = {"searches": r"recall\.jsonl"}
OPTIONAL = {"items": r"items\.jsonl", "users": r"users\.jsonl"}
_COLUMNS = {
    "searches": {"user_id": "VARCHAR", "session_id": "VARCHAR", "query": "VARCHAR", "time_index": "BIGINT",
                 "impressed_item_ids": "VARCHAR[]", "clicked_item_ids": "VARCHAR[]",
                 "purchased_item_ids": "VARCHAR[]"},
    "items": {"item_id": "VARCHAR", "item_title": "VARCHAR", "brand_name": "VARCHAR", "seller_name": "VARCHAR",
              "category_level1_name": "VARCHAR", "category_level2_name": "VARCHAR", "category_level3_name": "VARCHAR"},
    "users": {"user_id": "VARCHAR", "fre_country": "VARCHAR"},
}  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the searches of a release."""
    start = quoted(f"{day(request.options.get('start', '2025-01-01'), 'start')} 00:00:00+00")
    tick = whole(request.options.get("tick", "1"), "tick")
    files, unread = named_files(request, FILES, OPTIONAL)
    for role, columns in _COLUMNS.items():
        with watched(connection, request.progress, f"reading {role}"):
            typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
            if role in files:
                source = _source(_as_numbers(connection, columns, files[role]), files[role])
                connection.execute(f"CREATE TABLE kuai_{role} AS FROM {source}")
            else:
                connection.execute(f"CREATE TABLE kuai_{role} ({typed})")
    if not count(connection, "SELECT count(*) FROM kuai_searches WHERE session_id IS NOT NULL"):
        raise AdapterError(f"{files['searches'].name} has no line with a session_id: is it KuaiSearch's recall.jsonl?")
    with watched(connection, request.progress, "searches, events and items"):
        connection.execute(_SQL.replace("{start}", start).replace("{tick}", str(tick)))
    return Loaded(
        rows_in=sum(count(connection, f"SELECT count(*) FROM kuai_{role}") for role in files),
        became="kuai_became",
        queries="kuai_requests",
        events="kuai_events",
        catalog="kuai_catalog" if "items" in files else None,
        notes=[
            *unread,
            f"The set has no dates and its authors do not say what a step of time_index is: {tick} s were taken, from"
            f" {start[1:11]} on (options tick, start).",
        ],
    )


def _as_numbers(connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], file: Path) -> dict[str, str]:
    """The columns with lists of ids as numbers where the file has numbers: a reader of texts is slower."""
    found = {
        name: kind
        for name, kind, *_ in connection.execute(
            f"DESCRIBE FROM read_json({quoted(file)}, format = 'newline_delimited', ignore_errors = true)"
        ).fetchall()
    }
    return {
        name: "BIGINT[]" if kind == "VARCHAR[]" and found.get(name) == "BIGINT[]" else kind
        for name, kind in columns.items()
    }


def _source(columns: Mapping[str, str], file: Path) -> str:
    typed = ", ".join(f"{name}: '{kind}'" for name, kind in columns.items())
    return (
        f"read_json({quoted(file)}, format = 'newline_delimited', columns = {{{typed}}},"
        f" ignore_errors = true, maximum_object_size = {MAX_LINE_BYTES})"
    )


_SQL = """
CREATE MACRO stated(t) AS CASE WHEN trim(t) NOT IN ('', 'UNKNOWN', '无品牌', '其他/other') THEN trim(t) END;
CREATE VIEW kuai_asked AS
SELECT session_id, user_id, query, {start}::TIMESTAMPTZ + to_seconds(time_index * {tick}) AS time, impressed_item_ids,
    clicked_item_ids, purchased_item_ids, fre_country, CASE WHEN session_id IS NULL THEN 'no session_id'
        WHEN time_index IS NULL THEN 'no time_index' END AS why
FROM kuai_searches LEFT JOIN (SELECT user_id, any_value(fre_country) AS fre_country FROM kuai_users GROUP BY ALL) AS u
    USING (user_id);
CREATE VIEW kuai_requests AS
SELECT session_id AS query_id, user_id, user_id AS client_id, session_id, query AS user_query, time AS timestamp,
    impressed_item_ids AS query_response_hit_ids,
    CASE WHEN fre_country IS NOT NULL THEN json_object('country', fre_country) END AS query_attributes
FROM kuai_asked WHERE why IS NULL;
CREATE VIEW kuai_events AS
SELECT 'click' AS action_name, session_id AS query_id, user_id, user_id AS client_id, session_id,
    time + INTERVAL 1 SECOND AS timestamp, unnest(clicked_item_ids) AS object_id FROM kuai_asked WHERE why IS NULL
UNION ALL
SELECT 'purchase', session_id, user_id, user_id, session_id, time + INTERVAL 2 SECOND, unnest(purchased_item_ids)
FROM kuai_asked WHERE why IS NULL;
CREATE VIEW kuai_catalog AS
SELECT item_id, item_title AS title, stated(brand_name) AS brand, {'seller': stated(seller_name)} AS attributes,
    list_filter([stated(category_level1_name), stated(category_level2_name), stated(category_level3_name)],
        lambda t: t IS NOT NULL) AS category_path
FROM kuai_items WHERE item_id IS NOT NULL;
CREATE TABLE kuai_became AS
SELECT 'search' AS source_event, coalesce('left out: ' || why, 'request') AS became, count(*) AS rows,
    count(*) FILTER (why IS NULL) AS written FROM kuai_asked GROUP BY ALL
UNION ALL SELECT 'item of a search', 'click', 0, coalesce(sum(len(clicked_item_ids)), 0) FROM kuai_asked
    WHERE why IS NULL
UNION ALL SELECT 'item of a search', 'purchase', 0, coalesce(sum(len(purchased_item_ids)), 0) FROM kuai_asked
    WHERE why IS NULL
UNION ALL SELECT 'item', CASE WHEN item_id IS NULL THEN 'left out: no item_id' ELSE 'item' END, count(*), count(item_id)
    FROM kuai_items GROUP BY ALL
UNION ALL SELECT 'user', 'country of their searches', count(*), 0 FROM kuai_users;
"""
