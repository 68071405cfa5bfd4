"""Fields of a log row that are not where UBI 1.3 puts them: other spellings, other nesting, lists of items.

The readers of ``features.ubi`` look at the usual paths of every row; only rows that lack something there, or have a key
in another spelling, or a list in their attributes, come through here. A row's document is opened level by level, be a
level an object, JSON as text, a list of ``{"key": ..., "value": ...}`` or dotted keys, into ``(path, value)`` with
paths in one spelling (``features.json_macros``: no case, blanks, hyphens, underscores).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infra.contract.ubi import HITS

ID_NAMES = ("object_id", "item_id", "product_id", "sku", "internal_id")
"""What an item's id is called, best first; ``id`` besides, inside an object that is an item."""

_OBJECTS = ("eventattributes.object", "object", "eventattributes.item", "eventattributes.product", "item", "product")


def _spelt(name: str) -> str:
    return name.replace("_", "")


QUERY_FIELDS: Mapping[str, Sequence[str]] = {
    "query_id": ("queryid",),
    "user_id": ("userid",),
    "client_id": ("clientid",),
    "session_id": ("sessionid",),
    "query_text": ("userquery", "userquery.text", "queryattributes.userquery"),
    "time": ("timestamp", "time", "eventtime"),
    "hits": ("queryresponsehitids", "queryresponseobjectids", "queryresponse.hitids", "queryresponse.objectids",
             "queryresponse.queryresponsehitids", "queryresponse.queryresponseobjectids"),
    "agent": ("useragent", "queryattributes.useragent"),
}  # fmt: skip
EVENT_FIELDS: Mapping[str, Sequence[str]] = {
    "query_id": ("queryid", "eventattributes.queryid"),
    "user_id": ("userid", "eventattributes.userid"),
    "client_id": ("clientid", "eventattributes.clientid"),
    "session_id": ("sessionid", "eventattributes.sessionid"),
    "action": ("actionname", "action", "eventname", "eventtype"),
    "time": ("timestamp", "time", "eventtime", "eventtimestamp"),
    "event_id": ("eventid",),
    "item_id": (
        "eventattributes.object.objectid", "objectid", "eventattributes.object.internalid",
        *(f"{parent}.{_spelt(name)}" for parent in _OBJECTS for name in (*ID_NAMES, "id")),
        *(f"eventattributes.{_spelt(name)}" for name in ID_NAMES), *(_spelt(name) for name in ID_NAMES),
    ),
    "position": ("eventattributes.position.ordinal", "eventattributes.position", "position.ordinal", "position"),
    "query_text": ("userquery", "eventattributes.userquery", "eventattributes.query.userquery",
                   "eventattributes.query.text", "eventattributes.query", "eventattributes.querytext",
                   "eventattributes.searchterm", "eventattributes.searchquery", "searchterm", "searchquery",
                   "querytext"),
    "agent": ("useragent", "eventattributes.useragent", "eventattributes.browser"),
}  # fmt: skip
"""Field -> where it may be, best first, in the one spelling."""

ITEM_LISTS = ("items", "products", "lineitems", "orderitems", "cartitems", "basketitems", "purchaseditems", "objects",
              "orderlines", "lines", "contents", "articles", "goods", "entries", "positions", "hits", "results",
              "object", "item", "product", "cart", "basket", "order", "objectids", "itemids", "productids",
              "skus")  # fmt: skip
"""Lists that hold items, whatever their elements call the id; others must say ``object_id``, ``item_id``..."""
_ID_LISTS = ("objectids", "itemids", "productids", "skus", "items", "products", "objects")
"""Lists that may hold bare ids."""
_LEVELS = 4

QUERY_KEYS = ("query_id", "user_id", "client_id", "session_id", "user_query", "timestamp", "@timestamp",
              *HITS, "query_attributes", "query_response_id", "query",
              "application", "object_id_field", "user_agent")  # fmt: skip
EVENT_KEYS = ("query_id", "user_id", "client_id", "session_id", "action_name", "timestamp", "@timestamp", "event_id",
              "object_id", "event_attributes", "event_attributes.object.object_id", "message", "message_type", "query",
              "event_attributes.position.ordinal", "user_query", "application", "user_agent")  # fmt: skip
