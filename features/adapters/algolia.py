"""Algolia: Insights events, and its query logs or the logged answers, which have the texts and the hits."""

from __future__ import annotations

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.journeys import create_steps, ubi_of_steps
from features.adapters.typed_rows import typed_source
from features.adapters.ubi import in_zone
from features.adapters.ubi_rows import PLAIN_MACROS
from features.json_macros import macros_sql

NAME = "algolia"
WHAT = "Algolia Insights events, with the query logs of its API or the answers that a shop logged itself"
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("a logged answer: `queryID`, `query`, `hits`", "`ubi_queries` with its hits", "`hits` are objects or ids"),
    Maps("a query log: `inner_queries[].query_id`, `query_body`", "`ubi_queries`", "without hits: they are not in it"),
    Maps("`eventType` click", "`click`", "with `positions`"),
    Maps("`eventType` view of several objects", "hits of the request"),
    Maps("`eventType` view of one object", "`click`", "unless it was clicked in the half hour before"),
    Maps("conversion, `eventSubtype` addToCart", "`add_to_cart`", "without a subtype `eventName` tells"),
    Maps("conversion, `eventSubtype` purchase", "`purchase`"),
    Maps("`queryID`", "`query_id`", "where the query logs have it, else the user token's last search"),
    Maps("`userToken`, `authenticatedUserToken`", "`client_id`, `user_id`"),
    Maps("`timestamp`", "`timestamp`", "milliseconds or ISO-8601"),
)
NO_LOGS = (
    "There are no query logs among the files, and Insights events do not have the text of a search: nothing can be"
    " learned of them alone. Import the answers too, a JSON line for each with queryID, query, hits, userToken and"
    " timestamp, as the search's backend gets them (clickAnalytics on), or the export of Algolia's logs."
)
_INNER = "STRUCT(index_name VARCHAR, user_token VARCHAR, query_id VARCHAR)[]"
COLUMNS = (
    dict.fromkeys(("eventType", "eventSubtype", "eventName", "userToken", "authenticatedUserToken", "timestamp",
                   "queryID", "query", "query_body", "query_params", "params"), "VARCHAR")
    | {
        "objectIDs": "VARCHAR[]",
        "positions": "BIGINT[]",
        "objectData": "STRUCT(queryID VARCHAR)[]",
        "hits": "JSON",
        "page": "BIGINT",
        "hitsPerPage": "BIGINT",
        "inner_queries": _INNER,
    }
)  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read events and query logs, told apart by their fields."""
    files = local_files(request)
    create_steps(connection)
    connection.execute(macros_sql())
    connection.execute(PLAIN_MACROS)
    connection.execute(_MACROS)
    rows_in = 0
    with watched(connection, request.progress, f"reading {len(files)} files"), in_zone(connection, request.zone):
        for source in typed_source(connection, files, COLUMNS):
            rows_in += count(connection, _STEPS_SQL.format(source=source))
    notes = []
    if not count(connection, "SELECT count(*) FROM steps WHERE kind = 'search'"):
        notes.append(NO_LOGS)
    return ubi_of_steps(connection, request, rows_in, notes)


_MACROS = r"""
CREATE OR REPLACE TEMP MACRO url_text(params) AS
    url_decode(replace(nullif(regexp_extract(params, '(?:^|[?&"])query=([^&"]*)', 1), ''), '+', ' '));
CREATE OR REPLACE TEMP MACRO asked_text(body) AS coalesce(CASE WHEN json_valid(body) THEN coalesce(
    json_extract_string(body, '$.query'), json_extract_string(body, '$.requests[0].query'),
    url_text(json_extract_string(body, '$.params')), url_text(json_extract_string(body, '$.requests[0].params'))) END,
    url_text(body));
CREATE OR REPLACE TEMP MACRO hit_ids(hits) AS CASE WHEN starts_with(hits, '[{')
    THEN list_transform(json_transform(hits, '[{"objectID":"VARCHAR"}]'), lambda h: plain_key(h.objectID))
    ELSE list_transform(json_extract(unfolded(hits), '$[*]'),
        lambda h: coalesce(as_key(json_extract(h, '$.objectID')), as_key(h))) END;
"""

_STEPS_SQL = """
INSERT INTO steps BY NAME
WITH named AS (
    SELECT *, lower(eventType) AS type, lower(coalesce(eventSubtype, '')) AS subtype,
        lower(coalesce(eventName, '')) AS name, inner_queries[1] AS logged,
        CASE WHEN hits IS NOT NULL THEN hit_ids(hits) END AS shown
    FROM {source}
), told AS (
    SELECT *, CASE
        WHEN type = 'click' THEN 'click'
        WHEN type = 'view' AND len(objectIDs) = 1 AND NOT regexp_matches(name, 'hit|list|result|search') THEN 'view'
        WHEN type = 'view' THEN 'list'
        WHEN type = 'conversion' AND (subtype = 'addtocart' OR subtype = '' AND contains(name, 'cart')) THEN 'cart'
        WHEN type = 'conversion' AND (subtype = 'purchase'
            OR subtype = '' AND regexp_matches(name, 'purchas|order|checkout|buy|bought')) THEN 'order'
        WHEN type IS NULL AND coalesce(queryID, logged.query_id) IS NOT NULL THEN 'search' END AS kind
    FROM named
)
SELECT kind,
    CASE WHEN kind = 'search' THEN 'query log' ELSE nullif(concat_ws(' ', type, nullif(subtype, '')), '') END
        AS source_event,
    CASE WHEN type IS NULL AND kind IS NULL THEN 'left out: neither an event nor a logged query with its id'
        WHEN type = 'conversion' AND kind IS NULL
            THEN 'left out: a conversion that is neither cart nor purchase by its subtype or name' END AS reason,
    plain_time(plain_key(timestamp)) AS time, plain_key(authenticatedUserToken) AS user_id,
    plain_key(coalesce(userToken, logged.user_token)) AS client_id,
    plain_key(coalesce(queryID, logged.query_id, objectData[1].queryID)) AS query_id,
    CASE WHEN kind = 'search' THEN coalesce(query, url_text(params), asked_text(query_body), url_text(query_params)) END
        AS query_text,
    CASE WHEN kind = 'search' THEN shown ELSE list_transform(objectIDs, lambda h: plain_key(h)) END AS item_ids,
    CASE WHEN kind = 'search' THEN list_transform(shown, lambda h, n: coalesce(page * hitsPerPage, 0) + n)
        ELSE positions END AS positions
FROM told
"""
