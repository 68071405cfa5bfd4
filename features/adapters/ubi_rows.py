"""UBI rows typed in one pass where they say everything at the usual places; the others are kept as documents.

The readers of ``features.ubi`` look for a field everywhere, which costs several times the reading. A row is *plain*
where they would find the same without looking: every field is at its usual place and of its usual type, and no key may
be another spelling of a field. A test holds both to the same result.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from features.log_fields import EVENT_FIELDS, EVENT_KEYS, QUERY_FIELDS, QUERY_KEYS, odd_keys_sql

_IDS = ("query_id", "user_id", "client_id", "session_id")
_OWN = (*_IDS, "user_query", "timestamp", "@timestamp", "user_agent", "action_name", "event_id", "object_id",
        "event_attributes.object.object_id", "event_attributes.position.ordinal")  # fmt: skip
_STRUCTURE = json.dumps(
    dict.fromkeys(_OWN, "VARCHAR")
    | {"query_response_hit_ids": ["VARCHAR"], "query_response_object_ids": ["VARCHAR"]}
    | {"query_attributes": "JSON", "event_attributes": "JSON"}
)
_ATTRIBUTES = json.dumps(
    {"object": {"object_id": "VARCHAR", "internal_id": "VARCHAR"}}
    | dict.fromkeys(("position", "user_query", "query", "user_agent", "browser"), "VARCHAR")
)

PLAIN_MACROS = r"""
-- what JSON has beside plain texts and whole numbers, once it was read as text: such rows are no plain ones
CREATE OR REPLACE TEMP MACRO suspicious(texts) AS
    regexp_matches(texts, '(^|\x1f)\s*([\[{]|(?i:true|false|nan)(\x1f|$)|-?\d+\.0(\x1f|$))');
-- the same for a list of ids, where one that is empty or has blanks around it is none either
CREATE OR REPLACE TEMP MACRO untidy(texts) AS regexp_matches(texts,
    '(^|\x1f)([\[{\s\x1f]|$|(?i:true|false|nan)(\x1f|$)|-?\d+\.0(\x1f|$))|\s(\x1f|$)');
-- IN and list_contains() of constants become joins, which look at the rows that a CASE spares, too
CREATE OR REPLACE TEMP MACRO is_among(t, listed) AS coalesce(list_position(listed, t), 0) > 0;
-- most ids are longer than any word for none, which spares lower() and trim()
CREATE OR REPLACE TEMP MACRO plain_key(t) AS CASE
    WHEN strlen(t) > 9 AND NOT starts_with(t, ' ') AND NOT ends_with(t, ' ') THEN t
    WHEN NOT is_among(lower(trim(t)), ['', 'null', 'none', 'undefined', 'nan']) THEN trim(t) END;
CREATE OR REPLACE TEMP MACRO plain_person(t, guests) AS CASE
    WHEN NOT is_among(lower(trim(t)), guests) THEN plain_key(t) END;
CREATE OR REPLACE TEMP MACRO plain_time(t) AS
    list_transform(list_transform([nullif(trim(t), '')], lambda s: parsed_time(s)), lambda m: within_reason(m))[1];
CREATE OR REPLACE TEMP MACRO unless_nested(t) AS CASE WHEN left(t, 1) NOT IN ('{', '[') THEN t END;
"""

_QUERY_PLAIN = """plain_key(s.query_id) IS NOT NULL AND (time IS NOT NULL OR given_time IS NULL)
    AND (NOT list_contains(keys, 'query_response_hit_ids') OR s.query_response_hit_ids IS NOT NULL)
    AND (NOT list_contains(keys, 'query_response_object_ids') OR s.query_response_object_ids IS NOT NULL)
    AND (len(hits) = 0 OR NOT untidy(array_to_string(hits, chr(31))))
    AND NOT suspicious(concat_ws(chr(31), s.query_id, s.user_id, s.client_id, s.session_id, s.user_query,
        given_time, s.user_agent))
    AND (s.user_agent IS NOT NULL OR s.query_attributes IS NULL OR NOT contains(lower(s.query_attributes), 'agent'))"""
_EVENT_PLAIN = """plain_key(s.action_name) IS NOT NULL AND (time IS NOT NULL OR given_time IS NULL)
    AND (s.event_attributes IS NULL OR starts_with(s.event_attributes, '{')
        AND item_id IS NOT NULL AND NOT contains(s.event_attributes, '['))
    AND NOT suspicious(concat_ws(chr(31), s.query_id, s.user_id, s.client_id, s.session_id, s.action_name, given_time,
        s.event_id, item_id, s.user_query, s.user_agent, a.user_query, a.query, a.user_agent, a.browser))"""

_SAYS_QUERY = """(list_has_any(keys, ['user_query', 'query_response_hit_ids', 'query_response_object_ids'])
    AND NOT list_has_any(keys, ['event_attributes', 'event_id', 'object_id']))"""
_ODD_QUERY = odd_keys_sql(QUERY_FIELDS, QUERY_KEYS, among="keys")
_ODD_EVENT = odd_keys_sql(EVENT_FIELDS, EVENT_KEYS, lists=True, among="keys")


def rows_sql(source: str, guests: Sequence[str]) -> str:
    """SQL of the rows of a source of ``json_rows``.

    ``kind`` is ubi_queries, ubi_events, action_line, not_json, or null where the row itself does not say. ``plain``:
    whether the columns say what the row says; else ``document`` has it, but for action lines.

    Args:
        source: One of ``json_source``.
        guests: As ``ubi.read_queries`` has them.
    """
    listed = list(guests)
    return f"""
