"""From a catalogue's columns, by whatever name, to the fields of ``CATALOG``.

A column of a known name becomes its field, the first name of each list that a file has. Of the others, short texts,
numbers and lists of them become attributes (key = column), long texts (over 60 characters on average) are added to the
description, and links and nested objects are left out. All names of a location are its own, see ``features.location``.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from features.location import PLACE_NAMES, places_sql

ALIASES: dict[str, tuple[str, ...]] = {
    "item_id": ("item_id", "product_id", "asin", "sku", "id"),
    "title": ("title", "product_title", "name", "product_name"),
    "description": ("description", "product_description", "long_description", "body"),
    "category_path": ("category_path", "categories", "category", "breadcrumbs", "product_type"),
    "brand": ("brand", "product_brand", "brand_name", "manufacturer", "vendor", "shop", "shop_id", "shop_name"),
    "price": ("price", "current_price", "sale_price"),
    "rating": ("rating", "average_rating", "avg_rating", "stars"),
    "rating_count": ("rating_count", "ratings_count", "review_count", "reviews_count", "num_reviews"),
    "attributes": ("attributes", "attrs", "specifications", "specs"),
    "tags": ("tags", "keywords"),
    "available_from": ("available_from", "created_at", "created", "date_added", "date_first_available"),
}
"""Field -> names of columns that hold it (any case), best first."""

LONG_TEXT_CHARS = 60


def assign_fields(keys: Iterable[tuple[int, str]]) -> pa.Table:
    """The field that each column of each file becomes.

    Args:
        keys: (index of the file, column), each once.

    Returns:
        ``file, key, field``; ``field`` is null for a column of no known name, and for the second name of a field but
        for those of ``PLACE_NAMES``.
    """
    by_file: dict[int, dict[str, str]] = {}
    for file, key in keys:
        by_file.setdefault(file, {}).setdefault(key.strip().lower(), key)
    rows = []
    for file, columns in by_file.items():
        taken = {}
        for field, names in ALIASES.items():
            name = next((n for n in names if n in columns), None)
            if name is not None:
                taken[columns[name]] = field
        taken |= {columns[n]: field for field, names in PLACE_NAMES.items() for n in names if n in columns}
        rows += [{"file": file, "key": key, "field": taken.get(key)} for key in columns.values()]
    return pa.Table.from_pylist(
        rows, schema=pa.schema([("file", pa.int64()), ("key", pa.string()), ("field", pa.string())])
    )


HTML_ENTRIES = """(file, key) IN (SELECT (file, key) FROM fields
    WHERE field IS NULL OR field IN ('title', 'description', 'category_path', 'brand', 'tags'))"""
"""Condition on the ``entries`` whose texts people read."""

_MACROS = r"""
CREATE OR REPLACE TEMP MACRO scalar_text(j) AS CASE
    WHEN json_type(j) = 'BOOLEAN' THEN j ->> '$'
    -- a number is the same text whether a column of doubles, a JSON number or a CSV cell held it
    WHEN regexp_full_match(as_id(j), '-?\d+\.0+') THEN regexp_extract(as_id(j), '^-?\d+')
    WHEN as_id(j) IN ('True', 'TRUE', 'False', 'FALSE') THEN lower(as_id(j))
    ELSE as_id(j) END;
CREATE OR REPLACE TEMP MACRO texts_of(j) AS CASE
    WHEN json_type(j) = 'ARRAY'
    THEN list_filter(list_transform(json_extract(j, '$[*]'), lambda e: scalar_text(e)), lambda t: t IS NOT NULL)
    WHEN scalar_text(j) IS NOT NULL THEN [scalar_text(j)] ELSE []::VARCHAR[] END;
CREATE OR REPLACE TEMP MACRO named(t) AS CASE WHEN lower(trim(t)) NOT IN
    ('', 'null', 'none', 'nan', 'n/a', '#n/a', '\n', '-', '--', '---', '–', '—') THEN trim(t) END;
CREATE OR REPLACE TEMP MACRO trimmed(parts) AS
    list_filter(list_transform(parts, lambda t: named(t)), lambda t: t IS NOT NULL);
