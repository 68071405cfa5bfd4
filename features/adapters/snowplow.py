"""Snowplow: enriched events of its e-commerce and site search schemas, as JSON lines or Parquet."""

from __future__ import annotations

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.journeys import create_steps, ubi_of_steps
from features.adapters.typed_rows import typed_source
from features.adapters.ubi import in_zone
from features.adapters.ubi_rows import PLAIN_MACROS
from features.json_macros import macros_sql

NAME = "snowplow"
WHAT = "Snowplow enriched events with its e-commerce schemas, as JSON of its analytics SDKs or a warehouse's Parquet"
OPTIONS: dict[str, str] = {}
KINDS = {
    "list_view": "list",
    "list_click": "click",
    "product_view": "view",
    "add_to_cart": "cart",
    "transaction": "order",
}
MAPPING = (
    Maps("`site_search` event or entity", "`ubi_queries`", "`terms` joined by blanks"),
    Maps("`snowplow_ecommerce_action` `list_view`", "hits of the visit's search",
         "of the same page, or of a list named as one of a search; products are the `product` entities"),
    Maps("`list_click`", "`click`"),
    Maps("`product_view`", "`click`", "unless the item was clicked in a list in the half hour before"),
    Maps("`add_to_cart`", "`add_to_cart`"),
    Maps("`transaction`", "`purchase`", "an event per `product` entity; a `transaction_id` of a visitor counts once"),
    Maps("`derived_tstamp`, else `collector_tstamp`", "`timestamp`", "UTC"),
    Maps("`domain_userid`, `user_id`, `domain_sessionid`", "`client_id`, `user_id`, `session_id`",
         "mobile: the `client_session` entity's"),
    Maps("`event_id`", "`event_id`", "delivered again, it counts once"),
    Maps("`product` entity: `name`, `brand`, `category`, `price`", "a catalogue of what was seen"),
    Maps("`useragent`, `geo_country`, `br_lang`", "the user agent, the request's country and language"),
)  # fmt: skip
_PREFIX = "com_snowplowanalytics_snowplow"
_ACTION = "STRUCT(type VARCHAR, name VARCHAR)"
_PRODUCT = "STRUCT(id VARCHAR, name VARCHAR, brand VARCHAR, category VARCHAR, price VARCHAR, position VARCHAR)[]"
_SEARCH = "STRUCT(terms VARCHAR[])"
SCHEMAS = {
    "action": (f"unstruct_event_{_PREFIX}_ecommerce_snowplow_ecommerce_action",
               ("1", "1_0_0", "1_0_1", "1_0_2"), _ACTION),
    "products": (f"contexts_{_PREFIX}_ecommerce_product", ("1", "1_0_0", "1_0_1"), _PRODUCT),
    "transactions": (f"contexts_{_PREFIX}_ecommerce_transaction", ("1", "1_0_0", "1_0_1"),
                     "STRUCT(transaction_id VARCHAR)[]"),
    "search": (f"unstruct_event_{_PREFIX}_site_search", ("1", "1_0_0"), _SEARCH),
    "searches": (f"contexts_{_PREFIX}_site_search", ("1", "1_0_0"), f"{_SEARCH}[]"),
    "sessions": (f"contexts_{_PREFIX}_client_session", ("1", "1_0_0", "1_0_1", "1_0_2"),
                 "STRUCT(userId VARCHAR, sessionId VARCHAR)[]"),
}  # fmt: skip
"""What is read -> the schema's column without its version, versions as loaders write them, type."""
_PLAIN = ("event_name", "event_id", "user_id", "domain_userid", "network_userid", "domain_sessionid", "page_url",
          "useragent", "geo_country", "br_lang", "derived_tstamp", "collector_tstamp")  # fmt: skip
COLUMNS = dict.fromkeys(_PLAIN, "VARCHAR") | {
    f"{column}_{version}": kind for column, versions, kind in SCHEMAS.values() for version in versions
}


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read enriched events."""
    files = local_files(request)
    create_steps(connection)
    connection.execute(macros_sql())
    connection.execute(PLAIN_MACROS)
    rows_in = 0
    with watched(connection, request.progress, f"reading {len(files)} files"), in_zone(connection, request.zone):
        for source in typed_source(connection, files, COLUMNS):
            rows_in += count(connection, _STEPS_SQL.format(source=source, goods=request.wants_catalog))
    return ubi_of_steps(connection, request, rows_in)


_WHENS = " ".join(f"WHEN '{name}' THEN '{kind}'" for name, kind in KINDS.items())
_READ = ", ".join(
    f"coalesce({', '.join(f'{column}_{version}' for version in versions)}) AS {name}"
    for name, (column, versions, _) in SCHEMAS.items()
)
_STEPS_SQL = f"""
INSERT INTO steps BY NAME
WITH read AS (
    SELECT {", ".join(_PLAIN)}, {_READ} FROM {{source}}
), told AS (
    SELECT *, coalesce(search.terms, searches[1].terms) AS terms,
        CASE action.type {_WHENS} END AS by_action,
        CASE WHEN by_action = 'list' AND len(coalesce(search.terms, searches[1].terms)) > 0 THEN 'search'
            WHEN by_action IS NOT NULL THEN by_action
            WHEN len(coalesce(search.terms, searches[1].terms)) > 0 AND (search.terms IS NOT NULL
                OR action.type IS NULL) THEN 'search' END AS kind,
        kind IS NOT NULL AND (kind <> 'search' OR by_action = 'list') AS listed
    FROM read
)
SELECT coalesce(action.type, event_name) AS source_event, kind,
    CASE WHEN event_id IS NULL AND event_name IS NULL AND collector_tstamp IS NULL
        THEN 'left out: no JSON object, or no event' END AS reason,
    CASE WHEN kind IS NOT NULL THEN plain_time(coalesce(derived_tstamp, collector_tstamp)) END AS time,
    plain_key(user_id) AS user_id, plain_key(coalesce(domain_userid, sessions[1].userId, network_userid)) AS client_id,
    plain_key(coalesce(domain_sessionid, sessions[1].sessionId)) AS session_id,
    CASE WHEN kind = 'search' THEN array_to_string(terms, ' ') END AS query_text, page_url AS page,
    CASE WHEN kind = 'list' THEN plain_key(action.name) END AS list_name, event_id,
    CASE WHEN kind = 'order' THEN plain_key(transactions[1].transaction_id) END AS order_id,
    useragent AS user_agent, geo_country AS country, br_lang AS language,
    CASE WHEN listed THEN list_transform(products, lambda i: plain_key(i.id)) END AS item_ids,
    CASE WHEN listed THEN list_transform(products, lambda i: try_cast(i.position AS BIGINT)) END AS positions,
    CASE WHEN listed AND {{goods}} THEN list_transform(products, lambda i: {{{{'title': i.name, 'brand': i.brand,
        'category': i.category, 'price': i.price}}}}) END AS goods
FROM told
"""
