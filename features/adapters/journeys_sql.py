"""The statements of ``journeys``: from ``steps`` to visits, requests, lists, events, and the tables of UBI.

Windows sort whole rows, so the long lists of items stay in ``steps`` until they are wanted.
"""

from __future__ import annotations

SEARCH_LISTS = "search|such|recherche|búsqueda|busqueda|ricerca|zoek|query|result"
"""A list whose name has one of these is one of a search."""
OTHER_LISTS = "recommend|related|similar|cross|upsell|up-sell|recent|also|promo|banner|personal|complete|bought|wish"
ACTIONS = {"click": "click", "view": "click", "cart": "add_to_cart", "order": "purchase", "shown": "impression"}
_WHENS = " ".join(f"WHEN '{kind}' THEN '{name}'" for kind, name in ACTIONS.items())

VISITS_SQL = """
CREATE TABLE usable AS
SELECT rowid AS step, * EXCLUDE (item_ids, positions, goods, reason), coalesce(client_id, user_id) AS visitor, CASE
    WHEN time IS NULL THEN 'left out: no readable time'
    WHEN kind NOT IN ('search', 'list') AND coalesce(len(item_ids), 0) = 0 THEN 'left out: names no item'
    WHEN kind = 'search' AND trim(coalesce(query_text, '')) = '' AND coalesce(len(item_ids), 0) = 0
        THEN 'left out: a search without a text'
    WHEN kind = 'list' AND coalesce(len(item_ids), 0) = 0 THEN 'left out: names no item'
    WHEN visitor IS NULL AND query_id IS NULL AND kind <> 'search' THEN 'left out: names no visitor' END AS reason
FROM steps WHERE kind IS NOT NULL AND reason IS NULL;
CREATE TABLE repeats AS
SELECT step, 'left out: delivered twice' AS why FROM usable
WHERE event_id IN (SELECT event_id FROM usable WHERE reason IS NULL GROUP BY event_id HAVING count(*) > 1)
    AND reason IS NULL
QUALIFY row_number() OVER (PARTITION BY event_id ORDER BY time, step) > 1;
INSERT INTO repeats
SELECT step, 'left out: the order was sent before' FROM usable ANTI JOIN repeats USING (step)
WHERE kind = 'order' AND order_id IS NOT NULL AND reason IS NULL
QUALIFY row_number() OVER (PARTITION BY visitor, order_id ORDER BY time, step) > 1;
CREATE TABLE journey AS
WITH judged AS (
    SELECT usable.* REPLACE (coalesce(why, reason) AS reason) FROM usable LEFT JOIN repeats USING (step)
), gaps AS (
    SELECT *, CASE WHEN {session} THEN sum(CASE WHEN gap > INTERVAL 30 MINUTE THEN 1 ELSE 0 END) OVER (
        PARTITION BY visitor, session_id ORDER BY time, step) END AS turn
    FROM (SELECT *, CASE WHEN {session} THEN time - lag(time) OVER (PARTITION BY visitor, session_id
        ORDER BY time, step) END AS gap FROM judged)
)
SELECT * EXCLUDE (gap, turn), hash(visitor, session_id, turn, CASE WHEN visitor IS NULL THEN step END) AS visit
FROM gaps;
DROP TABLE usable;
"""

SEARCHES_SQL = """
CREATE TABLE searches AS
WITH texts AS (
    SELECT step, visit, time, query_id, query_text, page, concat_ws(chr(31), coalesce(visitor, step::VARCHAR),
            session_id) AS who,
        lower(trim(regexp_replace(coalesce(query_text, ''), '\\s+', ' ', 'g'))) AS text
    FROM journey WHERE kind = 'search' AND reason IS NULL
), runs AS (
    SELECT *, lag(text) OVER visits IS DISTINCT FROM text
        OR time - lag(time) OVER visits > INTERVAL 30 MINUTE AS is_new
    FROM texts WINDOW visits AS (PARTITION BY visit ORDER BY time, step)
)
SELECT * EXCLUDE (query_id, is_new, text, who), coalesce(query_id, last_value(CASE WHEN is_new
    THEN md5(concat_ws(chr(31), who, epoch_us(time), text)) END IGNORE NULLS) OVER (
        PARTITION BY visit ORDER BY time, step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS query_id,
    split_part(split_part(page, '#', 1), '?', 1) AS path
FROM runs;
"""

