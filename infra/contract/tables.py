"""The tables that pass between the rooms: one Arrow schema each, the same names everywhere."""

from __future__ import annotations

from typing import Literal

import pyarrow as pa

EVENT_TIME = "event_timestamp"
CREATED = "created"
Entity = Literal["user", "item", "query"]
ENTITY_KEYS: dict[Entity, str] = {"user": "user_id", "item": "item_id", "query": "query"}
"""Entity of Feast -> the column that names one."""


def feature_names(table: pa.Schema) -> tuple[str, ...]:
    """The columns of a feature table that are features, in its order."""
    return tuple(name for name in table.names if name not in (*ENTITY_KEYS.values(), EVENT_TIME, CREATED))


TIME = pa.timestamp("us", tz="UTC")  # nanoseconds fail in Feast's materialization on duckdb 2.0
IDS = pa.list_(pa.string())

LOCATION = (
    pa.field("country", pa.string()),
    pa.field("language", pa.string()),
    pa.field("zip", pa.string()),
    pa.field("latitude", pa.float64()),
    pa.field("longitude", pa.float64()),
)
"""Where an item or a request is, all null where the log does not say; degrees, both or neither."""
LOCATION_NAMES = tuple(field.name for field in LOCATION)

CATALOG = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        ("title", pa.string()),
        ("description", pa.string()),
        ("category_path", IDS),
        ("brand", pa.string()),
        ("price", pa.float64()),
        ("rating", pa.float64()),
        ("rating_count", pa.float64()),
        ("attributes", pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))),
        ("tags", IDS),
        *LOCATION,
        pa.field("available_from", TIME, nullable=False),
    ]
)
"""One row per item. Absent text, numbers are null; absent lists are empty."""

REQUESTS = pa.schema(
    [
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("client_id", pa.string()),
        ("session_id", pa.string()),
        ("query_text", pa.string()),
        ("query", pa.string()),
        ("time", TIME),
        ("known_at", TIME),
        ("shown", pa.int64()),
        *LOCATION,
    ]
)
"""One row per request. ``user_id`` is who asked as far as was known then: the user, else the client (a guest);
``client_id`` is the browser or device. ``query`` is the normalised text (lower case, single spaces), the key of query
features. ``known_at`` is the later of the row's time and the start of the day it landed in: before it nobody could
know."""

IMPRESSIONS = pa.schema(
    [
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("position", pa.int64()),
        ("time", TIME),
        ("known_at", TIME),
    ]
)
"""One row per item shown in a request; ``time`` is the request's."""

EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("action", pa.string()),
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("position", pa.int64()),
        ("time", TIME),
        ("known_at", TIME),
        ("attribution", pa.string()),
    ]
)
"""Clicks, carts and orders. ``query_id`` is the request it is attributed to, or null; ``attribution`` says how:
``last_shown``, ``logged`` (the log's own query id) or ``none``. ``known_at`` is never before that of the request: an
event is no part of what its own request could know."""

LEFT_OUT = pa.schema(
    [
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("client_id", pa.string()),
        ("reason", pa.string()),
    ]
)
"""Requests that are left out though nothing is wrong with them: events of later days may name them."""

QUARANTINE = pa.schema(
    [
        ("source", pa.string()),
        ("reason", pa.string()),
        ("raw", pa.string()),
    ]
)
"""Rows that were refused, with the row as it came (JSON or text)."""

USER_FEATURES = pa.schema(
    [
        ("user_id", pa.string()),
        ("event_timestamp", TIME),
        ("created", TIME),
        ("recent_queries", IDS),
        ("recent_items", IDS),
        ("recent_brands", IDS),
        ("recent_orders", IDS),
        ("order_history", IDS),
        ("ordered_tags", IDS),
        ("requests_7d", pa.int64()),
        ("clicks_7d", pa.int64()),
        ("orders_30d", pa.int64()),
    ]
)
"""The user's history, newest first, after each moment at which something of theirs became known. ``recent_orders``
holds an item once, ``order_history`` an entry per order: it is for the history part of the towers, and for a ranker."""

