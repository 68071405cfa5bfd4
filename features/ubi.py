"""UBI 1.3 documents as typed tables: every field null where the log has none, nothing refused here.

Where a field is read from, first hit wins (UBI 1.3, its older names, and what exports make of it):

=============  ======================================================================================================
query_id       ``query_id``
user_id        ``user_id``
client_id      ``client_id``
session_id     ``session_id``
query_text     ``user_query``
hits           ``query_response_hit_ids``, ``query_response_object_ids`` (before 1.3); a list, or a list as JSON text
time           ``timestamp``, ``@timestamp``: ISO-8601 (no zone: UTC), HTTP's and logs' times, epochs of any unit
action         ``action_name``, lower case
item_id        ``event_attributes.object.object_id``, ``object_id``, ``event_attributes.object.internal_id``
position       ``event_attributes.position.ordinal``
event_id       ``event_id``, else a hash of action, query, user, item and time
location       ``query_attributes``, by the names in ``features.location``
=============  ======================================================================================================

Where a row has nothing there, or spells a key otherwise (``queryId``), ``features.log_fields`` looks for the field at
any level, be it an object, JSON as text, a map, key/value pairs or dotted keys; it finds the items of a basket as well.
User, client and session ids that many share ("0", "guest") are absent.
Documents under ``_source`` (scroll exports, elasticdump) are unwrapped, and bulk action lines (``{"index": {...}}``)
are marked as such. Ids that are numbers are read as text. ``wrong_type`` marks a row with a field that is there and
cannot be what it should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.json_macros import create_macros
from features.location import create_place_macros, places_sql
from features.log_fields import EVENT_FIELDS, EVENT_KEYS, QUERY_FIELDS, QUERY_KEYS, find_fields, odd_keys_sql
from infra.settings import GUEST_IDS

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
CREATE OR REPLACE TEMP TABLE {target}_picked AS
WITH bodies AS (SELECT row_id, document, body_of(document) AS body FROM {source}),
picked AS (SELECT row_id, document IS NULL AS not_json, is_action_line(document) AS action_line,
    md5(json(body)::VARCHAR) AS content,
    json_extract(body, ['$.query_id', '$.user_id', '$.client_id', '$.session_id', '$.user_query', '$.timestamp',
        '$."@timestamp"', '$.query_response_hit_ids', '$.query_response_object_ids', '$.user_agent',
        '$.query_attributes.user_agent', '$.query_attributes.userAgent']) AS v,
    coalesce({odd_keys}, false) AS odd
FROM bodies)
SELECT *, unless_blank(v) AS w FROM picked;
CREATE OR REPLACE TEMP TABLE {target}_odd AS
SELECT row_id, body_of(document) AS body FROM {source}
WHERE row_id IN (SELECT row_id FROM {target}_picked WHERE odd AND NOT action_line)
"""

_TYPED_QUERIES = """
CREATE OR REPLACE TABLE {target} AS
WITH named AS (
    SELECT row_id, not_json, action_line, content,
        coalesce(w[1], o.query_id, v[1]) AS query_id,
        coalesce(w[2], o.user_id, v[2]) AS user_id,
        coalesce(w[3], o.client_id, v[3]) AS client_id,
        coalesce(w[4], o.session_id, v[4]) AS session_id,
        coalesce(w[5], o.query_text, v[5]) AS query_text,
        coalesce(w[6], w[7], o.time, v[6]) AS time,
        coalesce(w[8], w[9], o.hits) AS hits,
        coalesce(as_id(v[10]), as_id(v[11]), as_id(v[12]), as_id(o.agent)) AS agent
    FROM {target}_picked LEFT JOIN {target}_elsewhere AS o USING (row_id)
), listed AS (
    SELECT *, json_type(opened(hits)) IS NOT DISTINCT FROM 'ARRAY' AS is_list,
        CASE WHEN is_list THEN json_extract(opened(hits), '$[*]') ELSE []::JSON[] END AS elements,
        as_time(time) AS time_read
    FROM named
)
SELECT row_id, not_json, action_line,
    no_scalar(query_id) OR no_person(user_id) OR no_person(client_id) OR no_scalar(query_text)
        OR unreadable_time(time, time_read)
        OR NOT (is_absent(hits) OR is_list) OR len(list_filter(elements, lambda e: no_scalar(e))) > 0 AS wrong_type,
    as_key(query_id) AS query_id, as_person(user_id, {guests}) AS user_id, as_person(client_id, {guests}) AS client_id,
    as_person(session_id, {guests}) AS session_id, coalesce(as_text(query_text), '') AS query_text,
    time_read AS time, list_transform(elements, lambda e: as_id(e)) AS hits, agent, content, country, language, zip,
    latitude, longitude
FROM listed LEFT JOIN ({places}) USING (row_id)
"""