"""Keys that the readers look at themselves, and keys that UBI has for other things."""

_ELEMENT_PATHS = [
    f"$.{path}"
    for name in ID_NAMES
    for path in dict.fromkeys(
        (name, name.replace("_id", "Id"), name.replace("_id", "ID"), _spelt(name), name.upper(), f"object.{name}",
         f"item.{name}", f"product.{name}")
    )
]  # fmt: skip
_WEAK_PATHS = ["$.id", "$.Id", "$.ID", "$._id", "$.item.id", "$.product.id", "$.object.id", "$.variant_id",
               "$.variantId", "$.asin", "$.code", "$.product_sku", "$.item_sku"]  # fmt: skip
_PLACE_PATHS = ["$.position.ordinal", "$.position", "$.ordinal", "$.index", "$.rank"]

_MACROS = f"""
CREATE OR REPLACE TEMP MACRO listed_item(j) AS
    {{'item_id': CASE WHEN json_type(j) = 'OBJECT' THEN coalesce(first_key(json_extract(j, {_ELEMENT_PATHS})),
        first_key(json_extract(j, {_WEAK_PATHS}))) ELSE as_key(j) END,
      'position': try_cast(first_key(json_extract(j, {_PLACE_PATHS})) AS BIGINT)}};
CREATE OR REPLACE TEMP MACRO is_item_list(path, elements) AS CASE
    WHEN len(elements) = 0 THEN false
    WHEN json_type(elements[1]) = 'OBJECT' THEN first_key(json_extract(elements[1], {_ELEMENT_PATHS})) IS NOT NULL
        OR list_contains({list(ITEM_LISTS)}, split_part(path, '.', -1))
            AND len(list_filter(elements, lambda e: first_key(json_extract(e, {_WEAK_PATHS})) IS NOT NULL
                OR first_key(json_extract(e, {_ELEMENT_PATHS})) IS NOT NULL)) > 0
    ELSE list_contains({list(_ID_LISTS)}, split_part(path, '.', -1)) AND as_key(elements[1]) IS NOT NULL END;
CREATE OR REPLACE TEMP MACRO pair_key(e) AS coalesce(as_id(json_extract(e, '$.key')), as_id(json_extract(e, '$.name')));
CREATE OR REPLACE TEMP MACRO is_pair_list(j) AS
    json_type(j) = 'ARRAY' AND json_exists(j, '$[0].value') AND pair_key(json_extract(j, '$[0]')) IS NOT NULL;
CREATE OR REPLACE TEMP MACRO child_key(parent, key, value) AS CASE
    WHEN json_type(parent) = 'OBJECT' THEN key WHEN is_pair_list(parent) THEN pair_key(value) END;
CREATE OR REPLACE TEMP MACRO child_value(parent, value) AS
    unfolded(CASE WHEN json_type(parent) = 'OBJECT' THEN value ELSE json_extract(value, '$.value') END);
"""

_LEVEL = """level{n} AS (
    SELECT p.row_id, p.path || '.' || spelling(child_key(p.value, c.key, c.value)) AS path,
        child_value(p.value, c.value) AS value
    FROM level{before} AS p, json_each(p.value) AS c
    WHERE (json_type(p.value) = 'OBJECT' OR is_pair_list(p.value)) AND {within}
        AND child_key(p.value, c.key, c.value) IS NOT NULL
)"""


def odd_keys_sql(
    fields: Mapping[str, Sequence[str]], keys: Sequence[str], *, lists: bool = False, among: str = "json_keys(body)"
) -> str:
    """SQL over ``body`` or a list of keys: whether one may be one of ``fields`` though it is none of ``keys``."""
    roots = {path.split(".")[0] for paths in fields.values() for path in paths}
    roots |= {*ITEM_LISTS, "ecommerce", "transaction", "purchase", "objectid"} if lists else set()
    return (
        f"len(list_filter(list_filter({among}, lambda k: NOT list_contains({list(keys)}, k)),"
        f" lambda k: list_contains({sorted(roots)}, split_part(spelling(k), '.', 1)))) > 0"
    )


