"""UBI 1.3 documents as typed tables: every field null where the log has none, nothing refused here.

Where a field is read from, first hit wins (UBI 1.3, its older names, and what exports make of it):

=============  ======================================================================================================
query_id       ``query_id``
user_id        ``user_id``
client_id      ``client_id``
session_id     ``session_id``
query_text     ``user_query``
hits           ``query_response_hit_ids``, ``query_response_object_ids`` (before 1.3); a list, or a list as JSON text
time           ``timestamp``, ``@timestamp``: ISO-8601 (no zone: UTC) or epoch seconds, milli-, micro-, nanoseconds
action         ``action_name``, lower case
item_id        ``event_attributes.object.object_id``, ``object_id``, ``event_attributes.object.internal_id``
position       ``event_attributes.position.ordinal``
event_id       ``event_id``, else a hash of action, query, user, item and time
location       ``query_attributes``, by the names in ``features.location``
=============  ======================================================================================================

``event_attributes`` and ``query_attributes`` may be an object, an object as JSON text, or flattened to dotted keys.
Documents under ``_source`` (scroll exports, elasticdump) are unwrapped, and bulk action lines (``{"index": {...}}``)
are marked as such. Ids that are numbers are read as text. ``wrong_type`` marks a row with a field that is there and
cannot be what it should be.
"""

from __future__ import annotations

from typing import Any

from features.json_macros import create_macros
from features.location import create_place_macros, places_sql

_ATTRIBUTES = """
CREATE OR REPLACE TEMP TABLE query_attributes AS
WITH nested AS (
    SELECT row_id, opened(json_extract(body_of(document), '$.query_attributes')) AS given FROM {source}
)
SELECT row_id, e.key AS key, e.value AS value FROM nested, json_each(nested.given) AS e
WHERE json_type(nested.given) = 'OBJECT'
UNION ALL
SELECT row_id, e.key[len('query_attributes.') + 1:], e.value FROM {source}, json_each(body_of(document)) AS e
WHERE contains(document::VARCHAR, '"query_attributes.') AND starts_with(e.key, 'query_attributes.')
"""

_QUERIES = """
CREATE OR REPLACE TABLE {target} AS
WITH picked AS (
    SELECT row_id, document IS NULL AS not_json, is_action_line(document) AS action_line,
        json_extract(body_of(document), ['$.query_id', '$.user_id', '$.client_id', '$.session_id', '$.user_query',
            '$.timestamp', '$."@timestamp"', '$.query_response_hit_ids', '$.query_response_object_ids']) AS v
    FROM {source}
), named AS (
    SELECT row_id, not_json, action_line, v[1] AS query_id, v[2] AS user_id, v[3] AS client_id, v[4] AS session_id,
        v[5] AS query_text, CASE WHEN is_absent(v[6]) THEN v[7] ELSE v[6] END AS time,
        CASE WHEN is_absent(v[8]) THEN v[9] ELSE v[8] END AS hits
    FROM picked
), listed AS (
    SELECT *, json_type(opened(hits)) IS NOT DISTINCT FROM 'ARRAY' AS is_list,
        CASE WHEN is_list THEN json_extract(opened(hits), '$[*]') ELSE []::JSON[] END AS elements
    FROM named
)
SELECT row_id, not_json, action_line,
    no_scalar(query_id) OR no_scalar(user_id) OR no_scalar(client_id) OR no_scalar(query_text) OR unreadable_time(time)
        OR NOT (is_absent(hits) OR is_list) OR len(list_filter(elements, lambda e: no_scalar(e))) > 0 AS wrong_type,
    as_id(query_id) AS query_id, as_id(user_id) AS user_id, as_id(client_id) AS client_id,
    as_id(session_id) AS session_id, coalesce(as_text(query_text), '') AS query_text, as_time(time) AS time,
    list_transform(elements, lambda e: as_id(e)) AS hits, country, language, zip, latitude, longitude
FROM listed LEFT JOIN ({places}) USING (row_id)
"""

_EVENTS = """
CREATE OR REPLACE TABLE {target} AS
WITH picked AS (
    SELECT row_id, document IS NULL AS not_json, is_action_line(document) AS action_line,
        json_extract(body_of(document), ['$.query_id', '$.user_id', '$.client_id', '$.session_id', '$.action_name',
            '$.timestamp', '$."@timestamp"', '$.event_id', '$.object_id', '$.event_attributes',
            '$."event_attributes.object.object_id"', '$."event_attributes.position.ordinal"']) AS v
    FROM {source}
), attributed AS (
    SELECT row_id, not_json, action_line, v, json_extract(opened(v[10]),
        ['$.object.object_id', '$.object.internal_id', '$.position.ordinal']) AS a
    FROM picked
), named AS (
    SELECT row_id, not_json, action_line, v[1] AS query_id, v[2] AS user_id, v[3] AS client_id, v[4] AS session_id,
        v[5] AS action, CASE WHEN is_absent(v[6]) THEN v[7] ELSE v[6] END AS time, v[8] AS event_id,
        CASE WHEN NOT is_absent(a[1]) THEN a[1] WHEN NOT is_absent(v[11]) THEN v[11]
            WHEN NOT is_absent(v[9]) THEN v[9] ELSE a[2] END AS item_id,
        CASE WHEN is_absent(a[3]) THEN v[12] ELSE a[3] END AS position
    FROM attributed
), typed AS (
    SELECT row_id, not_json, action_line,
        no_scalar(query_id) OR no_scalar(user_id) OR no_scalar(client_id) OR no_scalar(action) OR no_scalar(item_id)
            OR unreadable_time(time) AS wrong_type,
        as_id(event_id) AS logged_id, lower(as_id(action)) AS action, as_id(query_id) AS query_id,
        as_id(user_id) AS user_id, as_id(client_id) AS client_id, as_id(session_id) AS session_id,
        as_id(item_id) AS item_id, try_cast(as_id(position) AS BIGINT) AS position, as_time(time) AS time
    FROM named
)
SELECT * EXCLUDE (logged_id), coalesce(logged_id, md5(concat_ws(chr(31), coalesce(action, ''), coalesce(query_id, ''),
    coalesce(user_id, client_id, ''), coalesce(item_id, ''), coalesce(epoch_us(time)::VARCHAR, '')))) AS event_id
FROM typed
"""


def read_queries(engine: Any, source: str, target: str) -> Any:
    """``ubi_queries`` documents as a typed table of the engine.

    Args:
        engine: Ibis DuckDB backend, in UTC.
        source: Table of ``load_documents``.
        target: Table to create.

    Returns:
        ``target``: one row per document: ``row_id``, ``not_json``, ``action_line``, ``wrong_type``, ``query_id``,
        ``user_id``, ``client_id``, ``session_id``, ``query_text`` ('' where absent), ``time``, ``hits`` (a list with
        nulls where an element was null or blank; empty where absent) and the columns of ``LOCATION``.
    """
    create_macros(engine)
    create_place_macros(engine)
    engine.con.execute(_ATTRIBUTES.format(source=source))
    engine.con.execute(_QUERIES.format(source=source, target=target, places=places_sql("query_attributes")))
    return engine.table(target)


def read_events(engine: Any, source: str, target: str) -> Any:
    """``ubi_events`` documents as a typed table of the engine.

    Returns:
        ``target``: one row per document: ``row_id``, ``not_json``, ``action_line``, ``wrong_type``, ``action``,
        ``query_id``, ``user_id``, ``client_id``, ``session_id``, ``item_id``, ``position``, ``time``, ``event_id``.
    """
    create_macros(engine)
    engine.con.execute(_EVENTS.format(source=source, target=target))
    return engine.table(target)
