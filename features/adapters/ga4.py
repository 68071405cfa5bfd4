"""Google Analytics 4 as BigQuery exports it: a table of events a day, as JSON lines or Parquet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.journeys import create_steps, ubi_of_steps
from features.adapters.typed_rows import typed_source

NAME = "ga4"
WHAT = "Google Analytics 4, tables events_YYYYMMDD of its BigQuery export, as JSON lines or Parquet"
OPTIONS: dict[str, str] = {}
KINDS = {
    "view_search_results": "search",
    "search": "search",
    "view_item_list": "list",
    "select_item": "click",
    "view_item": "view",
    "add_to_cart": "cart",
    "purchase": "order",
}
MAPPING = (
    Maps("`view_search_results`, `search`", "`ubi_queries`", "the text is the parameter `search_term`"),
    Maps("`view_item_list`", "hits of the visit's search", "of the same page, or of a list named as one of a search"),
    Maps("`select_item`", "`click`"),
    Maps("`view_item`", "`click`", "unless the item was clicked in a list in the half hour before"),
    Maps("`add_to_cart`", "`add_to_cart`", "an event per item"),
    Maps("`purchase`", "`purchase`", "an event per item; one `transaction_id` of a visitor counts once"),
    Maps("`event_timestamp`", "`timestamp`"),
    Maps("`event_date` (the property's time zone)", "the day folder", "so a table imported again replaces its day"),
    Maps("`user_pseudo_id`, `user_id`, `ga_session_id`", "`client_id`, `user_id`, `session_id`"),
    Maps("`items[]`: `item_id`, `item_list_index`", "items and their order"),
    Maps("`items[]`: `item_name`, `item_brand`, `item_category`.., `price`", "a catalogue of what was seen"),
    Maps("`geo.country`, `device.language`", "the request's country and language"),
)
LATE = (
    "Google adds to a day's table for up to three days: import the last three days again with --replace, each table"
    " whole."
)
_VALUE = "STRUCT(string_value VARCHAR, int_value VARCHAR, float_value VARCHAR, double_value VARCHAR)"
_ITEM = ("item_id", "item_name", "item_brand", "item_category", "item_category2", "item_category3", "item_category4",
         "item_category5", "price", "item_list_id", "item_list_name", "item_list_index")  # fmt: skip
COLUMNS = {
    "event_date": "VARCHAR",
    "event_timestamp": "VARCHAR",
    "event_name": "VARCHAR",
    "event_params": f"STRUCT(key VARCHAR, value {_VALUE})[]",
    "user_id": "VARCHAR",
    "user_pseudo_id": "VARCHAR",
    "device": "STRUCT(language VARCHAR)",
    "geo": "STRUCT(country VARCHAR)",
    "ecommerce": "STRUCT(transaction_id VARCHAR)",
    "items": f"STRUCT({', '.join(f'{name} VARCHAR' for name in _ITEM)})[]",
}
_TABLE = re.compile(r"events_(intraday_)?(20\d{6})")


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read the tables' files."""
    files, passed_over = _daily_first(local_files(request))
    create_steps(connection)
    connection.execute(_MACROS)
    rows_in = 0
    with watched(connection, request.progress, f"reading {len(files) + len(passed_over)} files"):
        for source in typed_source(connection, files, COLUMNS):
            rows_in += count(connection, _STEPS_SQL.format(source=source, goods=request.wants_catalog))
        for source in typed_source(connection, passed_over, {"event_name": "VARCHAR"}):
            rows_in += count(connection, _PASSED_SQL.format(source=source))
    notes = [LATE]
    if passed_over:
        notes.append(f"{len(passed_over)} files of events_intraday_ were passed over: the day's own table is there.")
    return ubi_of_steps(connection, request, rows_in, notes)


