"""Requests that no row of ``ubi_queries`` tells, made of the events that carry their text.

Shops lose rows of queries, and some log events alone. Two kinds of events tell a request:

- They name a query id that neither the day's queries nor earlier requests have: the id is the request's, its text the
  first of its events.
- They name none (or carry another text than their id's first): those of one person and text are one request until
  ``QUIET`` passes without any. Its id is a hash of person, text and first time, the same on each run. Where the person
  asked that text in a request that is known, the event takes that one's id instead.

A day that has rows of queries knows its searches: there only a click without an id makes a request, while carts and
orders may carry a text from long before and impressions may be of other lists than a search's. Hits stay empty, for
impression events are impressions anyway; what was shown besides nobody knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from features.compiled import EngineTable, engine_table, make_table, make_view, with_variables
from features.completeness import looked_for
from features.last_shown import LEAST_SESSION_CHARS
from features.screening import DayWindow, kind_of
from infra.contract.query_text import normalised

QUIET = timedelta(minutes=30)
"""Without an event for longer than this, the same person's same text is a request of its own; to a cart or an order the
attribution window applies instead."""
AHEAD = timedelta(minutes=1)
"""An event may be stamped before its request by this much."""
PREFIX = "rebuilt-"
"""Of the ids of requests whose events name none."""
KINDS = {
    "named": "by their query_id",
    "unnamed": "by person and text",
    "other_text": "by another text under a query_id that has one",
}
"""How the events of a request were told to be of one, and how that is said."""


def rebuild_requests(
    engine: Any, earlier: Mapping[str, EngineTable], window: DayWindow, actions: Mapping[str, str]
) -> None:
    """Add the requests that only events tell to ``raw_ubi_queries``, and name them in their ``raw_ubi_events``.

    Leaves the table ``rebuilt_requests`` (``row_id, how``, one of ``KINDS``); the rows made have ``row_id`` below 0,
    and all of them are within ``window``.

    Args:
        engine: Ibis DuckDB backend with the typed rows of ``features.ubi``.
        earlier: ``requests``, ``events`` and ``left_out`` of earlier landing days.
        window: The times of the day.
        actions: ``settings.raw.actions``.
    """
    con = engine.con
    con.execute("CREATE OR REPLACE TABLE rebuilt_requests (row_id BIGINT, how VARCHAR)")
    con.execute("CREATE OR REPLACE TABLE named_by_text (row_id BIGINT, query_id VARCHAR, had VARCHAR)")
    if not con.execute("SELECT 1 FROM raw_ubi_events WHERE query_text IS NOT NULL LIMIT 1").fetchall():
        return
    times = with_variables(engine, window)
    logged, events = (engine_table(engine, f"raw_{source}") for source in ("ubi_queries", "ubi_events"))
    queries = make_view(engine, "usable_queries", _usable_queries, logged, times)
    requests, left_out, done = (earlier[name] for name in ("requests", "left_out", "events"))
    known = make_table(engine, "known_ids", _known_ids, queries, requests, left_out)
    make_table(engine, "told_events", _told_events, events, known, times, actions)
    if con.execute("SELECT 1 FROM told_events LIMIT 1").fetchall():
        bounds = {"earliest": window.earliest, "latest": window.latest}
        con.execute(_NAMED_TEXTS_SQL)
        con.execute(_NAMED_SQL, bounds)
        con.execute(_NAMELESS_SQL, {"long": LEAST_SESSION_CHARS})
        asked = make_table(engine, "asked_texts", _asked_texts, queries, requests, engine_table(engine, "nameless"))
        make_table(engine, "done_events", _done_events, done, events, asked)
        gaps = {"quiet": QUIET, "window": window.attribution}
        con.execute(_ASKED_SQL, {"prefix": PREFIX, "long": LEAST_SESSION_CHARS})
        con.execute(_TAKEN_SQL, {"ahead": AHEAD, "long": LEAST_SESSION_CHARS, **gaps})
        con.execute(_CHAINED_SQL, {"prefix": PREFIX, **gaps})
        con.execute(_REQUESTS_SQL)
        con.execute(_WRITE_SQL)
    con.execute("DROP VIEW usable_queries")
    for table in _TEMPORARY:
        con.execute(f"DROP TABLE IF EXISTS {table}")


def rebuilt_counts(engine: Any) -> tuple[dict[str, int], int]:
    """Requests that were rebuilt, by kind, and the events without a query id that took one by their text.

    Args:
        engine: After ``rebuild_requests``, with ``screened_ubi_queries``.
    """
    requests = engine.con.execute(
        "SELECT how, count(*) FROM rebuilt_requests JOIN screened_ubi_queries USING (row_id) WHERE leads GROUP BY how"
    ).fetchall()
    ((events,),) = engine.con.execute("SELECT count(*) FROM named_by_text WHERE had IS NULL").fetchall()
    counts = dict(requests)
    return {kind: counts[kind] for kind in KINDS if kind in counts}, int(events)


def rebuilt_told(counts: Mapping[str, int]) -> str:
    """``12 by their query_id, 3 by person and text``: what ``rebuilt_counts`` gives, as people read it."""
    return ", ".join(f"{counts[kind]:,} {said}" for kind, said in KINDS.items() if counts.get(kind))


def why_none_rebuilt(engine: Any) -> str:
    """Why a day without rows of queries has no request all the same; empty where its events told some."""
    ((made, rows, texts, times, people),) = engine.con.execute(
        "SELECT (SELECT count(*) FROM rebuilt_requests), count(*), count(query_text),"
        " count(time) FILTER (query_text IS NOT NULL),"
        " count(coalesce(query_id, user_id, client_id, session_id)) FILTER (query_text IS NOT NULL)"
        " FROM raw_ubi_events WHERE NOT action_line"
    ).fetchall()
    if made:
        return ""
    if not rows:
        return "there is none of events either"
    if texts:
        return (
            f"none of the {texts:,} events that carry a text (user_query) can be read as one of a search of that day:"
            f" {times:,} of them have a readable time, {people:,} a query_id or somebody who did it"
            f"{looked_for(engine, 'ubi_events', 'no_user' if times else 'no_time')}"
        )
    return (
        f"none of its {rows:,} events carries user_query, so that no request can be rebuilt from them either. Land its"
        " ubi_queries as well, or log user_query with each event; a log that calls these otherwise becomes UBI by"
        " shelfwise import own"
    )


def _usable_queries(queries: Any, window: DayWindow) -> Any:
    return queries.filter(_usable(queries), queries.query_id.notnull(), _within(queries.time, window))


def _known_ids(queries: Any, *earlier: Any) -> Any:
    known = queries.select("query_id")
    for table in earlier:
        known = known.union(table.select("query_id"))
    return known.distinct()


def _told_events(events: Any, known: Any, window: DayWindow, actions: Mapping[str, str]) -> Any:
    told = events.filter(_usable(events), events.query_text.notnull()).anti_join(known, "query_id")
    told = told.mutate(text=normalised(told.query_text).nullif(""), kind=kind_of(told.action, actions))
    told = told.filter(told.text.notnull(), told.time.isnull() | _within(told.time, window))
    return told.select(*_TOLD, "text", "kind")


def _asked_texts(queries: Any, earlier: Any, nameless: Any) -> Any:
    person = ["query_id", "user_id", "client_id", "session_id", "time"]
    asked = queries.select(*person, text=normalised(queries.query_text))
    return asked.union(earlier.select(*person, text=earlier["query"])).semi_join(nameless, "text")


def _done_events(earlier: Any, events: Any, asked: Any) -> Any:
    return earlier.select("query_id", "time").union(events.select("query_id", "time")).semi_join(asked, "query_id")


def _usable(rows: Any) -> Any:
    return ~(rows.action_line | rows.not_json | rows.wrong_type)


def _within(time: Any, window: DayWindow) -> Any:
    return (time >= window.earliest) & (time < window.latest)


_TOLD = ("row_id", "query_id", "user_id", "client_id", "session_id", "time", "query_text", "event_id", "agent")
_TEMPORARY = ("known_ids", "told_events", "named_texts", "named_members", "nameless", "asked_texts", "done_events",
              "asked_by", "chained", "rebuilt")  # fmt: skip

_NAMED_TEXTS_SQL = """
CREATE OR REPLACE TEMP TABLE named_texts AS
SELECT query_id, first(text ORDER BY time, row_id) AS text FROM told_events WHERE query_id IS NOT NULL
GROUP BY query_id
"""

_NAMED_SQL = """
CREATE OR REPLACE TEMP TABLE named_members AS
SELECT query_id, row_id, e.time, e.user_id, e.client_id, e.session_id, e.agent, t.query_text
FROM raw_ubi_events AS e JOIN named_texts AS n USING (query_id) LEFT JOIN told_events AS t USING (row_id, query_id)
WHERE NOT (action_line OR not_json OR wrong_type) AND (e.time IS NULL OR e.time >= $earliest AND e.time < $latest)
    AND (t.text IS NULL OR t.text = n.text)
