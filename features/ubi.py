"""UBI 1.3 documents as typed tables: every field null where the log has none, nothing refused here.

``QUERY_PATHS`` and ``EVENT_PATHS`` say where a field is read from. Hits are a list, or a list as JSON text; times are
ISO-8601 (no zone: UTC), HTTP's and logs' times, and epochs of any unit; actions are lower case; an event without an id
gets a hash of action, query, user, item and time; the location comes from ``query_attributes``, by the names in
``features.location``.

Where a row has nothing there, or spells a key otherwise (``queryId``), ``features.log_fields`` looks for the field at
any level, be it an object, JSON as text, a map, key/value pairs or dotted keys; it finds the items of a basket as well.
User, client and session ids that many share ("0", "guest") are absent.
Documents under ``_source`` (scroll exports, elasticdump) are unwrapped, and bulk action lines (``{"index": {...}}``)
are marked as such. Ids that are numbers are read as text. ``wrong_type`` marks a row with a field that is there and
cannot be what it should be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

from features.json_macros import create_macros
from features.location import create_place_macros, places_sql
from features.log_fields import EVENT_FIELDS, EVENT_KEYS, QUERY_FIELDS, QUERY_KEYS, find_fields, odd_keys_sql
from features.parquet_rows import column_documents, read_plain
from features.zero_positions import count_from_one
from infra.settings import GUEST_IDS

_IDS = {name: (f"$.{name}",) for name in ("query_id", "user_id", "client_id", "session_id")}
_TIME = ("$.timestamp", '$."@timestamp"')
QUERY_PATHS: Mapping[str, Sequence[str]] = {
    **_IDS,
    "query_text": ("$.user_query",),
    "time": _TIME,
    "hits": ("$.query_response_hit_ids", "$.query_response_object_ids"),
    "agent": ("$.user_agent", "$.query_attributes.user_agent", "$.query_attributes.userAgent"),
}
EVENT_PATHS: Mapping[str, Sequence[str]] = {
    **_IDS,
    "action": ("$.action_name",),
    "time": _TIME,
    "event_id": ("$.event_id",),
    "item_id": ("$.event_attributes.object.object_id", '$."event_attributes.object.object_id"', "$.object_id",
                "$.event_attributes.object.internal_id"),
    "position": ("$.event_attributes.position.ordinal", '$."event_attributes.position.ordinal"',
                 "$.event_attributes.position"),
    "query_text": ("$.user_query", "$.event_attributes.user_query", "$.event_attributes.query"),
    "agent": ("$.user_agent", "$.event_attributes.user_agent", "$.event_attributes.browser"),
}  # fmt: skip
"""Field -> where it is usually, first hit wins: UBI 1.3, its older names, and what exports make of it."""
_ATTRIBUTES_PATH = "$.event_attributes"


def _places(fields: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What the SQL below has in braces to name what it extracts.

    ``{paths}`` are extracted from a row as the list ``given``, ``{attribute_paths}`` from its event attributes (which
    may be JSON as text) as ``given_attributes``. Blanks are null in ``filled`` and, for the item alone, whose paths
    come first, in ``filled_attributes``. Of a field, ``{filled.time}`` are its values without blanks, ``{ids.agent}``
    and ``{keys.query_text}`` its values read as such, ``{first.time}`` is the value at its first path.
    """
    every = [path for paths in fields.values() for path in paths]
    inside = [path for path in every if path.startswith(f"{_ATTRIBUTES_PATH}.")]
    outside = [path for path in every if path not in inside] + [_ATTRIBUTES_PATH] * bool(inside)

    def values(prefix: str, reader: str = "{}", most: int | None = None) -> SimpleNamespace:
        place = {path: f"{prefix}[{n}]" for n, path in enumerate(outside, start=1)}
        place |= {path: f"{prefix}_attributes[{n}]" for n, path in enumerate(inside, start=1)}
        return SimpleNamespace(**{f: ", ".join(reader.format(place[p]) for p in fields[f][:most]) for f in fields})

    return {
        "paths": outside,
        "attribute_paths": [path.replace(_ATTRIBUTES_PATH, "$", 1) for path in inside],
        "attributes": f"given[{len(outside)}]",
        "attributes_filled": f"filled[{len(outside)}]",
        "item_paths": len([path for path in inside if path in fields["item_id"]]),
        "filled": values("filled"),
        "first": values("given", most=1),
        "ids": values("given", "as_id({})"),
        "keys": values("given", "as_key({})"),
    }


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
    json_extract(body, {paths}) AS given, coalesce({odd_keys}, false) AS odd