ITEM_FEATURES = pa.schema(
    [
        ("item_id", pa.string()),
        ("event_timestamp", TIME),
        ("created", TIME),
        ("impressions_7d", pa.int64()),
        ("clicks_7d", pa.int64()),
        ("carts_7d", pa.int64()),
        ("orders_7d", pa.int64()),
        ("impressions_30d", pa.int64()),
        ("clicks_30d", pa.int64()),
        ("carts_30d", pa.int64()),
        ("orders_30d", pa.int64()),
        ("click_rate", pa.float64()),
        ("order_rate", pa.float64()),
        ("price", pa.float64()),
        ("rating", pa.float64()),
        ("age_days", pa.float64()),
    ]
)
"""Behaviour of an item over the windows that end at the snapshot, and what the catalogue says of it."""
ITEM_FACTS = ("price", "rating")
"""Features of an item that stay as they were last known; the others are of a time and become unknown by the TTL."""

QUERY_FEATURES = pa.schema(
    [
        ("query", pa.string()),
        ("event_timestamp", TIME),
        ("created", TIME),
        ("query_requests_30d", pa.int64()),
        ("query_clicks_30d", pa.int64()),
        ("query_orders_30d", pa.int64()),
    ]
)
"""How often a query came, and what it led to, over the window that ends at the snapshot."""

TRAINING_REQUESTS = pa.schema(
    [
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("query", pa.string()),
        ("query_text", pa.string()),
        ("time", TIME),
        ("split", pa.string()),
        *LOCATION,
        *[USER_FEATURES.field(name) for name in feature_names(USER_FEATURES)],
        *[QUERY_FEATURES.field(name) for name in feature_names(QUERY_FEATURES)],
    ]
)
"""One row per request, ``split`` is ``train`` or ``validation``, features as of ``time``."""

TRAINING_ROWS = pa.schema(
    [
        ("query_id", pa.string()),
        ("item_id", pa.string()),
        ("time", TIME),
        ("split", pa.string()),
        ("stage", pa.string()),
        ("clicked", pa.bool_()),
        ("carted", pa.bool_()),
        ("ordered", pa.bool_()),
        ("position", pa.int64()),
        *[ITEM_FEATURES.field(name) for name in feature_names(ITEM_FEATURES)],
    ]
)
"""One row per (request, item): ``stage`` is the deepest of ordered, carted, clicked, unclicked, random; ordered and
carted imply clicked. Item features as of ``time``."""

TRAINING_ITEMS = pa.schema([pa.field("item_id", pa.string(), nullable=False), pa.field("available_from", TIME)])
"""One row per item of the catalogue: when it can first have been found (``features.stages.available_items``)."""

TRAINING_ITEM_FEATURES = pa.schema(
    [
        pa.field("item_id", pa.string(), nullable=False),
        pa.field(EVENT_TIME, TIME, nullable=False),
        *[ITEM_FEATURES.field(name) for name in feature_names(ITEM_FEATURES)],
    ]
)
"""Item features as of the cut and as of the end of the log: one row per item of the catalogue and moment."""

SESSION_TABLES = {"requests": REQUESTS, "impressions": IMPRESSIONS, "events": EVENTS}
DAY_TABLES = {**SESSION_TABLES, "left_out": LEFT_OUT}
"""What is kept of a landing day for those after it."""
FEATURE_TABLES: dict[str, pa.Schema] = {"user": USER_FEATURES, "item": ITEM_FEATURES, "query": QUERY_FEATURES}

STAGES = ("ordered", "carted", "clicked", "unclicked", "random")


def columns_of(schema: pa.Schema) -> list[tuple[str, str]]:
    """Name and type of each column: a table built with others is built again."""
    return [(field.name, str(field.type)) for field in schema]
