"""Google Merchant feeds: tab-separated text, RSS 2.0 and Atom; variants by their item group."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps
from features.adapters.csv_tables import Columns, csv_columns, load_csv
from features.adapters.feed_xml import FIELDS, is_xml, read_feed
from features.adapters.files import local_files
from features.adapters.products import catalog_of, pairs, split

NAME = "merchant"
WHAT = "a Google Merchant feed: TSV, or XML as RSS 2.0 or Atom"
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("`item_group_id`, else `id`", "`item_id`"),
    Maps("`id`, `gtin`", "ids that lead to the item"),
    Maps("`title`", "`title`"),
    Maps("`description`, `product_highlight`", "`description`"),
    Maps("`product_type`, else `google_product_category`", "`category_path`", "each product type is a path"),
    Maps("`brand`", "`brand`"),
    Maps("`sale_price`, else `price`", "`price`", "the lowest of the group"),
    Maps("`color`, `size`, `material`, `pattern`, `gender`, `age_group`, `condition`, `availability`", "attributes"),
    Maps("`product_detail`", "an attribute", "`section:name:value`"),
    Maps("an `id` that comes again", "left out"),
)
ATTRIBUTES = ("color", "size", "material", "pattern", "gender", "age_group", "condition", "availability")


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read feeds; several files are one shop's."""
    files = local_files(request)
    feeds = [file for file in files if is_xml(file)]
    tables = [file for file in files if file not in feeds]
    sources, read = [], []
    if feeds:
        read_feed(connection, request, "feed", feeds)
        sources.append("SELECT rowid + 1 AS row_number, * FROM feed")
        read.append("feed")
    if tables:
        columns = csv_columns(request, "merchant", tables)
        columns.need("Google Merchant", "id")
        columns.need("Google Merchant", "title", "price", "link")
        sources.append(_table_sql(columns, "(SELECT count(*) FROM feed)" if feeds else "0"))
        load_csv(connection, request, columns)
        read.append("merchant")
    connection.execute(f"CREATE TEMP VIEW feed_items AS {' UNION ALL BY NAME '.join(sources)}")
    connection.execute(_REPEATED_SQL)
    attributes = [name for name in ATTRIBUTES if feeds or columns.has(name)]
    return catalog_of(
        connection, request, _rows_sql(attributes), read=read, ragged="merchant_ragged" if tables else None
    )


def _table_sql(columns: Columns, before: str) -> str:
    """The rows of a TSV feed in the columns of ``feed_xml.FIELDS``; marks part what may come several times.

    ``before``: how many rows came before them.
    """
    of = columns.sql
    one = ", ".join(f"{of(name)} AS {name}" for name in FIELDS if not FIELDS[name])
    several = ", ".join(f"{split(of(name), _MARKS[name])} AS {name}" for name in FIELDS if FIELDS[name])
    return f"SELECT row_number + {before} AS row_number, {one}, {several} FROM merchant"


_MARKS = {"product_type": ";", "product_highlight": ",", "product_detail": ","}

_REPEATED_SQL = """
CREATE TEMP TABLE feed_repeated AS
SELECT id, min(row_number) AS first FROM feed_items WHERE id IS NOT NULL GROUP BY id HAVING count(*) > 1
"""


def _rows_sql(attributes: Sequence[str]) -> str:
    return f"""
WITH placed AS (
    SELECT feed_items.*, first, coalesce(item_group_id, id) AS product,
        {pairs([(f"'{name}'", name) for name in attributes])} AS said
    FROM feed_items LEFT JOIN feed_repeated USING (id)
)
SELECT row_number, CASE WHEN item_group_id IS NULL THEN 'product' ELSE 'variant' END AS source_event, product,
    0 AS precedence, list_filter([id, gtin], lambda i: i IS NOT NULL) AS ids, title,
    concat_ws(chr(10), description, array_to_string(product_highlight, chr(10))) AS description,
    CASE WHEN len(product_type) > 0 THEN product_type ELSE [google_product_category] END AS category_path, brand,
    coalesce(sale_price, price) AS price, list_concat(said, list_transform(
        list_filter(product_detail, lambda d: len(string_split(d, ':')) >= 2),
        lambda d: {{'key': string_split(d, ':')[-2], 'value': string_split(d, ':')[-1]}})) AS attributes,
    CASE WHEN id IS NULL THEN 'no id' WHEN row_number > first THEN 'an id that came before' END AS left_out
FROM placed
"""