FROM bodies)
SELECT *, unless_blank(given) AS filled FROM picked;
CREATE OR REPLACE TEMP TABLE {target}_odd AS
SELECT row_id, body_of(document) AS body FROM {source}
WHERE row_id IN (SELECT row_id FROM {target}_picked WHERE odd AND NOT action_line)
"""

_TYPED_QUERIES = """
CREATE OR REPLACE TABLE {target} AS
WITH named AS (
    SELECT row_id, not_json, action_line, content,
        coalesce({filled.query_id}, o.query_id) AS query_id,
        coalesce({filled.user_id}, o.user_id) AS user_id,
        coalesce({filled.client_id}, o.client_id) AS client_id,
        coalesce({filled.session_id}, o.session_id) AS session_id,
        coalesce({filled.query_text}, o.query_text, {first.query_text}) AS query_text,
        coalesce({filled.time}, o.time, {first.time}) AS time,
        coalesce({filled.hits}, o.hits) AS hits,
        coalesce({ids.agent}, as_id(o.agent)) AS agent
    FROM {target}_picked LEFT JOIN {target}_elsewhere AS o USING (row_id)
), listed AS (
    SELECT *, json_type(opened(hits)) IS NOT DISTINCT FROM 'ARRAY' AS is_list,
        CASE WHEN is_list THEN json_extract(opened(hits), '$[*]') ELSE []::JSON[] END AS elements,
        as_time(time) AS time_read
    FROM named
), typed AS (
    SELECT row_id, not_json, action_line,
        CASE WHEN no_scalar(query_id) THEN field_is('query_id', query_id)
            WHEN no_person(user_id) THEN field_is('user_id', user_id)
            WHEN no_person(client_id) THEN field_is('client_id', client_id)
            WHEN no_scalar(query_text) THEN field_is('user_query', query_text)
            WHEN unreadable_time(time, time_read) THEN field_is('timestamp', time)
            WHEN NOT (is_absent(hits) OR is_list) OR len(list_filter(elements, lambda e: no_scalar(e))) > 0
                THEN field_is('query_response_hit_ids', hits) END AS wrong_field, wrong_field IS NOT NULL AS wrong_type,
        as_key(query_id) AS query_id, as_person(user_id, {guests}) AS user_id,
        as_person(client_id, {guests}) AS client_id, as_person(session_id, {guests}) AS session_id,
        coalesce(as_text(query_text), '') AS query_text, time_read AS time,
        list_transform(elements, lambda e: as_id(e)) AS hits, agent, content
    FROM listed
)
SELECT every_row.*, country, language, zip, latitude, longitude
FROM (FROM typed UNION ALL BY NAME FROM {target}_plain) AS every_row LEFT JOIN ({located}) USING (row_id)
"""

_EVENTS = """
CREATE OR REPLACE TEMP TABLE {target}_picked AS
WITH bodies AS (SELECT row_id, document, body_of(document) AS body FROM {source}),
picked AS (
    SELECT row_id, document IS NULL AS not_json, is_action_line(document) AS action_line,
        md5(json(body)::VARCHAR) AS content,
        json_extract(body, {paths}) AS given, coalesce({odd_keys}, false) AS odd
    FROM bodies
), attributed AS (
    SELECT *, json_extract(opened({attributes}), {attribute_paths}) AS given_attributes FROM picked
), blanked AS (
    SELECT *, unless_blank(given) AS filled,
        unless_blank(given_attributes[:{item_paths}]) AS filled_attributes FROM attributed
)
SELECT * EXCLUDE (filled_attributes), coalesce({filled.item_id}) AS item_id,
    odd OR coalesce({attributes_filled} IS NOT NULL AND (item_id IS NULL OR contains({attributes}::VARCHAR, '[')
        OR coalesce({keys.query_text}) IS NULL AND names_text({attributes}::VARCHAR)), false) AS elsewhere