_EVENTS = """
CREATE OR REPLACE TEMP MACRO names_text(t) AS
    regexp_matches(t, '(?i)"[a-z_. -]*(search[_ -]?(term|query)|query[_ -]?text|user[_ -]?query|query)"\\s*:');
CREATE OR REPLACE TEMP TABLE {target}_picked AS
WITH bodies AS (SELECT row_id, document, body_of(document) AS body FROM {source}),
picked AS (
    SELECT row_id, document IS NULL AS not_json, is_action_line(document) AS action_line,
        md5(json(body)::VARCHAR) AS content,
        json_extract(body, ['$.query_id', '$.user_id', '$.client_id', '$.session_id', '$.action_name',
            '$.timestamp', '$."@timestamp"', '$.event_id', '$.object_id', '$.event_attributes',
            '$."event_attributes.object.object_id"', '$."event_attributes.position.ordinal"', '$.user_query',
            '$.user_agent']) AS v,
        coalesce({odd_keys}, false) AS odd
    FROM bodies
), attributed AS (
    SELECT *, json_extract(opened(v[10]), ['$.object.object_id', '$.object.internal_id', '$.position.ordinal',
        '$.position', '$.user_query', '$.query', '$.user_agent', '$.browser']) AS a
    FROM picked
)
SELECT * EXCLUDE (b), coalesce(b[1], w[11], w[9], b[2]) AS named_item, coalesce(b[1], w[11], w[9], a[2]) AS item_id,
    odd OR coalesce(w[10] IS NOT NULL AND (named_item IS NULL OR contains(v[10]::VARCHAR, '[')
        OR w[13] IS NULL AND as_key(a[5]) IS NULL AND as_key(a[6]) IS NULL AND names_text(v[10]::VARCHAR)), false)
        AS elsewhere
FROM (SELECT *, unless_blank(v) AS w, unless_blank(a[:2]) AS b FROM attributed);
CREATE OR REPLACE TEMP TABLE {target}_odd AS
SELECT row_id, body_of(document) AS body FROM {source}
WHERE row_id IN (SELECT row_id FROM {target}_picked WHERE elsewhere AND NOT action_line)
"""

