"""Steps of visitors - searches, lists, clicks, carts, orders - as UBI: the sessions of sources that have no query id.

A search repeated within half an hour (a reload, the next page) is one request. A list that follows a search on the same
page, or says by its name that it is one of results, is a response of that request. An item's event belongs to the
visit's last request that showed the item, else to its last request within half an hour, else to none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from features.adapters.base import ImportRequest, Loaded, count, watched

STEPS: Mapping[str, str] = {
    "source_event": "VARCHAR",
    "kind": "VARCHAR",
    "reason": "VARCHAR",
    "dt": "DATE",
    "time": "TIMESTAMPTZ",
    "user_id": "VARCHAR",
    "client_id": "VARCHAR",
    "session_id": "VARCHAR",
    "query_id": "VARCHAR",
    "query_text": "VARCHAR",
    "page": "VARCHAR",
    "list_name": "VARCHAR",
    "event_id": "VARCHAR",
    "order_id": "VARCHAR",
    "user_agent": "VARCHAR",
    "country": "VARCHAR",
    "language": "VARCHAR",
    "items": "STRUCT(item_id VARCHAR, position BIGINT, title VARCHAR, brand VARCHAR, category VARCHAR,"
    " price VARCHAR)[]",
}
"""Columns of the table ``steps``, in which an adapter hands over one row per row of its source.