CREATE OR REPLACE TEMP MACRO separated(text, marks) AS trimmed(string_split_regex(text, marks));
CREATE OR REPLACE TEMP MACRO as_path(j) AS CASE
    WHEN json_type(opened(j)) = 'ARRAY' THEN trimmed(texts_of(opened(j)))
    WHEN named(as_id(j)) IS NULL THEN []
    WHEN contains(as_id(j), '>') THEN separated(as_id(j), '>')
    WHEN contains(as_id(j), '|') THEN separated(as_id(j), '\|')
    ELSE separated(as_id(j), '/') END;
CREATE OR REPLACE TEMP MACRO as_tags(j) AS CASE
    WHEN json_type(opened(j)) = 'ARRAY' THEN trimmed(texts_of(opened(j)))
    ELSE separated(as_id(j), '[,;|]') END;
-- one number with a currency around it; of comma and point the last one before one or two digits is the decimal mark,
-- and 12,- is a round price
CREATE OR REPLACE TEMP MACRO bare_number(s) AS regexp_extract(
    regexp_replace(s, '(\d)[\s\x{a0}\x{202f}''](\d{3})', '\1\2', 'g'), '^[^\d-]*(\d[\d.,]*)[^\d]*$', 1);
CREATE OR REPLACE TEMP MACRO comma_decimal(s) AS regexp_matches(s, ',\d{0,2}$');
CREATE OR REPLACE TEMP MACRO dotted(s, commas) AS CASE
    WHEN comma_decimal(s) THEN replace(replace(s, '.', ''), ',', '.')
    WHEN commas AND regexp_full_match(s, '\d{1,3}(\.\d{3})+') THEN replace(s, '.', '')
    ELSE replace(s, ',', '') END;
CREATE OR REPLACE TEMP MACRO as_amount(j, commas) AS CASE
    WHEN is_number(j) THEN CASE WHEN isfinite(try_cast(j ->> '$' AS DOUBLE)) AND try_cast(j ->> '$' AS DOUBLE) >= 0
        THEN try_cast(j ->> '$' AS DOUBLE) END
    ELSE try_cast(dotted(bare_number(as_id(j)), commas) AS DOUBLE) END;
CREATE OR REPLACE TEMP MACRO first_number(j) AS
    try_cast(replace(nullif(regexp_extract(as_id(j), '^(\d+([.,]\d+)?)', 1), ''), ',', '.') AS DOUBLE);
-- with dots the day comes first everywhere; with slashes nothing tells
CREATE OR REPLACE TEMP MACRO as_date(j) AS coalesce(as_time(j), within_reason(
    try_strptime(as_id(j), ['%d.%m.%Y', '%d.%m.%Y %H:%M', '%d.%m.%Y %H:%M:%S'])::TIMESTAMPTZ));
"""

_KEYED = """
CREATE TABLE keyed AS
SELECT row_id, file, key, CASE WHEN field <> 'point' OR is_point(value) THEN field END AS field, value
FROM entries JOIN fields USING (file, key)
"""

_VERSIONS = """
CREATE TABLE candidates AS
WITH ids AS (SELECT row_id, value AS id FROM keyed WHERE field = 'item_id')
SELECT row_id, file, raw, as_id(id) AS item_id, CASE
    WHEN not_json THEN unread WHEN no_scalar(id) THEN 'wrong_type' WHEN as_id(id) IS NULL THEN 'no_id'
    WHEN row_number() OVER (PARTITION BY file, as_id(id) ORDER BY row_id) > 1 THEN 'duplicate_id' END AS reason
FROM bodies JOIN versions USING (file) LEFT JOIN ids USING (row_id);
CREATE TABLE refused AS
    SELECT 'catalog' AS source, reason, raw, row_id FROM candidates WHERE reason IS NOT NULL;
CREATE TABLE chosen AS
    SELECT arg_max(row_id, file) AS row_id, item_id, min(file) AS first_file
    FROM candidates WHERE reason IS NULL GROUP BY item_id
"""

_ROLES = f"""
CREATE TABLE roles AS
SELECT key, CASE WHEN avg(starts_with(lower(as_id(value)), 'http')::INT) > 0.5 THEN 'link'
    WHEN avg(len(as_id(value))) > {LONG_TEXT_CHARS} THEN 'description' ELSE 'attribute' END AS role