_TYPED_EVENTS = """
CREATE OR REPLACE TABLE {target} AS
WITH named AS (
    SELECT row_id, not_json, action_line, content,
        coalesce(w[1], o.query_id, v[1]) AS query_id,
        coalesce(w[2], o.user_id, v[2]) AS user_id,
        coalesce(w[3], o.client_id, v[3]) AS client_id,
        coalesce(w[4], o.session_id, v[4]) AS session_id,
        coalesce(w[5], o.action, v[5]) AS action,
        coalesce(w[6], w[7], o.time, v[6]) AS time,
        coalesce(as_id(v[8]), as_id(o.event_id)) AS logged_id,
        coalesce(p.named_item, o.item_id, p.item_id) AS item_id,
        coalesce(as_id(a[3]), as_id(v[12]), as_id(a[4]), as_id(o.position)) AS position,
        coalesce(as_key(v[13]), as_key(a[5]), as_key(a[6]), as_key(o.query_text)) AS query_text,
        coalesce(as_id(v[14]), as_id(a[7]), as_id(a[8]), as_id(o.agent)) AS agent,
        o.basket, coalesce(o.names_object, false) AS names_object
    FROM {target}_picked AS p LEFT JOIN {target}_elsewhere AS o USING (row_id)
), typed AS (
    SELECT row_id, not_json, action_line,
        no_scalar(query_id) OR no_person(user_id) OR no_person(client_id) OR no_scalar(action)
            OR no_scalar(item_id) AND basket IS NULL OR unreadable_time(time, time_read) AS wrong_type,
        logged_id, lower(as_id(action)) AS action, as_key(query_id) AS query_id,
        as_person(user_id, {guests}) AS user_id, as_person(client_id, {guests}) AS client_id,
        as_person(session_id, {guests}) AS session_id, as_key(item_id) AS item_id,
        try_cast(position AS BIGINT) AS position, time_read AS time, query_text, agent, content, basket,
        names_object
    FROM (SELECT *, as_time(time) AS time_read FROM named)
)
SELECT * EXCLUDE (logged_id), coalesce(logged_id, md5(concat_ws(chr(31), coalesce(action, ''), coalesce(query_id, ''),
    coalesce(user_id, client_id, ''), coalesce(item_id, ''), coalesce(epoch_us(time)::VARCHAR, ''),
    basket::VARCHAR))) AS event_id
FROM typed
"""


def read_queries(engine: Any, source: str, target: str, guests: Sequence[str] = GUEST_IDS) -> Any:
    """``ubi_queries`` documents as a typed table of the engine.

    Args:
        engine: Ibis DuckDB backend, in UTC.
        source: Table of ``load_documents``.
        target: Table to create.
        guests: ``settings.raw.guest_ids``: users, clients and sessions of these names (lower case) are absent.

    Returns:
        ``target``: one row per document: ``row_id``, ``not_json``, ``action_line``, ``wrong_type``, ``query_id``,
        ``user_id``, ``client_id``, ``session_id``, ``query_text`` ('' where absent), ``time``, ``hits`` (a list with
        nulls where an element was null or blank; empty where absent), ``agent`` (the user agent), ``content`` (equal
        for documents that are) and the columns of ``LOCATION``.
    """
    create_macros(engine)
    create_place_macros(engine)
    engine.con.execute(_ATTRIBUTES.format(source=source))
    engine.con.execute(_QUERIES.format(source=source, target=target, odd_keys=odd_keys_sql(QUERY_FIELDS, QUERY_KEYS)))
    find_fields(engine, f"{target}_odd", f"{target}_elsewhere", QUERY_FIELDS, lists=False)
    places = places_sql("query_attributes")
    engine.con.execute(_TYPED_QUERIES.format(target=target, places=places, guests=list(guests)))
    _drop(engine, target)
    return engine.table(target)


def read_events(engine: Any, source: str, target: str, guests: Sequence[str] = GUEST_IDS) -> Any:
    """``ubi_events`` documents as a typed table of the engine.

    Returns:
        ``target``: one row per document: ``row_id``, ``not_json``, ``action_line``, ``wrong_type``, ``action``,
        ``query_id``, ``user_id``, ``client_id``, ``session_id``, ``item_id``, ``position``, ``time``, ``event_id``,
        ``query_text`` (of the search, where the event carries it), ``agent``, ``content``, ``basket`` (the items of
        a list in it: ``item_id, position``; null where there is no list) and ``names_object``: whether a row without
        an item speaks of one.
    """
    create_macros(engine)
    odd_keys = odd_keys_sql(EVENT_FIELDS, EVENT_KEYS, lists=True)
    engine.con.execute(_EVENTS.format(source=source, target=target, odd_keys=odd_keys))
    find_fields(engine, f"{target}_odd", f"{target}_elsewhere", EVENT_FIELDS, lists=True)
    engine.con.execute(_TYPED_EVENTS.format(target=target, guests=list(guests)))
    _drop(engine, target)
    return engine.table(target)


def _drop(engine: Any, target: str) -> None:
    for name in ("picked", "odd", "elsewhere", "elsewhere_entries"):
        engine.con.execute(f"DROP TABLE {target}_{name}")