LISTS_SQL = f"""
CREATE TABLE lists AS
WITH paths AS (
    SELECT step, visit, time, query_id, query_text, lower(list_name) AS name,
        split_part(split_part(page, '#', 1), '?', 1) AS path, time + INTERVAL 2 SECOND AS known_by
    FROM journey WHERE kind = 'list' AND reason IS NULL
)
SELECT l.step, l.visit, l.query_text, greatest(l.time, s.time) AS shown_at, s.query_text AS asked,
    coalesce(own.query_id, CASE
    WHEN s.query_id IS NULL OR l.time - s.time > INTERVAL 30 MINUTE THEN NULL
    WHEN regexp_matches(l.name, '{OTHER_LISTS}') THEN NULL
    WHEN regexp_matches(l.name, '{SEARCH_LISTS}') OR l.path = s.path
        OR l.name IS NULL AND (l.path IS NULL OR s.path IS NULL) THEN s.query_id END) AS query_id
FROM paths AS l ASOF LEFT JOIN searches AS s ON l.visit = s.visit AND l.known_by >= s.time
LEFT JOIN (SELECT DISTINCT query_id FROM searches) AS own ON l.query_id = own.query_id;
"""

EVENTS_SQL = f"""
CREATE TABLE item_events AS
WITH opened AS (
    SELECT j.step, j.kind, j.visit, j.time, j.user_query IS NOT NULL AS told,
        CASE WHEN j.query_id IN (SELECT query_id FROM searches) THEN j.query_id END AS query_id,
        unnest(s.item_ids) AS item_id, unnest(s.positions) AS position, unnest(range(len(s.item_ids))) AS place
    FROM journey AS j JOIN steps AS s ON s.rowid = j.step
    WHERE j.kind IN {tuple(ACTIONS)} AND j.reason IS NULL AND s.kind IN {tuple(ACTIONS)}
), named AS (
    FROM opened WHERE item_id IS NOT NULL
), clicked AS (
    SELECT visit, item_id, time FROM named WHERE kind = 'click'
), once AS (
    SELECT o.*, o.kind = 'view' AND coalesce(o.time - c.time <= INTERVAL 30 MINUTE, false) AS again
    FROM named AS o ASOF LEFT JOIN clicked AS c
        ON o.visit = c.visit AND o.item_id = c.item_id AND o.time + INTERVAL 1 SECOND >= c.time
), answers AS (
    SELECT step, visit, time, query_id FROM searches
    UNION ALL SELECT step, visit, shown_at, query_id FROM lists WHERE query_id IS NOT NULL
), shown AS (
    FROM (
        SELECT a.visit, a.time - INTERVAL 2 SECOND AS time, a.query_id,
            unnest(s.item_ids) AS item_id
        FROM answers AS a JOIN steps AS s ON s.rowid = a.step WHERE s.kind IN ('search', 'list')
    ) SEMI JOIN named USING (visit, item_id)
)
SELECT o.* EXCLUDE (query_id), CASE WHEN o.query_id IS NOT NULL THEN 'named' WHEN told THEN 'told'
    WHEN l.query_id IS NOT NULL THEN 'shown'
    WHEN s.query_id IS NOT NULL AND o.time - s.time <= INTERVAL 30 MINUTE THEN 'last' ELSE 'none' END AS how,
    CASE how WHEN 'named' THEN o.query_id WHEN 'shown' THEN l.query_id WHEN 'last' THEN s.query_id END AS query_id
FROM once AS o
ASOF LEFT JOIN shown AS l ON o.visit = l.visit AND o.item_id = l.item_id AND o.time >= l.time
ASOF LEFT JOIN searches AS s ON o.visit = s.visit AND o.time >= s.time;
"""