"""

# An impression of nobody belongs to a list that nobody knows; a click of nobody is a search of its own.
_NAMELESS_SQL = """
CREATE OR REPLACE TEMP TABLE nameless AS
WITH logged AS (SELECT count(*) > 0 AS queries FROM raw_ubi_queries WHERE NOT action_line)
SELECT t.*, n.query_id IS NOT NULL AS other_text,
    NOT queries OR other_text OR kind IS NOT DISTINCT FROM 'click' AS starts,
    coalesce('client ' || client_id, 'user ' || user_id, CASE WHEN length(session_id) >= $long
        THEN 'session ' || session_id END) AS person, coalesce(person, 'event ' || event_id) AS who
FROM told_events AS t LEFT JOIN named_texts AS n USING (query_id), logged
WHERE time IS NOT NULL AND (t.query_id IS NULL OR t.text <> n.text)
    AND (kind IS DISTINCT FROM 'impression' OR person IS NOT NULL AND starts)
"""

_ASKED_SQL = """
CREATE OR REPLACE TEMP TABLE asked_by AS
WITH asked AS (
    SELECT *, time AS until FROM asked_texts
    UNION ALL BY NAME
    SELECT query_id, first(user_id ORDER BY time, row_id) FILTER (user_id IS NOT NULL) AS user_id,
        first(client_id ORDER BY time, row_id) FILTER (client_id IS NOT NULL) AS client_id,
        first(session_id ORDER BY time, row_id) FILTER (session_id IS NOT NULL) AS session_id, min(time) AS time,
        any_value(text) AS text, max(time) AS until
    FROM named_members JOIN named_texts USING (query_id) GROUP BY query_id HAVING min(time) IS NOT NULL
), lasting AS (
    SELECT asked.* EXCLUDE (until), greatest(time, until, last) AS last, NOT starts_with(query_id, $prefix) AS logged
    FROM asked LEFT JOIN (SELECT query_id, max(time) AS last FROM done_events GROUP BY query_id) USING (query_id)
)
FROM (
    SELECT *, 'client ' || client_id AS identity FROM lasting WHERE client_id IS NOT NULL
    UNION ALL SELECT *, 'user ' || user_id FROM lasting WHERE user_id IS NOT NULL
    UNION ALL SELECT *, 'session ' || session_id FROM lasting WHERE length(session_id) >= $long
) QUALIFY row_number() OVER (PARTITION BY text, identity, time ORDER BY query_id DESC) = 1
"""

_TAKEN_SQL = """
INSERT INTO named_by_text
WITH identified AS (
    SELECT *, 'client ' || client_id AS identity FROM nameless WHERE client_id IS NOT NULL
    UNION ALL SELECT *, 'user ' || user_id FROM nameless WHERE user_id IS NOT NULL
    UNION ALL SELECT *, 'session ' || session_id FROM nameless WHERE length(session_id) >= $long
), met AS (
    SELECT e.row_id, e.query_id AS had, e.kind, e.time, e.user_id, a.* RENAME (time AS asked_at, user_id AS asker)
    FROM identified AS e ASOF JOIN asked_by AS a
        ON e.text = a.text AND e.identity = a.identity AND e.time >= a.time
    UNION ALL
    SELECT e.row_id, e.query_id, e.kind, e.time, e.user_id, a.*
    FROM identified AS e ASOF JOIN asked_by AS a
        ON e.text = a.text AND e.identity = a.identity AND e.time + $ahead >= a.time
)
SELECT row_id, query_id, had FROM met
WHERE time <= last + CASE WHEN logged OR kind IN ('cart', 'order') THEN $window ELSE $quiet END
    -- two people may share a browser
    AND coalesce(user_id = asker OR asker = client_id, true)
