"""Whether a day is complete: refused actions, fields that no row has, actions that nobody explained."""

from __future__ import annotations

from typing import Any

from features.screening import REASONS
from features.zero_positions import requests_from_zero
from infra.contract.ubi import HITS
from infra.settings import RawSettings

LOOKED_FOR = {
    "no_item": "event_attributes.object.object_id, object_id, item_id, product_id, sku, and lists of items",
    "names_no_item": "event_attributes.object.object_id, object_id, item_id, product_id, sku, and lists of items",
    "no_time": "timestamp, @timestamp, time",
    "no_query_id": "query_id",
    "no_user": "user_id, client_id",
    "no_text": "user_query",
}
"""Reason -> the names that a field was looked for by, in any spelling and at any level."""
NO_FORM = {
    "timestamp": "is no ISO 8601 or HTTP date and no number since 1970",
    "query_response_hit_ids": "is no list of ids",
}
"""Field -> what is wrong with a value of it; of the others that it is no single text or number."""
LEAST_REQUESTS = 10
"""Requests without any text from which that is no quiet day of people who browse."""
UNEXPLAINED_SHARE = 0.1
"""Rows of unknown actions for each request from which clicks may be among them."""
ROWS = 1_000
"""Rows whose keys are listed."""
KEYS = 20
"""Keys that a sentence lists."""


def bad_actions(engine: Any, raw: RawSettings) -> dict[str, str]:
    """The actions of which too many rows were refused, each with the commonest reason and an example.

    Views and clicks that name no item are ignored among others that do; where none does, the id was not found.

    Args:
        engine: Ibis DuckDB backend with ``screened_ubi_events`` and ``documents_ubi_events``.
        raw: Settings of the log.
    """
    share = max(raw.max_bad_share, raw.max_bad_action_share)
    refusals = [*REASONS, "names_no_item"]
    found = engine.con.execute(
        """
        WITH judged AS (
            SELECT kind, row_id, CASE WHEN list_contains($refusals, reason) THEN reason END AS reason
            FROM screened_ubi_events WHERE kind IN ('impression', 'click', 'cart', 'order')
                AND (reason IS NULL OR list_contains($refusals, reason))
        )
        SELECT kind, count(reason), count(*), mode(reason) FROM judged GROUP BY kind
        HAVING count(*) >= $least AND $share < 1 AND (count(reason) = count(*)
            OR count(reason) FILTER (reason <> 'names_no_item')
                / count(*) FILTER (reason IS DISTINCT FROM 'names_no_item') > $share)
        ORDER BY kind
        """,
        {"refusals": refusals, "least": raw.min_action_rows, "share": share},
    ).fetchall()
    told = {}
    for kind, refused, count, reason in found:
        ((example,),) = engine.con.execute(
            """SELECT left(raw, 300) FROM documents_ubi_events JOIN screened_ubi_events USING (row_id)
            WHERE kind = ? AND reason = ? ORDER BY row_id LIMIT 1""",
            [kind, reason],
        ).fetchall()
        looked = looked_for(engine, "ubi_events", reason) if refused == count else ""
        told[kind] = f"{refused:,} of {count:,} rows ({reason}), such as {example}{looked}"
    return told


def wrong_fields(engine: Any) -> tuple[str, ...]:
    """A sentence for each field that rows refused as ``wrong_type`` have in a form that is not read, for hits that no
    query has while there are lists of another name, and for positions that count from zero."""
    found = engine.con.execute(
        """
        SELECT split_part(wrong_field, ' ', 1) AS field, count(DISTINCT row_id), min(wrong_field) FROM (
            SELECT 'queries', row_id, wrong_field FROM screened_ubi_queries WHERE reason = 'wrong_type'
            UNION ALL SELECT 'events', row_id, wrong_field FROM screened_ubi_events WHERE reason = 'wrong_type'
        ) GROUP BY ALL ORDER BY 2 DESC, 1
        """
    ).fetchall()
    told = [
        f"{field} of {rows:,} {'row' if rows == 1 else 'rows'} {NO_FORM.get(field, 'is no single text or number')},"
        f" such as {example.removeprefix(field).strip()}"
        for field, rows, example in found
    ]
    if lists := _lists_instead_of_hits(engine):
        told.append(lists)
    if requests := requests_from_zero(engine, "raw_ubi_events"):
        told.append(
            f"positions of its events count from 0 in {requests:,} {'request' if requests == 1 else 'requests'}: each"
            " is read as one more, as UBI counts from 1"
        )
    return tuple(told)


