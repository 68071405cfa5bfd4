"""Made logs in the shapes that their sources publish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb

START = 1_778_371_200_000_000
"""The first moment of the made logs, in microseconds."""
VISIT = """(VALUES (0, 'page'), (1, 'search'), (2, 'list'), (4, 'scroll'), (6, 'click'), (7, 'page'), (8, 'view'),
    (20, 'engaged'), (30, 'cart'), (90, 'order')) AS e (second, what)"""
SHOWN = 20


def visits(connection: duckdb.DuckDBPyConnection, rows: int) -> None:
    """Table ``steps``: visits of eight steps at the mean, a third of which is of use; lists of ``SHOWN`` goods."""
    count = rows * 100 // 875
    connection.execute(
        f"""CREATE TABLE steps AS
        SELECT v, second, what, 'c' || v % {count // 8 + 1} AS client,
            CASE WHEN v % 5 = 0 THEN 'u' || v % 999 END AS person,
            {START} + (v * 37000000) % 259200000000 + second * 1000000 AS us,
            list_transform(range({SHOWN}), lambda n: (v * 7 + n) % 3000) AS goods
        FROM range({count}) AS r (v), {VISIT}
        WHERE (what <> 'order' OR v % 4 = 0) AND (what <> 'cart' OR v % 2 = 0) ORDER BY us"""
    )


def ubi(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A bulk export: an action line before each row, half queries with ten hits, half clicks."""
    lines = rows // 4
    connection.execute(
        f"""COPY (SELECT line FROM (
        SELECT 4 * i AS k, '{{"index":{{"_index":"ubi_queries","_id":"' || i || '"}}}}' AS line FROM range({lines}) r(i)
        UNION ALL SELECT 4 * i + 1, to_json({{'query_id': 'q' || i, 'client_id': 'c' || i % 500,
            'user_id': 'u' || i % 300, 'user_query': 'red thing ' || i % 97,
            'timestamp': strftime(make_timestamp({START} + i * 1000000),
            '%Y-%m-%dT%H:%M:%SZ'), 'query_attributes': {{'application': 'web'}},
            'query_response_hit_ids': list_transform(range({SHOWN}), lambda n: 'p' || (i * 7 + n) % 3000)}})
        FROM range({lines}) r(i)
        UNION ALL SELECT 4 * i + 2, '{{"index":{{"_index":"ubi_events","_id":"' || i || '"}}}}' FROM range({lines}) r(i)
        UNION ALL SELECT 4 * i + 3, to_json({{'action_name': 'click', 'query_id': 'q' || i, 'client_id': 'c' || i % 500,
            'timestamp': {START // 1000} + i * 1000 + 5000, 'event_attributes': {{'object': {{'object_id':
            'p' || (i * 7) % 3000}}, 'position': {{'ordinal': 1}}}}}}) FROM range({lines}) r(i)) ORDER BY k)
        TO '{folder / "dump.ndjson"}' (FORMAT csv, HEADER false, DELIMITER '\x01', QUOTE '', ESCAPE '')"""
    )


def ga4_rows(connection: duckdb.DuckDBPyConnection, rows: int) -> str:
    """SQL of GA4 events."""
    visits(connection, rows)
    value = "{'string_value': %s, 'int_value': %s, 'float_value': NULL::DOUBLE, 'double_value': NULL::DOUBLE}"
    session = value % ("NULL::VARCHAR", "v")
    page = value % ("CASE WHEN second < 5 THEN 'https://s.example/search?q=red' ELSE 'https://s.example/p' END", "NULL")
    term = value % ("'red thing ' || v % 97", "NULL")
    return f"""SELECT strftime(make_timestamp(us), '%Y%m%d') AS event_date, us AS event_timestamp,
        MAP {{'page': 'page_view', 'search': 'view_search_results', 'list': 'view_item_list', 'scroll': 'scroll',
            'click': 'select_item', 'view': 'view_item', 'engaged': 'user_engagement', 'cart': 'add_to_cart',
            'order': 'purchase'}}[what] AS event_name,
        list_concat([{{'key': 'ga_session_id', 'value': {session}}}, {{'key': 'page_location', 'value': {page}}},
            {{'key': 'engagement_time_msec', 'value': {session}}}], CASE WHEN what = 'search'
            THEN [{{'key': 'search_term', 'value': {term}}}] ELSE [] END) AS event_params,
        person AS user_id, client AS user_pseudo_id, {{'category': 'desktop', 'language': 'en-us'}} AS device,
        {{'country': 'Germany', 'city': 'Berlin'}} AS geo,
        CASE WHEN what = 'order' THEN {{'transaction_id': 'T' || v}} END AS ecommerce,
        list_transform(CASE WHEN what = 'list' THEN goods WHEN what IN ('click', 'view', 'cart')
            THEN goods[3:3] WHEN what = 'order' THEN goods[3:4] ELSE [] END, lambda g, n: {{'item_id': 'p' || g,
            'item_name': 'Thing ' || g, 'item_brand': 'brand' || g % 20, 'item_category': 'Home', 'item_category2':
            'cat' || g % 9, 'price': 10.5 + g % 90, 'item_list_name': 'Search Results', 'item_list_index': n::VARCHAR}})
        AS items FROM steps"""


def ga4(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A table as JSON lines."""
    connection.execute(f"COPY ({ga4_rows(connection, rows)}) TO '{folder / 'events.json'}' (FORMAT json)")


def ga4_parquet(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """A table as Parquet."""
    connection.execute(f"COPY ({ga4_rows(connection, rows)}) TO '{folder / 'events.parquet'}' (FORMAT parquet)")


def segment(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Raw calls."""
    visits(connection, rows)

    def goods(of: str) -> str:
        return (
            f"list_transform({of}, lambda g, n: {{'product_id': 'p' || g, 'name': 'Thing ' || g, 'price': 9.5,"
            " 'brand': 'brand' || g % 20, 'position': n})"
        )

    connection.execute(
        f"""COPY (SELECT CASE what WHEN 'page' THEN 'page' ELSE 'track' END AS type,
        MAP {{'search': 'Products Searched', 'list': 'Product List Viewed', 'scroll': 'Scrolled',
            'click': 'Product Clicked', 'view': 'Product Viewed',
            'engaged': 'Engaged', 'cart': 'Product Added', 'order': 'Order Completed'}}[what] AS event,
        client AS anonymousId, person AS userId, 'ajs-' || v || '-' || second AS messageId,
        strftime(make_timestamp(us), '%Y-%m-%dT%H:%M:%S.%gZ') AS timestamp,
        {{'page': {{'url': CASE WHEN second < 5 THEN 'https://s.example/search?q=red' ELSE 'https://s.example/p' END}},
            'userAgent': 'Mozilla/5.0 (X11)', 'locale': 'en-US', 'library': {{'name': 'analytics.js'}}}} AS context,
        CASE WHEN what = 'search' THEN to_json({{'query': 'red thing ' || v % 97}})
            WHEN what = 'list' THEN to_json({{'list_id': 'search', 'products': {goods("goods")}}})
            WHEN what IN ('click', 'view', 'cart') THEN to_json({goods("goods[3:3]")}[1])
            WHEN what = 'order' THEN to_json({{'order_id': 'T' || v, 'products': {goods("goods[3:4]")}}})
            ELSE '{{}}'::JSON END AS properties FROM steps) TO '{folder / "calls.json"}' (FORMAT json)"""
    )


def algolia(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Logged answers and Insights events."""
    visits(connection, rows)
    connection.execute(
        f"""COPY (SELECT 'q' || v AS queryID, 'red thing ' || v % 97 AS query, client AS userToken,
        us // 1000 AS timestamp,
        list_transform(goods, lambda g: {{'objectID': 'p' || g, 'title': 'Thing ' || g}}) AS hits
        FROM steps WHERE what = 'search') TO '{folder / "answers.json"}' (FORMAT json)"""
    )
    connection.execute(
        f"""COPY (SELECT CASE what WHEN 'click' THEN 'click' WHEN 'view' THEN 'view' ELSE 'conversion' END AS eventType,
        CASE what WHEN 'cart' THEN 'addToCart' WHEN 'order' THEN 'purchase' END AS eventSubtype,
        'Some Event' AS eventName, 'products' AS index, client AS userToken,
        person AS authenticatedUserToken, us // 1000 AS timestamp,
        ['p' || goods[3]] AS objectIDs, CASE WHEN what = 'click' THEN [3] END AS positions,
        CASE WHEN what <> 'view' THEN 'q' || v END AS queryID
        FROM steps WHERE what NOT IN ('search', 'list')) TO '{folder / "insights.json"}' (FORMAT json)"""
    )


def snowplow(connection: duckdb.DuckDBPyConnection, folder: Path, rows: int) -> None:
    """Enriched events."""
    visits(connection, rows)
    prefix = "com_snowplowanalytics_snowplow"
    connection.execute(
        f"""COPY (SELECT CASE what WHEN 'search' THEN 'site_search' WHEN 'page' THEN 'page_view' WHEN 'scroll' THEN
            'page_ping' WHEN 'engaged' THEN 'page_ping' ELSE 'snowplow_ecommerce_action' END AS event_name,
        'e' || v || '-' || second AS event_id, strftime(make_timestamp(us), '%Y-%m-%dT%H:%M:%S.%gZ') AS derived_tstamp,
        strftime(make_timestamp(us), '%Y-%m-%dT%H:%M:%S.%gZ') AS collector_tstamp, client AS domain_userid,
        person AS user_id, 's' || v AS domain_sessionid, 'Mozilla/5.0 (X11)' AS useragent, 'DE' AS geo_country,
        CASE WHEN second < 5 THEN 'https://s.example/search?q=red' ELSE 'https://s.example/p' END AS page_url,
        CASE WHEN what = 'search' THEN {{'terms': ['red', 'thing', (v % 97)::VARCHAR]}} END
            AS unstruct_event_{prefix}_site_search_1,
        CASE WHEN what IN ('list', 'click', 'view', 'cart', 'order') THEN {{'type': MAP {{'list': 'list_view',
            'click': 'list_click', 'view': 'product_view', 'cart': 'add_to_cart', 'order': 'transaction'}}[what],
            'name': 'search results'}} END AS unstruct_event_{prefix}_ecommerce_snowplow_ecommerce_action_1,
        list_transform(CASE WHEN what = 'list' THEN goods WHEN what IN ('click', 'view', 'cart') THEN goods[3:3]
            WHEN what = 'order' THEN goods[3:4] END, lambda g, n: {{'id': 'p' || g, 'name': 'Thing ' || g, 'category':
            'Home', 'price': 9.5, 'currency': 'EUR', 'position': n}}) AS contexts_{prefix}_ecommerce_product_1,
        CASE WHEN what = 'order' THEN [{{'transaction_id': 'T' || v}}] END AS contexts_{prefix}_ecommerce_transaction_1
        FROM steps) TO '{folder / "enriched.json"}' (FORMAT json)"""
    )


SOURCES: dict[str, Callable[[duckdb.DuckDBPyConnection, Path, int], None]] = {
    "ubi": ubi,
    "ga4": ga4,
    "ga4_parquet": ga4_parquet,
    "segment": segment,
    "algolia": algolia,
    "snowplow": snowplow,
}