def _daily_first(files: Sequence[Path]) -> tuple[list[Path], list[Path]]:
    """The files to read, and those of a day's intraday table whose daily table is there too."""
    tables = {file: found for file in files if (found := _TABLE.search(str(file)))}
    daily = {found[2] for found in tables.values() if not found[1]}
    passed = [file for file, found in tables.items() if found[1] and found[2] in daily]
    return [file for file in files if file not in passed], passed


_MACROS = """
CREATE OR REPLACE TEMP MACRO set_text(t) AS CASE WHEN t NOT IN ('', '(not set)', '(other)') THEN t END;
CREATE OR REPLACE TEMP MACRO param(keys, texts, name) AS set_text(trim(texts[list_position(keys, name)]));
"""

_WHENS = " ".join(f"WHEN '{name}' THEN '{kind}'" for name, kind in KINDS.items())
_STEPS_SQL = f"""
INSERT INTO steps BY NAME
WITH kinds AS (
    SELECT *, CASE event_name {_WHENS} END AS named FROM {{source}}
), wanted AS (
    SELECT *, CASE WHEN named IS NOT NULL THEN list_filter(event_params, lambda p: p.key IN ('search_term',
        'ga_session_id', 'page_location', 'item_list_name', 'item_list_id', 'transaction_id')) END AS params,
        CASE WHEN named IS NOT NULL THEN items END AS listed
    FROM kinds
), parted AS (
    SELECT * EXCLUDE (params), list_transform(params, lambda p: p.key) AS keys,
        list_transform(params, lambda p: coalesce(p.value.string_value, p.value.int_value, p.value.double_value,
            p.value.float_value)) AS texts
    FROM wanted
), read AS (
    SELECT event_name, named, user_id, user_pseudo_id, device, geo, ecommerce, listed, event_date, event_timestamp,
        param(keys, texts, 'search_term') AS term, param(keys, texts, 'ga_session_id') AS session,
        param(keys, texts, 'page_location') AS page, param(keys, texts, 'transaction_id') AS transaction,
        coalesce(param(keys, texts, 'item_list_name'), param(keys, texts, 'item_list_id'),
            set_text(listed[1].item_list_name), set_text(listed[1].item_list_id)) AS list_name
    FROM parted
)
SELECT event_name AS source_event,
    CASE WHEN event_name IS NULL AND event_timestamp IS NULL THEN 'left out: no JSON object, or no event' END AS reason,
    CASE WHEN named = 'list' AND term IS NOT NULL THEN 'search' ELSE named END AS kind,
    try_strptime(event_date, '%Y%m%d')::DATE AS dt,
    CASE WHEN named IS NOT NULL THEN make_timestamptz(try_cast(event_timestamp AS BIGINT)) END AS time,
    set_text(user_id) AS user_id, set_text(user_pseudo_id) AS client_id, session AS session_id, term AS query_text,
    page, list_name,
    CASE WHEN named = 'order' THEN coalesce(transaction, set_text(ecommerce.transaction_id)) END AS order_id,
    CASE WHEN named IS NOT NULL THEN md5(concat_ws(chr(31), event_name, user_pseudo_id, event_timestamp, term,
        len(listed), listed[1], listed[-1])) END AS event_id,
    set_text(geo.country) AS country, set_text(device.language) AS language,
    list_transform(listed, lambda i: coalesce(set_text(trim(i.item_id)), set_text(trim(i.item_name)))) AS item_ids,
    list_transform(listed, lambda i: try_cast(i.item_list_index AS BIGINT)) AS positions,
    CASE WHEN {{goods}} THEN list_transform(listed, lambda i: {{{{
        'title': set_text(i.item_name), 'brand': set_text(i.item_brand),
        'category': nullif(concat_ws(' > ', set_text(i.item_category), set_text(i.item_category2),
            set_text(i.item_category3), set_text(i.item_category4), set_text(i.item_category5)), ''),
        'price': set_text(i.price)}}}}) END AS goods
FROM read
"""

_PASSED_SQL = """
INSERT INTO steps BY NAME SELECT event_name AS source_event, 'left out: the daily table of its day is there' AS reason
FROM {source}
"""