``kind``: search, list, click (in a list), view (of an item's own page), cart, order, or null for an event of no use.
``reason``: why an event of use is left out all the same. ``dt``: its day folder, null: the UTC day. ``query_id``: the
source's own, where it has one. ``event_id``: equal for what was delivered twice; ``order_id``: for what was sent twice.
``items``: with what is known of them, where a catalogue is wanted; ``position`` counts from the source's own start.
"""
SEARCH_LISTS = "search|such|recherche|búsqueda|busqueda|ricerca|zoek|query|result"
"""A list whose name has one of these is one of a search."""
OTHER_LISTS = "recommend|related|similar|cross|upsell|up-sell|recent|also|promo|banner|personal|complete|bought|wish"
ACTIONS = {"click": "click", "view": "click", "cart": "add_to_cart", "order": "purchase"}


def create_steps(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty table ``steps``."""
    columns = ", ".join(f"{name} {kind}" for name, kind in STEPS.items())
    connection.execute(f"CREATE TABLE steps ({columns})")


def ubi_of_steps(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, rows_in: int, notes: Sequence[str] = ()
) -> Loaded:
    """The tables of UBI that the table ``steps`` makes.

    Args:
        connection: DuckDB with ``steps`` filled.
        request: The import.
        rows_in: Rows that were read from the source.
        notes: What the adapter has to say.
    """
    sessions = count(connection, "SELECT count(*) FROM steps WHERE kind IS NOT NULL AND session_id IS NULL")
    with watched(connection, request.progress, "putting visits together"):
        connection.execute(_VISITS_SQL.format(session="session_id IS NULL" if sessions else "false"))
        connection.execute(_SEARCHES_SQL)
        connection.execute(_LISTS_SQL)
    with watched(connection, request.progress, "finding the request of each event"):
        connection.execute(_EVENTS_SQL)
        connection.execute(_TABLES_SQL)
    catalog = None
    if request.wants_catalog and count(connection, "SELECT count(*) FROM items_seen"):
        catalog = "items_seen"
    return Loaded(
        rows_in=rows_in,
        became="steps_became",
        queries="journey_queries",
        events="journey_events",
        catalog=catalog,
        notes=[*notes, *_notes(connection, catalog)],
    )


def _notes(connection: duckdb.DuckDBPyConnection, catalog: str | None) -> list[str]:
    searches, responses, clicks, events = (
        count(connection, query)
        for query in (
            "SELECT count(DISTINCT query_id) FROM journey_queries",
            "SELECT count(*) FROM journey_queries WHERE len(query_response_hit_ids) > 0",
            "SELECT count(*) FROM item_events WHERE kind = 'click'",
            "SELECT count(*) FROM item_events WHERE NOT again",
        )
    )
    told = []
    if not searches:
        told.append("There is no search among the events: without requests nothing can be learned of this log.")
    elif not responses:
        told.append(
            "No list of results was logged, so nobody knows what was shown and not clicked: training has no unclicked"
            " items and positions are unknown. Log the items of each result list to change that."
        )
    by_how = dict(connection.execute("SELECT how, count(*) FROM item_events WHERE NOT again GROUP BY how").fetchall())
    if events:
        parts = ", ".join(
            f"{by_how.get(how, 0):,} {what}"
            for how, what in (
                ("named", "name their request"),
                ("shown", "are of an item that the visit's last such request showed"),
                ("last", "follow a search by half an hour at most, which may not have shown the item"),
                ("none", "belong to no search"),
            )
            if by_how.get(how)
        )
        told.append(f"Of {events:,} clicks, carts and orders, {parts}.")
    if events and not clicks and count(connection, "SELECT count(*) FROM item_events WHERE kind = 'view'"):
        told.append("Clicks in lists were not logged: views of an item's own page count as clicks.")
    if catalog:
        told.append(
            "What the events say of items was written as a catalogue into each day's folder: it knows only items that"
            " were shown or bought. A catalogue of the shop, catalog.* in the folder, is better; take these away then."
        )
    return told


_VISITS_SQL = """
CREATE TABLE journey AS
WITH usable AS (
    SELECT rowid AS step, *, coalesce(client_id, user_id) AS visitor,
        list_filter(items, lambda i: i.item_id IS NOT NULL) AS named_items
    FROM steps WHERE kind IS NOT NULL AND reason IS NULL
), judged AS (
    SELECT * EXCLUDE (items, named_items, reason), named_items AS items, CASE
        WHEN time IS NULL THEN 'left out: no readable time'
        WHEN kind NOT IN ('search', 'list') AND coalesce(len(named_items), 0) = 0 THEN 'left out: names no item'
        WHEN kind = 'search' AND trim(coalesce(query_text, '')) = '' AND coalesce(len(named_items), 0) = 0
            THEN 'left out: a search without a text'
        WHEN visitor IS NULL AND query_id IS NULL AND kind <> 'search' THEN 'left out: names no visitor'
        WHEN event_id IS NOT NULL AND row_number() OVER (PARTITION BY event_id ORDER BY time, step) > 1
            THEN 'left out: delivered twice'
        WHEN kind = 'order' AND order_id IS NOT NULL
            AND row_number() OVER (PARTITION BY kind, visitor, order_id ORDER BY time, step) > 1
            THEN 'left out: the order was sent before' END AS reason
    FROM usable
), gaps AS (
    SELECT *, CASE WHEN {session} THEN sum(CASE WHEN gap > INTERVAL 30 MINUTE THEN 1 ELSE 0 END) OVER (
        PARTITION BY visitor, session_id ORDER BY time, step) END AS turn
    FROM (SELECT *, CASE WHEN {session} THEN time - lag(time) OVER (PARTITION BY visitor, session_id
        ORDER BY time, step) END AS gap FROM judged)
)
SELECT * EXCLUDE (gap, turn), CASE WHEN visitor IS NOT NULL
    THEN concat_ws(chr(31), visitor, session_id, turn) ELSE 'step ' || step END AS visit
FROM gaps;
"""

_SEARCHES_SQL = """
CREATE TABLE searches AS
WITH texts AS (
    SELECT *, lower(trim(regexp_replace(coalesce(query_text, ''), '\\s+', ' ', 'g'))) AS text
    FROM journey WHERE kind = 'search' AND reason IS NULL
), runs AS (
    SELECT *, lag(text) OVER visits IS DISTINCT FROM text
        OR time - lag(time) OVER visits > INTERVAL 30 MINUTE AS is_new
    FROM texts WINDOW visits AS (PARTITION BY visit ORDER BY time, step)
)
SELECT * EXCLUDE (query_id, is_new, text), coalesce(query_id, last_value(CASE WHEN is_new
    THEN md5(concat_ws(chr(31), visit, epoch_us(time), text)) END IGNORE NULLS) OVER (
        PARTITION BY visit ORDER BY time, step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS query_id,
    split_part(split_part(page, '#', 1), '?', 1) AS path
FROM runs;
"""

_LISTS_SQL = f"""
CREATE TABLE lists AS
WITH paths AS (
    SELECT *, split_part(split_part(page, '#', 1), '?', 1) AS path, time + INTERVAL 2 SECOND AS known_by
    FROM journey WHERE kind = 'list' AND reason IS NULL AND len(items) > 0
)
SELECT l.* EXCLUDE (query_id), greatest(l.time, s.time) AS shown_at, s.query_text AS asked, coalesce(own.query_id, CASE
    WHEN s.query_id IS NULL OR l.time - s.time > INTERVAL 30 MINUTE THEN NULL
    WHEN regexp_matches(lower(l.list_name), '{OTHER_LISTS}') THEN NULL
    WHEN regexp_matches(lower(l.list_name), '{SEARCH_LISTS}') OR l.path = s.path
        OR l.list_name IS NULL AND (l.path IS NULL OR s.path IS NULL) THEN s.query_id END) AS query_id
FROM paths AS l ASOF LEFT JOIN searches AS s ON l.visit = s.visit AND l.known_by >= s.time
LEFT JOIN (SELECT DISTINCT query_id FROM searches) AS own ON l.query_id = own.query_id;
"""

_EVENTS_SQL = """
CREATE TABLE item_events AS
WITH opened AS (
    SELECT * EXCLUDE (items, query_id),
        CASE WHEN query_id IN (SELECT query_id FROM searches) THEN query_id END AS query_id,
        unnest(range(len(items))) AS place,
        unnest(list_transform(items, lambda i: {'item_id': i.item_id, 'position': i.position})) AS item
    FROM journey WHERE kind IN ('click', 'view', 'cart', 'order') AND reason IS NULL
), clicked AS (
    SELECT visit, item.item_id AS item_id, time FROM opened WHERE kind = 'click'
), once AS (
    SELECT o.*, o.item.item_id AS item_id, o.item.position AS position, o.kind = 'view'
        AND coalesce(o.time - c.time <= INTERVAL 30 MINUTE, false) AS again
    FROM opened AS o ASOF LEFT JOIN clicked AS c
        ON o.visit = c.visit AND o.item.item_id = c.item_id AND o.time + INTERVAL 1 SECOND >= c.time
), shown AS (
    SELECT s.visit, s.time - INTERVAL 2 SECOND AS time, s.query_id, i.item_id FROM (
        SELECT visit, time, query_id, unnest(items) AS i FROM searches WHERE len(items) > 0
        UNION ALL SELECT visit, shown_at, query_id, unnest(items) FROM lists WHERE query_id IS NOT NULL
    ) AS s WHERE s.visit IN (SELECT visit FROM opened)
)
SELECT o.* EXCLUDE (query_id), CASE WHEN o.query_id IS NOT NULL THEN 'named' WHEN l.query_id IS NOT NULL THEN 'shown'
    WHEN s.query_id IS NOT NULL AND o.time - s.time <= INTERVAL 30 MINUTE THEN 'last' ELSE 'none' END AS how,
    CASE how WHEN 'named' THEN o.query_id WHEN 'shown' THEN l.query_id WHEN 'last' THEN s.query_id END AS query_id
FROM once AS o
ASOF LEFT JOIN shown AS l ON o.visit = l.visit AND o.item_id = l.item_id AND o.time >= l.time
ASOF LEFT JOIN searches AS s ON o.visit = s.visit AND o.time >= s.time;
"""

_WHENS = " ".join(f"WHEN '{kind}' THEN '{name}'" for kind, name in ACTIONS.items())
_TABLES_SQL = f"""
CREATE VIEW journey_queries AS
WITH answers AS (
    SELECT query_id, user_id, client_id, session_id, query_text, time, items, user_agent, country, language, dt
    FROM searches
    UNION ALL BY NAME
    SELECT query_id, user_id, client_id, session_id, coalesce(asked, query_text) AS query_text, shown_at AS time, items,
        user_agent, country, language, dt FROM lists WHERE query_id IS NOT NULL
)
SELECT query_id, user_id, client_id, session_id, coalesce(query_text, '') AS user_query, time AS timestamp,
    list_transform(list_sort(list_transform(coalesce(items, []), lambda i, n: {{'position': coalesce(i.position, n),
        'n': n, 'item_id': i.item_id}})), lambda i: i.item_id) AS query_response_hit_ids, user_agent,
    CASE WHEN coalesce(country, language) IS NOT NULL THEN {{'country': country, 'language': language}} END
        AS query_attributes, coalesce(dt, (time AT TIME ZONE 'UTC')::DATE) AS dt
FROM answers;
CREATE VIEW journey_events AS
SELECT CASE kind {_WHENS} END AS action_name, query_id, user_id, client_id, session_id, time AS timestamp,
    coalesce(event_id, md5(concat_ws(chr(31), kind, visit, epoch_us(time), step)))
        || CASE WHEN place > 0 THEN '#' || place ELSE '' END AS event_id,
    item_id AS object_id, position AS "event_attributes.position.ordinal", user_agent,
    coalesce(dt, (time AT TIME ZONE 'UTC')::DATE) AS dt
FROM item_events WHERE NOT again;
CREATE TABLE items_seen AS
SELECT dt, item_id, arg_max(title, time) AS title, arg_max(brand, time) AS brand, arg_max(category, time) AS category,
    arg_max(price, time) AS price
FROM (
    SELECT coalesce(dt, (time AT TIME ZONE 'UTC')::DATE) AS dt, time, unnest(items, recursive := true)
    FROM journey WHERE reason IS NULL OR reason LIKE '%list%'
) WHERE title IS NOT NULL GROUP BY ALL;
CREATE TABLE steps_became AS
WITH made AS (
    SELECT step, count(*) AS n FROM item_events WHERE NOT again GROUP BY step
), listed AS (
    SELECT step, query_id IS NOT NULL AS is_answer FROM lists
)
SELECT source_event, coalesce(reason, CASE kind
        WHEN 'search' THEN 'request'
        WHEN 'list' THEN CASE WHEN is_answer THEN 'list shown by a request' WHEN is_answer IS NULL
            THEN 'left out: names no item' ELSE 'left out: a list of no search' END
        WHEN 'view' THEN CASE WHEN n > 0 THEN 'click' ELSE 'left out: repeats the click in the list' END
        ELSE kind END) AS became,
    count(*) AS rows,
    count(*) FILTER (reason IS NULL AND (kind = 'search' OR is_answer)) + coalesce(sum(n), 0) AS written
FROM journey LEFT JOIN made USING (step) LEFT JOIN listed USING (step) GROUP BY ALL
UNION ALL
SELECT coalesce(source_event, 'row'), coalesce(reason, 'left out: an event of no use here'), count(*), 0
FROM steps WHERE kind IS NULL OR reason IS NOT NULL GROUP BY ALL;
"""
