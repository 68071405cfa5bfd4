"""Segment and RudderStack: track calls of the e-commerce specification, as raw JSON lines or warehouse tables."""

from __future__ import annotations

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.journeys import create_steps, ubi_of_steps
from features.adapters.typed_rows import typed_source
from features.adapters.ubi import in_zone
from features.adapters.ubi_rows import PLAIN_MACROS
from features.json_macros import macros_sql

NAME = "segment"
WHAT = "Segment and RudderStack: their e-commerce specification, raw calls or the tables of a warehouse"
OPTIONS = {"item": "product_id or sku: which of the two the catalogue calls its items by (default product_id)"}
KINDS = {
    "productssearched": "search",
    "searchedproducts": "search",
    "productlistviewed": "list",
    "productlistfiltered": "list",
    "viewedproductcategory": "list",
    "productclicked": "click",
    "productviewed": "view",
    "viewedproduct": "view",
    "productadded": "cart",
    "addedproduct": "cart",
    "ordercompleted": "order",
    "completedorder": "order",
}
"""Events by name without case, blanks and underscores: the warehouse has ``products_searched``."""
MAPPING = (
    Maps("`Products Searched`", "`ubi_queries`", "`query`; its `products`, if there are any, are hits"),
    Maps("`Product List Viewed`, `Product List Filtered`", "hits of the visit's search",
         "of the same page, or of a list named as one of a search"),
    Maps("`Product Clicked`", "`click`"),
    Maps("`Product Viewed`", "`click`", "unless the item was clicked in a list in the half hour before"),
    Maps("`Product Added`", "`add_to_cart`"),
    Maps("`Order Completed`", "`purchase`", "an event per item of `products`; one `order_id` of a visitor counts once"),
    Maps("`timestamp`, else `originalTimestamp`", "`timestamp`"),
    Maps("`anonymousId`, `userId`, `context.sessionId`", "`client_id`, `user_id`, `session_id`",
         "without a session: a visit ends after half an hour of nothing"),
    Maps("`messageId` (`id` in a warehouse)", "`event_id`", "delivered again, it counts once"),
    Maps("`product_id`, else `sku`", "`object_id`", "the option `item=sku` turns this around"),
    Maps("`position`, `name`, `brand`, `category`, `price`", "order of hits; a catalogue of what was seen"),
    Maps("`context.userAgent`, `context.locale`", "the user agent, the request's language"),
)  # fmt: skip
_PRODUCT = (
    "product_id VARCHAR, sku VARCHAR, position VARCHAR, name VARCHAR, brand VARCHAR, category VARCHAR, price VARCHAR"
)
_PROPERTIES = f"query VARCHAR, list_id VARCHAR, list VARCHAR, order_id VARCHAR, {_PRODUCT}"
_FLAT = ("query", "list_id", "list", "order_id", "product_id", "sku", "position", "name", "brand", "category", "price")
COLUMNS = (
    dict.fromkeys(
        ("type", "event", "event_text", "anonymousId", "anonymous_id", "userId", "user_id", "messageId", "message_id",
         "id", "timestamp", "originalTimestamp", "original_timestamp", "context_page_url", "context_user_agent",
         "context_locale", "context_session_id", *_FLAT),
        "VARCHAR",
    )
    | {
        "properties": f"STRUCT({_PROPERTIES}, products STRUCT({_PRODUCT})[])",
        "products": f"STRUCT({_PRODUCT})[]",
        "context": "STRUCT(page STRUCT(url VARCHAR), userAgent VARCHAR, locale VARCHAR, sessionId VARCHAR)",
    }
)  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read calls."""
    item = request.options.get("item", "product_id")
    if item not in ("product_id", "sku"):
        raise AdapterError(f"--set item={item}: write product_id or sku")
    files = local_files(request)
    create_steps(connection)
    connection.execute(macros_sql())
    connection.execute(PLAIN_MACROS)
    order = ("product_id", "sku") if item == "product_id" else ("sku", "product_id")
    ids = ", ".join(f"plain_key(i.{name})" for name in order)
    rows_in = 0
    with watched(connection, request.progress, f"reading {len(files)} files"), in_zone(connection, request.zone):
        for source in typed_source(connection, files, COLUMNS):
            rows_in += count(connection, _STEPS_SQL.format(source=source, ids=ids, goods=request.wants_catalog))
    return ubi_of_steps(connection, request, rows_in)


_WHENS = " ".join(f"WHEN '{name}' THEN '{kind}'" for name, kind in KINDS.items())
_OWN = ", ".join(f"{name} := coalesce(properties.{name}, {name})" for name in _FLAT)
_STEPS_SQL = f"""
INSERT INTO steps BY NAME
WITH told AS (
    SELECT *, coalesce(event_text, event) AS called, CASE WHEN coalesce(type, 'track') = 'track' THEN
        CASE lower(regexp_replace(coalesce(event_text, event), '[^A-Za-z]', '', 'g')) {_WHENS} END END AS kind,
        struct_pack({_OWN}) AS own, coalesce(nullif(properties.products, []), products) AS listed
    FROM {{source}}
), read AS (
    SELECT *, CASE WHEN kind IS NULL THEN NULL WHEN len(listed) > 0 THEN listed
        WHEN kind NOT IN ('search', 'list') THEN [struct_pack(product_id := own.product_id, sku := own.sku,
            position := own.position, name := own.name, brand := own.brand, category := own.category,
            price := own.price)] END AS named,
        plain_key(coalesce("timestamp", originalTimestamp, original_timestamp)) AS given_time
    FROM told
)
SELECT coalesce(called, type) AS source_event, kind, CASE WHEN coalesce(called, type, anonymousId, anonymous_id) IS NULL
        THEN 'left out: no JSON object, or no call' END AS reason,
    CASE WHEN kind IS NOT NULL THEN plain_time(given_time) END AS time,
    plain_key(coalesce(userId, user_id)) AS user_id, plain_key(coalesce(anonymousId, anonymous_id)) AS client_id,
    plain_key(coalesce(context.sessionId, context_session_id)) AS session_id,
    CASE WHEN kind = 'search' THEN own.query END AS query_text,
    plain_key(coalesce(context.page.url, context_page_url)) AS page,
    CASE WHEN kind = 'list' THEN plain_key(coalesce(own.list, own.list_id, own.category)) END AS list_name,
    CASE WHEN kind IS NOT NULL THEN plain_key(coalesce(messageId, message_id, id)) END AS event_id,
    CASE WHEN kind = 'order' THEN plain_key(own.order_id) END AS order_id,
    CASE WHEN kind IS NOT NULL THEN coalesce(context.userAgent, context_user_agent) END AS user_agent,
    CASE WHEN kind = 'search' THEN coalesce(context.locale, context_locale) END AS language,
    list_transform(named, lambda i: coalesce({{ids}})) AS item_ids,
    list_transform(named, lambda i: try_cast(i.position AS BIGINT)) AS positions,
    CASE WHEN {{goods}} THEN list_transform(named, lambda i: {{{{'title': i.name, 'brand': i.brand,
        'category': i.category, 'price': i.price}}}}) END AS goods
FROM read
"""