FROM keyed WHERE field IS NULL AND coalesce(json_type(value), '') <> 'OBJECT' GROUP BY key
"""

_ATTRIBUTES = """
CREATE TABLE attribute_lists AS
WITH given AS (
    SELECT row_id, opened(value) AS value FROM keyed WHERE field = 'attributes'
), pairs AS (
    SELECT row_id, e.key AS key, e.value AS value FROM given, json_each(given.value) AS e
    WHERE json_type(given.value) = 'OBJECT'
    UNION ALL
    SELECT row_id, coalesce(as_id(json_extract(e.value, '$.key')), as_id(json_extract(e.value, '$.name'))),
        json_extract(e.value, '$.value')
    FROM given, json_each(given.value) AS e WHERE json_type(given.value) = 'ARRAY'
    UNION ALL
    SELECT row_id, key, value FROM keyed JOIN roles USING (key) WHERE role = 'attribute' AND field IS NULL
), flat AS (
    SELECT DISTINCT row_id, trim(key) AS key, unnest(texts_of(value)) AS value FROM pairs WHERE trim(key) <> ''
)
SELECT row_id, list({'key': key, 'value': value} ORDER BY key, value) AS attributes FROM flat GROUP BY row_id
"""

_TEXTS = """
CREATE TABLE long_texts AS
SELECT row_id, string_agg(as_id(value), chr(10) ORDER BY (field IS NULL), key) AS description
FROM keyed LEFT JOIN roles USING (key)
WHERE as_id(value) IS NOT NULL AND (field = 'description' OR (field IS NULL AND role = 'description')) GROUP BY row_id
"""

_PLACES = f"CREATE TABLE places AS {places_sql('keyed')}"

_ITEMS = r"""
CREATE TABLE items AS
WITH wide AS (
    SELECT row_id,
        any_value(value) FILTER (field = 'title') AS title, any_value(value) FILTER (field = 'brand') AS brand,
        any_value(value) FILTER (field = 'category_path') AS path, any_value(value) FILTER (field = 'price') AS price,
        any_value(value) FILTER (field = 'rating') AS rating, any_value(value) FILTER (field = 'tags') AS tags,
        any_value(value) FILTER (field = 'rating_count') AS rating_count,
        any_value(value) FILTER (field = 'available_from') AS created
    FROM keyed WHERE field IS NOT NULL GROUP BY row_id
), marks AS (
    -- most prices decide: 1.299 is over a thousand in a shop that writes 12,50
    SELECT count(*) FILTER (comma_decimal(amount)) > count(*) FILTER (regexp_matches(amount, '\.\d{1,2}$')) AS commas
    FROM (SELECT bare_number(as_id(value)) AS amount FROM keyed WHERE field = 'price' AND NOT is_number(value))
), seen AS (
    -- the first catalogue of all says nothing about when its items came
    SELECT file, CASE WHEN file > 0 THEN landed::TIMESTAMPTZ END AS first_seen FROM versions
)
SELECT item_id, as_id(title) AS title, description, coalesce(as_path(path), []) AS category_path,
    named(as_id(brand)) AS brand, as_amount(price, commas) AS price, NOT is_absent(price) AS price_logged,
    first_number(rating) AS rating, as_amount(rating_count, commas) AS rating_count,
    coalesce(attributes, []) AS attributes, coalesce(as_tags(tags), []) AS tags,
    country, language, zip, latitude, longitude,
    coalesce(least(as_date(created), first_seen), TIMESTAMPTZ '1970-01-01 00:00:00+00') AS available_from,
    unreadable_time(created, as_time(created)) AND as_date(created) IS NULL AS created_unreadable
FROM chosen LEFT JOIN wide USING (row_id) LEFT JOIN attribute_lists USING (row_id)
LEFT JOIN long_texts USING (row_id) LEFT JOIN places USING (row_id) JOIN seen ON seen.file = first_file, marks
"""

FIELDS_SQL = (_MACROS, _KEYED, _VERSIONS, _ROLES, _ATTRIBUTES, _TEXTS, _PLACES, _ITEMS)
"""In order: from ``entries``, ``bodies``, ``fields`` and ``versions`` to ``items``, ``refused`` and ``roles``."""