WITH lines AS (
    SELECT CASE WHEN starts_with(ltrim(json), '{{') THEN json END AS json FROM {source}
), bodies AS (
    SELECT json, CASE WHEN contains(json, '"_source"') THEN body_of(json) ELSE json END AS body FROM lines
), parsed AS (
    SELECT json, json_transform(body, '{_STRUCTURE}') AS s, json_keys(body) AS keys FROM bodies
), told AS (
    SELECT *, CASE
        WHEN json IS NULL THEN 'not_json'
        WHEN CASE WHEN len(keys) = 1 THEN is_action_line(json) END THEN 'action_line'
        WHEN s.action_name IS NOT NULL THEN 'ubi_events'
        WHEN {_SAYS_QUERY} THEN 'ubi_queries' END AS kind,
        CASE WHEN kind = 'ubi_events' AND starts_with(s.event_attributes, '{{')
            THEN json_transform(s.event_attributes, '{_ATTRIBUTES}') END AS a
    FROM parsed
), named AS (
    SELECT *, coalesce(plain_key(s.timestamp), plain_key(s."@timestamp")) AS given_time,
        plain_time(given_time) AS time,
        coalesce(s.query_response_hit_ids, s.query_response_object_ids, []) AS hits,
        coalesce(plain_key(a.object.object_id), plain_key(s."event_attributes.object.object_id"),
            plain_key(s.object_id), plain_key(a.object.internal_id)) AS item_id,
        unless_nested(coalesce(CASE WHEN starts_with(a.position, '{{') THEN json_extract_string(a.position, '$.ordinal')
            END, s."event_attributes.position.ordinal", a.position)) AS position
    FROM told
), judged AS (
    SELECT *, coalesce(CASE kind
        WHEN 'ubi_queries' THEN NOT {_ODD_QUERY} AND {_QUERY_PLAIN}
        WHEN 'ubi_events' THEN NOT {_ODD_EVENT} AND {_EVENT_PLAIN} END, false) AS plain
    FROM named
)
SELECT kind, plain, CASE WHEN NOT plain AND kind IS DISTINCT FROM 'action_line' THEN json END AS document,
    plain_key(s.query_id) AS query_id, plain_person(s.user_id, {listed}) AS user_id,
    plain_person(s.client_id, {listed}) AS client_id, plain_person(s.session_id, {listed}) AS session_id,
    CASE kind WHEN 'ubi_queries' THEN coalesce(s.user_query, '') ELSE coalesce(plain_key(s.user_query),
        plain_key(a.user_query), plain_key(a.query)) END AS user_query,
    time, CASE WHEN plain THEN hits END AS hits, s.query_attributes,
    nullif(trim(coalesce(s.user_agent, a.user_agent, a.browser)), '') AS user_agent,
    lower(trim(s.action_name)) AS action, nullif(trim(s.event_id), '') AS event_id, item_id,
    try_cast(position AS BIGINT) AS position
FROM judged
"""


def untold_sql(source: str) -> str:
    """SQL of the rows whose kind ``rows_sql`` does not tell: ``row_id`` (their order), ``document``, ``index`` and
    ``id`` of their envelope (the row's own, else of the action line before it), ``spelt``: their keys in one spelling.
    """
    return f"""
WITH lines AS (
    SELECT row_number() OVER () AS row_id, json FROM {source}
), marked AS (
    SELECT row_id, json, json_keys(body_of(json)) AS keys, is_action_line(json) AS action_line
    FROM lines WHERE starts_with(ltrim(json), '{{')
), untold AS (
    SELECT * FROM marked WHERE NOT action_line AND NOT {_SAYS_QUERY}
        AND json_extract_string(body_of(json), '$.action_name') IS NULL
), envelopes AS (
    SELECT row_id, action_of(json) AS action FROM marked WHERE action_line
)
SELECT untold.row_id, json AS document,
    coalesce(json ->> '$._index', action ->> '$._index') AS index, coalesce(json ->> '$._id', action ->> '$._id') AS id,
    list_transform(keys, lambda k: spelling(k)) AS spelt
FROM untold ASOF LEFT JOIN envelopes ON untold.row_id > envelopes.row_id
"""