QUALIFY row_number() OVER (PARTITION BY row_id ORDER BY asked_at <= time DESC, asked_at DESC, query_id DESC) = 1
"""

_CHAINED_SQL = """
CREATE OR REPLACE TEMP TABLE chained AS
WITH parts AS (
    SELECT *, coalesce(time - lag(time) OVER told
        > CASE WHEN kind IN ('cart', 'order') THEN $window ELSE $quiet END, true) AS is_new
    FROM nameless ANTI JOIN named_by_text USING (row_id)
    WINDOW told AS (PARTITION BY who, text ORDER BY time, kind IN ('cart', 'order') NULLS FIRST, row_id)
), turns AS (
    SELECT *, sum(is_new::BIGINT) OVER (PARTITION BY who, text ORDER BY time, kind IN ('cart', 'order') NULLS FIRST,
        row_id ROWS UNBOUNDED PRECEDING) AS turn
    FROM parts
)
SELECT * EXCLUDE (query_id), query_id AS had, $prefix || md5(concat_ws(chr(31), who, text,
        epoch_us(min(time) OVER (PARTITION BY who, text, turn)))) AS query_id
FROM turns QUALIFY bool_or(starts) OVER (PARTITION BY who, text, turn)
"""

# Of a shared id the request is of the first client, and of whom and of which session that client's events say.
_REQUESTS_SQL = """
CREATE OR REPLACE TEMP TABLE rebuilt AS
WITH members AS (
    SELECT *, 'named' AS how FROM named_members
    UNION ALL BY NAME
    SELECT query_id, row_id, time, user_id, client_id, session_id, agent, query_text,
        CASE WHEN bool_or(other_text) OVER (PARTITION BY query_id) THEN 'other_text' ELSE 'unnamed' END AS how
    FROM chained
), firsts AS (
    SELECT query_id, how, min(time) AS time,
        first(query_text ORDER BY time, row_id) FILTER (query_text IS NOT NULL) AS query_text,
        first(client_id ORDER BY time, row_id) FILTER (client_id IS NOT NULL) AS client_id
    FROM members GROUP BY ALL HAVING min(time) IS NOT NULL
), told AS (
    SELECT query_id, f.how, f.time, f.query_text, f.client_id,
        first(m.user_id ORDER BY m.time, row_id) FILTER (m.user_id IS NOT NULL) AS user_id,
        first(m.session_id ORDER BY m.time, row_id) FILTER (m.session_id IS NOT NULL) AS session_id,
        first(m.agent ORDER BY m.time, row_id) FILTER (m.agent IS NOT NULL) AS agent
    FROM firsts AS f JOIN members AS m USING (query_id)
    WHERE m.client_id IS NULL OR m.client_id = f.client_id GROUP BY ALL
)
SELECT *, -row_number() OVER (ORDER BY time, query_id) AS row_id FROM told
"""

_WRITE_SQL = """
INSERT INTO rebuilt_requests SELECT row_id, how FROM rebuilt;
INSERT INTO raw_ubi_queries BY NAME
SELECT * EXCLUDE (how), false AS not_json, false AS action_line, false AS wrong_type, []::VARCHAR[] AS hits,
    query_id AS content
FROM rebuilt;
INSERT INTO named_by_text SELECT row_id, query_id, had FROM chained;
UPDATE raw_ubi_events SET query_id = n.query_id FROM named_by_text AS n WHERE raw_ubi_events.row_id = n.row_id
"""
