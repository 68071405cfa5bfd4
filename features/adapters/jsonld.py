"""schema.org products as JSON-LD: a document per page or per line, ``@graph``, product groups and their variants."""

from __future__ import annotations

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.json_rows import json_source
from features.sql_text import quoted

NAME = "jsonld"
WHAT = "schema.org Product and ProductGroup as JSON-LD: NDJSON, lists, `@graph`, `ItemList`, `mainEntity`"
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("`sku`, else `productID`, `mpn`, `gtin`, `@id`, `url`", "`item_id`", "of a group `productGroupID`"),
    Maps("`inProductGroupWithID`, `isVariantOf`", "the item that a variant is part of"),
    Maps("`hasVariant`", "ids that lead to the group, and its prices"),
    Maps("`name`", "`title`"),
    Maps("`description`", "`description`"),
    Maps("`category`", "`category_path`"),
    Maps("`brand`, else `manufacturer`", "`brand`"),
    Maps("`offers`: `price`, `lowPrice`, `priceSpecification`, lists", "`price`", "the lowest"),
    Maps("`aggregateRating`", "`rating`, `rating_count`"),
    Maps("`additionalProperty`, `color`, `size`, `material`, `pattern`", "attributes"),
    Maps("`releaseDate`", "`available_from`"),
    Maps("a node of another type", "left out"),
    Maps("the same product again", "left out", "as on several pages"),
)
_INNER = ('$."@graph"', "$.itemListElement", "$.item", "$.mainEntity")
"""Where a page's node holds its products, which may hold further ones."""
_IDS = ("$.sku", "$.productID", "$.mpn", "$.gtin13", "$.gtin14", "$.gtin12", "$.gtin8", "$.gtin", '$."@id"', "$.url")
_GROUPS = ("$.inProductGroupWithID", "$.isVariantOf.productGroupID", "$.isVariantOf.sku", '$.isVariantOf."@id"')
_FIELDS = {"name": "title", "description": "description", "category": "category", "brand": "brand",
           "manufacturer": "manufacturer", "offers": "offers", "aggregateRating": "aggregate_rating",
           "additionalProperty": "additional_property", "hasVariant": "has_variant", "color": "color", "size": "size",
           "material": "material", "pattern": "pattern", "releaseDate": "release_date",
           "keywords": "keywords"}  # fmt: skip
MAX_DEPTH = 6
_PATHS = (*_INNER, *_IDS, *_GROUPS, '$."@type"', "$.productGroupID", *(f"$.{name}" for name in _FIELDS))


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read dumps; a node of a graph or list counts as a row, and what is around it does not."""
    files = local_files(request)
    with watched(connection, request.progress, f"reading {len(files)} files"):
        none = _rows_sql("(SELECT 0::BIGINT AS document, NULL::JSON AS node)", 0)
        connection.execute(f"CREATE TABLE ld_rows AS {none} LIMIT 0")
        for source in json_source(connection, files):
            document = "row_number() OVER () + (SELECT count(*) FROM ld_rows)"
            rows = _rows_sql(f"(SELECT {document} AS document, json AS node FROM {source})", 0)
            connection.execute(f"INSERT INTO ld_rows {rows}")
        for depth in range(MAX_DEPTH):
            connection.execute(f"INSERT INTO ld_rows {_rows_sql(_INNER_SQL.format(depth=depth), depth + 1)}")
        connection.execute(_PRODUCTS_SQL)
    if not count(connection, "SELECT count(*) FROM ld_catalog"):
        found = connection.execute("SELECT DISTINCT type FROM ld_nodes WHERE type IS NOT NULL LIMIT 10").fetchall()
        types = ", ".join(sorted(name for (name,) in found)) or "none"
        raise AdapterError(f"there is no Product or ProductGroup with an id among the nodes; their types: {types}")
    return Loaded(rows_in=count(connection, "SELECT count(*) FROM ld_nodes"), became="ld_became", catalog="ld_catalog")


def _texts_of(node: str) -> str:
    """The texts of a node's fields, in one pass; what is an object or list as its JSON, which the reader opens."""
    return f"json_extract_string({node}, [{', '.join(map(quoted, _PATHS))}])"


def _first(*paths: str) -> str:
    texts = [f"nullif(trim(texts[{1 + _PATHS.index(path)}]), '')" for path in paths]
    return f"coalesce({', '.join(texts)})"


_COLUMNS = ", ".join(f"{_first(f'$.{name}')} AS {column}" for name, column in _FIELDS.items())


def _rows_sql(source: str, depth: int) -> str:
    """Rows of ``ld_rows`` from a source of ``document`` and ``node``."""
    return f"""
    SELECT document, {depth} AS depth, held, type, is_product, own, parent, not_json, {", ".join(_FIELDS.values())}
    FROM (
        SELECT document, texts IS NULL AS not_json, CASE WHEN json_valid({_first(*_INNER)}) THEN {_first(*_INNER)} END
                AS held,
            regexp_extract({_first('$."@type"')}, '([^/:#"]*)"?(,.*)?\\]?$', 1) AS type,
            type IN ('Product', 'ProductGroup', 'ProductModel', 'IndividualProduct', 'SomeProducts', 'Vehicle')
                AS is_product,
            CASE WHEN type = 'ProductGroup' THEN {_first("$.productGroupID", *_IDS)} ELSE {_first(*_IDS)} END AS own,
            CASE WHEN type <> 'ProductGroup' THEN {_first(*_GROUPS)} END AS parent, {_COLUMNS}
        FROM (SELECT document, {_texts_of("node")} AS texts FROM {source})
    )"""


_INNER_SQL = """(
    SELECT document, unnest(CASE WHEN json_type(held) = 'ARRAY' THEN json_extract(held, '$[*]') ELSE [held::JSON] END)
        AS node
    FROM ld_rows WHERE held IS NOT NULL AND depth = {depth}
)"""
_PRODUCTS_SQL = """
CREATE VIEW ld_nodes AS SELECT rowid AS node, * FROM ld_rows WHERE held IS NULL;
CREATE TABLE ld_firsts AS
SELECT arg_min(node, (document, depth)) AS node FROM ld_nodes WHERE is_product AND own IS NOT NULL GROUP BY own;
CREATE VIEW ld_catalog AS
SELECT own AS item_id, parent AS item_group_id, {fields} FROM ld_nodes SEMI JOIN ld_firsts USING (node);
CREATE TABLE ld_became AS
SELECT CASE WHEN not_json THEN 'line' ELSE coalesce(type, 'node') END AS source_event, CASE
    WHEN not_json THEN 'left out: no JSON object' WHEN is_product IS NOT TRUE THEN 'left out: no product'
    WHEN own IS NULL THEN 'left out: no id' WHEN ld_firsts.node IS NULL THEN 'left out: the same product again'
    WHEN parent IS NOT NULL THEN 'variant' ELSE 'item' END AS became,
    count(*) AS rows, count(ld_firsts.node) AS written
FROM ld_nodes LEFT JOIN ld_firsts USING (node) GROUP BY ALL
""".replace("{fields}", ", ".join(_FIELDS.values()))
