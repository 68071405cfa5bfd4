"""schema.org products as JSON-LD: a document per page or per line, ``@graph``, product groups and their variants."""

from __future__ import annotations

import duckdb

from features.adapters.base import AdapterError, ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.json_rows import json_source

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
_IDS = ("sku", "productID", "mpn", "gtin13", "gtin14", "gtin12", "gtin8", "gtin", "@id", "url")
_FIELDS = {"name": "title", "description": "description", "category": "category", "brand": "brand",
           "manufacturer": "manufacturer", "offers": "offers", "aggregateRating": "aggregate_rating",
           "additionalProperty": "additional_property", "hasVariant": "has_variant", "color": "color", "size": "size",
           "material": "material", "pattern": "pattern", "releaseDate": "release_date",
           "keywords": "keywords"}  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read dumps; a node of a graph or list counts as a row."""
    files = local_files(request)
    connection.execute(_DOCUMENTS_SQL)
    with watched(connection, request.progress, f"reading {len(files)} files"):
        for source in json_source(connection, files):
            connection.execute(f"INSERT INTO ld_documents SELECT json, {_INNER.format(of='json')} FROM {source}")
        connection.execute(_NODES_SQL)
        connection.execute(_PRODUCTS_SQL)
    if not count(connection, "SELECT count(*) FROM ld_catalog"):
        found = connection.execute("SELECT DISTINCT type FROM ld_nodes WHERE type IS NOT NULL LIMIT 10").fetchall()
        types = ", ".join(sorted(name for (name,) in found)) or "none"
        raise AdapterError(f"there is no Product or ProductGroup with an id among the nodes; their types: {types}")
    return Loaded(rows_in=count(connection, "SELECT count(*) FROM ld_nodes"), became="ld_became", catalog="ld_catalog")


def _path(name: str) -> str:
    return f"""'$."{name}"'"""


# a page's node holds its products in a graph, in a list of items or as its main entity, and these may hold further ones
_INNER = """coalesce(json_extract({of}, '$."@graph"'), json_extract({of}, '$.itemListElement'),
    json_extract({of}, '$.item'), json_extract({of}, '$.mainEntity'))"""
_DOCUMENTS_SQL = "CREATE TABLE ld_documents (node JSON, inner_node JSON)"
_NODES_SQL = f"""
CREATE TABLE ld_nodes AS
WITH RECURSIVE inner_nodes AS (
    SELECT rowid AS document, 0 AS depth, node, inner_node FROM ld_documents WHERE inner_node IS NOT NULL
    UNION ALL
    SELECT document, depth + 1, held, {_INNER.format(of="held")} FROM (
        SELECT document, depth, unnest(CASE WHEN json_type(inner_node) = 'ARRAY' THEN json_extract(inner_node, '$[*]')
            ELSE [inner_node] END) AS held
        FROM inner_nodes WHERE inner_node IS NOT NULL AND depth < 6
    )
)
SELECT document, depth, regexp_extract(coalesce(json_extract_string(node, '$."@type"[0]'),
    json_extract_string(node, '$."@type"')), '[^/:#]*$') AS type, node
FROM (
    SELECT rowid AS document, 0 AS depth, node FROM ld_documents WHERE inner_node IS NULL
    UNION ALL SELECT document, depth, node FROM inner_nodes WHERE inner_node IS NULL OR depth = 6
)
"""

_ID = "coalesce(" + ", ".join(f"nullif(trim(json_extract_string(node, {_path(name)})), '')" for name in _IDS) + ")"
# what is an object or list becomes its JSON as a text, which the catalogue's reader opens
_COLUMNS = ", ".join(f"json_extract_string(node, {_path(name)}) AS {column}" for name, column in _FIELDS.items())
_PRODUCTS_SQL = f"""
CREATE TABLE ld_products AS
SELECT *, row_number() OVER (PARTITION BY own ORDER BY document, depth) AS time FROM (
    SELECT document, depth, node, type, type IN ('Product', 'ProductGroup', 'ProductModel', 'IndividualProduct',
            'SomeProducts', 'Vehicle') AS is_product,
        CASE WHEN type = 'ProductGroup' THEN coalesce(nullif(json_extract_string(node, '$.productGroupID'), ''), {_ID})
            ELSE {_ID} END AS own,
        CASE WHEN type <> 'ProductGroup' THEN coalesce(json_extract_string(node, '$.inProductGroupWithID'),
            json_extract_string(node, '$.isVariantOf.productGroupID'), json_extract_string(node, '$.isVariantOf.sku'),
            json_extract_string(node, '$.isVariantOf."@id"')) END AS parent
    FROM ld_nodes
);
CREATE VIEW ld_catalog AS
SELECT own AS item_id, parent AS item_group_id, {_COLUMNS} FROM ld_products
WHERE is_product AND own IS NOT NULL AND time = 1;
CREATE TABLE ld_became AS
SELECT CASE WHEN node IS NULL THEN 'line' ELSE coalesce(type, 'node') END AS source_event, CASE
    WHEN node IS NULL THEN 'left out: no JSON object' WHEN is_product IS NOT TRUE THEN 'left out: no product'
    WHEN own IS NULL THEN 'left out: no id' WHEN time > 1 THEN 'left out: the same product again'
    WHEN parent IS NOT NULL THEN 'variant' ELSE 'item' END AS became,
    count(*) AS rows, count(*) FILTER (is_product AND own IS NOT NULL AND time = 1) AS written
FROM ld_products GROUP BY ALL
"""