TABLES_SQL = f"""
CREATE VIEW journey_queries AS
WITH answers AS (
    SELECT step, query_id, query_text, time FROM searches
    UNION ALL
    SELECT step, query_id, coalesce(asked, query_text), shown_at FROM lists WHERE query_id IS NOT NULL
)
SELECT a.query_id, user_id, client_id, session_id, coalesce(a.query_text, '') AS user_query, a.time AS timestamp,
    list_filter(list_transform(list_sort(list_transform(coalesce(item_ids, []), lambda i, n:
        {{'position': coalesce(positions[n], n), 'n': n, 'item_id': i}})), lambda i: i.item_id),
        lambda i: i IS NOT NULL) AS query_response_hit_ids,
    user_agent, CASE WHEN coalesce(country, language) IS NOT NULL
        THEN {{'country': country, 'language': language}} END AS query_attributes,
    coalesce(dt, (a.time AT TIME ZONE 'UTC')::DATE) AS dt
FROM answers AS a JOIN steps ON steps.rowid = a.step WHERE steps.kind IN ('search', 'list');
CREATE VIEW journey_events AS
SELECT CASE e.kind {_WHENS} END AS action_name, CASE how WHEN 'told' THEN journey.query_id ELSE e.query_id END
    AS query_id, CASE how WHEN 'told' THEN user_query END AS user_query, user_id, client_id, session_id,
    e.time AS timestamp,
    coalesce(event_id, md5(concat_ws(chr(31), e.kind, visitor, epoch_us(e.time), step)))
        || CASE WHEN place > 0 THEN '#' || place ELSE '' END AS event_id,
    item_id AS object_id, position AS "event_attributes.position.ordinal", user_agent,
    coalesce(dt, (e.time AT TIME ZONE 'UTC')::DATE) AS dt
FROM item_events AS e JOIN journey USING (step) WHERE NOT again;
CREATE TABLE steps_became AS
WITH made AS (
    SELECT step, count(*) FILTER (NOT again) AS n FROM item_events GROUP BY step
), listed AS (
    SELECT step, query_id IS NOT NULL AS is_answer FROM lists
)
SELECT source_event, coalesce(reason, CASE kind
        WHEN 'search' THEN 'request'
        WHEN 'hit' THEN 'item shown by a request'
        WHEN 'list' THEN CASE WHEN is_answer THEN 'list shown by a request' ELSE 'left out: a list of no search' END
        ELSE CASE WHEN n > 0 THEN CASE kind WHEN 'view' THEN 'click'
                WHEN 'shown' THEN 'item shown by a request' ELSE kind END
            WHEN n = 0 THEN 'left out: repeats the click in the list' ELSE 'left out: names no item' END
        END) AS became,
    count(*) FILTER (extra IS NOT TRUE) AS rows,
    count(*) FILTER (reason IS NULL AND (kind = 'search' OR is_answer)) + coalesce(sum(n), 0) AS written
FROM journey LEFT JOIN made USING (step) LEFT JOIN listed USING (step) GROUP BY ALL
UNION ALL
SELECT coalesce(source_event, 'row'), coalesce(reason, 'left out: an event of no use here'),
    count(*) FILTER (extra IS NOT TRUE), 0
FROM steps WHERE kind IS NULL OR reason IS NOT NULL GROUP BY ALL;
"""

SEEN_SQL = """
CREATE TABLE items_seen AS
SELECT dt, item_id, arg_max(title, time) AS title, arg_max(brand, time) AS brand, arg_max(category, time) AS category,
    arg_max(price, time) AS price
FROM (
    SELECT coalesce(dt, (time AT TIME ZONE 'UTC')::DATE) AS dt, time, unnest(item_ids) AS item_id,
        unnest(goods, recursive := true)
    FROM steps WHERE kind IS NOT NULL AND reason IS NULL AND time IS NOT NULL AND goods IS NOT NULL
) WHERE item_id IS NOT NULL AND title IS NOT NULL GROUP BY ALL;
"""