FROM blanked;
CREATE OR REPLACE TEMP TABLE {target}_odd AS
SELECT row_id, body_of(document) AS body FROM {source}
WHERE row_id IN (SELECT row_id FROM {target}_picked WHERE elsewhere AND NOT action_line)
"""

_TYPED_EVENTS = """
CREATE OR REPLACE TABLE {target} AS
WITH named AS (
    SELECT row_id, not_json, action_line, content,
        coalesce({filled.query_id}, o.query_id) AS query_id,
        coalesce({filled.user_id}, o.user_id) AS user_id,
        coalesce({filled.client_id}, o.client_id) AS client_id,
        coalesce({filled.session_id}, o.session_id) AS session_id,
        coalesce({filled.action}, o.action, {first.action}) AS action,
        coalesce({filled.time}, o.time, {first.time}) AS time,
        coalesce({ids.event_id}, as_id(o.event_id)) AS logged_id,
        coalesce(p.item_id, o.item_id) AS item_id,
        coalesce({ids.position}, as_id(o.position)) AS position,
        coalesce({keys.query_text}, as_key(o.query_text)) AS query_text,
        coalesce({ids.agent}, as_id(o.agent)) AS agent,
        o.basket, coalesce(o.names_object, false) AS names_object
    FROM {target}_picked AS p LEFT JOIN {target}_elsewhere AS o USING (row_id)
), typed AS (
    SELECT row_id, not_json, action_line,
        CASE WHEN no_scalar(query_id) THEN field_is('query_id', query_id)
            WHEN no_person(user_id) THEN field_is('user_id', user_id)
            WHEN no_person(client_id) THEN field_is('client_id', client_id)
            WHEN no_scalar(action) THEN field_is('action_name', action)
            WHEN no_scalar(item_id) AND basket IS NULL THEN field_is('object_id', item_id)
            WHEN unreadable_time(time, time_read) THEN field_is('timestamp', time) END AS wrong_field,
        wrong_field IS NOT NULL AS wrong_type,
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
FROM (FROM typed UNION ALL BY NAME FROM {target}_plain)
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
    places = _places(QUERY_PATHS)
    odd_keys = odd_keys_sql(QUERY_FIELDS, QUERY_KEYS)
    rest = f"{target}_rest"
    odd_columns = odd_keys_sql(QUERY_FIELDS, QUERY_KEYS, among="keys")
    read_plain(engine, source, target, QUERY_PATHS, odd_columns, guests)
    attributes = column_documents(engine, source, target, "query_attributes")
    engine.con.execute(_ATTRIBUTES.format(source=f"(FROM {rest} UNION ALL {attributes})"))
    engine.con.execute(_QUERIES.format(source=rest, target=target, odd_keys=odd_keys, **places))
    find_fields(engine, f"{target}_odd", f"{target}_elsewhere", QUERY_FIELDS, lists=False)
    located = places_sql("query_attributes")
    engine.con.execute(_TYPED_QUERIES.format(target=target, located=located, guests=list(guests), **places))
    _drop(engine, target)
    return engine.table(target)


def read_events(engine: Any, source: str, target: str, guests: Sequence[str] = GUEST_IDS) -> Any:
    """``ubi_events`` documents as a typed table of the engine.

    Returns:
        ``target``: one row per document: ``row_id``, ``not_json``, ``action_line``, ``wrong_type``, ``action``,
        ``query_id``, ``user_id``, ``client_id``, ``session_id``, ``item_id``, ``position`` (from one, see
        ``zero_positions``), ``time``, ``event_id``,
        ``query_text`` (of the search, where the event carries it), ``agent``, ``content``, ``basket`` (the items of
        a list in it: ``item_id, position``; null where there is no list) and ``names_object``: whether a row without
        an item speaks of one.
    """
    create_macros(engine)
    odd_keys = odd_keys_sql(EVENT_FIELDS, EVENT_KEYS, lists=True)
    places = _places(EVENT_PATHS)
    odd_columns = odd_keys_sql(EVENT_FIELDS, EVENT_KEYS, lists=True, among="keys")
    read_plain(engine, source, target, EVENT_PATHS, odd_columns, guests)
    engine.con.execute(_EVENTS.format(source=f"{target}_rest", target=target, odd_keys=odd_keys, **places))
    find_fields(engine, f"{target}_odd", f"{target}_elsewhere", EVENT_FIELDS, lists=True)
    engine.con.execute(_TYPED_EVENTS.format(target=target, guests=list(guests), **places))
    _drop(engine, target)
    count_from_one(engine, target)
    return engine.table(target)


def _drop(engine: Any, target: str) -> None:
    engine.con.execute(f"DROP VIEW {target}_rest")
    for name in ("picked", "odd", "elsewhere", "elsewhere_entries", "plain", "unplain"):
        engine.con.execute(f"DROP TABLE {target}_{name}")