def find_fields(engine: Any, source: str, target: str, fields: Mapping[str, Sequence[str]], *, lists: bool) -> None:
    """Look for fields wherever they are.

    Args:
        engine: Ibis DuckDB backend with the macros of ``json_macros``.
        source: Table of ``row_id`` and ``body`` (JSON object).
        target: Temporary table to create: ``row_id``, a JSON column per field (null where it is nowhere), and with
            ``lists`` also ``basket`` (list of ``item_id, position``, null where there is none) and ``names_object``
            (whether any path speaks of an item at all).
        fields: Field -> paths, best first.
        lists: Whether rows may hold lists of items.
    """
    if not engine.con.execute(f"SELECT 1 FROM {source} LIMIT 1").fetchall():
        _none_found(engine, source, target, list(fields), lists=lists)
        return
    parents = sorted({path.rsplit(".", n)[0] for paths in fields.values() for path in paths for n in range(1, 4)})
    within = "true" if lists else f"list_contains({parents}, p.path)"
    levels = ",\n".join(_LEVEL.format(n=n, before=n - 1, within=within) for n in range(1, _LEVELS))
    every = " UNION ALL ".join(f"SELECT * FROM level{n}" for n in range(_LEVELS))
    ranked = ", ".join(
        f"('{field}', '{path}', {rank})" for field, paths in fields.items() for rank, path in enumerate(paths)
    )
    picked = ", ".join(
        f"first(value ORDER BY rank, path) FILTER (field = '{field}' AND NOT is_blank(value)) AS {field}"
        for field in fields
    )
    engine.con.execute(_MACROS)
    engine.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target}_entries AS
        WITH level0 AS (
            SELECT row_id, spelling(e.key) AS path, unfolded(e.value) AS value FROM {source}, json_each(body) AS e
            WHERE spelling(e.key) NOT IN ('query', 'message') OR NOT {lists}
        ), {levels}
        SELECT * FROM ({every}) WHERE value IS NOT NULL
        """
    )
    listed = f""", baskets AS (
        SELECT row_id, first(elements ORDER BY named DESC, path) AS elements
        FROM (
            SELECT row_id, path, list_transform(json_extract(value, '$[*]'), lambda e: unfolded(e)) AS elements,
                list_contains({list(ITEM_LISTS)}, split_part(path, '.', -1)) AS named
            FROM {target}_entries WHERE json_type(value) = 'ARRAY'
        ) WHERE is_item_list(path, elements) GROUP BY row_id
    ), objects AS (
        SELECT row_id, bool_or(regexp_matches(path, 'object|item|product|sku|article')) AS names_object
        FROM {target}_entries GROUP BY row_id
    )"""
    extra = ", list_transform(elements, lambda e: listed_item(e)) AS basket, names_object" if lists else ""
    joins = "LEFT JOIN baskets USING (row_id) LEFT JOIN objects USING (row_id)" if lists else ""
    engine.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target} AS
        WITH found AS (
            SELECT row_id, {picked}
            FROM {target}_entries JOIN (VALUES {ranked}) AS places (field, place, rank) ON path = place
            GROUP BY row_id
        ){listed if lists else ""}
        SELECT {source}.row_id, found.* EXCLUDE (row_id){extra}
        FROM {source} LEFT JOIN found USING (row_id) {joins}
        """
    )


def _none_found(engine: Any, source: str, target: str, fields: Sequence[str], *, lists: bool) -> None:
    """The tables of ``find_fields`` without a row: most logs need no looking, and planning it costs more than a day."""
    columns = ", ".join(f"NULL::JSON AS {field}" for field in fields)
    items = ", NULL::STRUCT(item_id VARCHAR, position BIGINT)[] AS basket, NULL::BOOLEAN AS names_object"
    engine.con.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE {target}_entries (row_id BIGINT, path VARCHAR, value JSON);
        CREATE OR REPLACE TEMP TABLE {target} AS SELECT row_id, {columns}{items if lists else ""} FROM {source}
        """
    )