def _lists_instead_of_hits(engine: Any) -> str:
    """A sentence where no query has hits, and some have a list under a name that is not looked for."""
    ((queries, with_hits),) = engine.con.execute(
        "SELECT count(*), count(*) FILTER (len(hits) > 0) FROM raw_ubi_queries WHERE row_id >= 0 AND NOT action_line"
    ).fetchall()
    if not queries or with_hits:
        return ""
    lists = engine.con.execute(
        f"""
        WITH bodies AS (
            SELECT body_of(document) AS body FROM documents_ubi_queries WHERE document IS NOT NULL LIMIT {ROWS}
        ),
        top AS (SELECT e.key, unfolded(e.value) AS value FROM bodies, json_each(body) AS e),
        every AS (
            FROM top UNION ALL
            SELECT top.key || '.' || e.key, unfolded(e.value) FROM top, json_each(top.value) AS e
            WHERE json_type(top.value) = 'OBJECT'
        )
        SELECT key, left(min(value::VARCHAR), 80) FROM every
        WHERE json_type(value) = 'ARRAY' AND json_array_length(value) > 0 AND NOT list_contains($hits, key)
        GROUP BY key ORDER BY count(*) DESC, key LIMIT {KEYS}
        """,
        {"hits": list(HITS)},
    ).fetchall()
    if not lists:
        return ""
    named = ", ".join(f"{key} (such as {example})" for key, example in lists)
    return (
        f"none of its {queries:,} {'query' if queries == 1 else 'queries'} has hits (looked for: {', '.join(HITS)}),"
        f" while there are lists in {named}: if one of these is what was shown, rename it query_response_hit_ids"
    )


def what_all_rows_lack(engine: Any, raw: RawSettings) -> str:
    """A sentence where no request has a text, all queries are refused for one reason, or no action is known.

    Args:
        engine: Ibis DuckDB backend with the screened rows and their documents.
        raw: Settings of the log.
    """
    ((all_requests, requests, texts, reasons, reason, refused),) = engine.con.execute(
        """
        SELECT count(*) FILTER (leads), count(*) FILTER (leads AND row_id >= 0),
            count(*) FILTER (leads AND row_id >= 0 AND trim(query_text) <> ''),
            count(DISTINCT reason) FILTER (list_contains($reasons, reason)),
            any_value(reason) FILTER (list_contains($reasons, reason)),
            count(*) FILTER (list_contains($reasons, reason))
        FROM screened_ubi_queries
        """,
        {"reasons": list(REASONS)},
    ).fetchall()
    if not requests and reasons == 1 and refused >= raw.min_action_rows and reason in LOOKED_FOR:
        return f"all {refused:,} rows of its queries are refused ({reason}){looked_for(engine, 'ubi_queries', reason)}"
    if requests >= LEAST_REQUESTS and not texts:
        return f"none of its {requests:,} requests has a text{looked_for(engine, 'ubi_queries', 'no_text')}"
    known, unknown, names = engine.con.execute(
        """
        WITH counts AS (
            SELECT kind, action, count(*) AS n FROM screened_ubi_events
            WHERE reason IS NULL AND kind IN ('click', 'cart', 'order') OR reason = 'unknown_action' GROUP BY ALL
        )
        SELECT coalesce(sum(n) FILTER (kind IS NOT NULL), 0), coalesce(sum(n) FILTER (kind IS NULL), 0),
            array_to_string(list(format('{} {:,}', action, n) ORDER BY n DESC, action) FILTER (kind IS NULL)[:6], ', ')
        FROM counts
        """
    ).fetchall()[0]
    if not known and unknown >= max(raw.min_action_rows, UNEXPLAINED_SHARE * all_requests):
        return (
            f"none of its events is a click, a cart or an order, and {unknown:,} are of actions that are not known"
            f" ({names}): all that it showed would count as not clicked. Say under [raw.actions] in shelfwise.toml what"
            " they are"
        )
    return ""


def looked_for(engine: Any, source: str, reason: str) -> str:
    """Where a field was looked for, and what keys the rows have; empty for a reason that is about no field."""
    names = LOOKED_FOR.get(reason)
    if names is None:
        return ""
    rows = engine.con.execute(
        f"""
        WITH bodies AS (SELECT body_of(document) AS body FROM documents_{source}
            WHERE document IS NOT NULL AND NOT is_action_line(document) LIMIT {ROWS}),
        keys AS (
            SELECT unnest(json_keys(body)) AS key FROM bodies WHERE json_type(body) = 'OBJECT'
            UNION ALL
            SELECT 'event_attributes.' || unnest(json_keys(attributes)) FROM (
                SELECT opened(json_extract(body, '$.event_attributes')) AS attributes FROM bodies)
            WHERE json_type(attributes) = 'OBJECT'
        )
        SELECT key FROM keys GROUP BY key ORDER BY count(*) DESC, key LIMIT {KEYS}
        """
    ).fetchall()
    return (
        f". Looked for: {names}; the rows have {', '.join(key for (key,) in rows)}: if one of these is it, rename it so"
    )
