"""From a catalogue's columns, by whatever name, to the fields of ``CATALOG``.

A column of a known name becomes its field, see ``features.catalog_names``. Of the others, short texts, numbers and
lists of them become attributes (key = column), long texts (over 60 characters on average) are added to the description,
and links and nested objects are left out. All names of a location are its own, see ``features.location``. The levels of
an item's further category paths are tags, which can be filtered by and are searched like its category.
"""

from __future__ import annotations

from features.catalog_paths import PATHS_SQL
from features.catalog_values import VALUE_MACROS
from features.location import places_sql
from features.variants import FAMILIES_SQL
from infra.contract.tables import LOCATION_NAMES

LONG_TEXT_CHARS = 60

UNNAMED = r"(?i)column\d+|unnamed: ?\d+|index|__index_level_\d+__"
"""Names that a column without one is given, by ``csv_text`` and by pandas: whole numbers in it count the rows."""

HTML_ENTRIES = """(file, key) IN (SELECT (file, key) FROM fields
    WHERE field IS NULL OR field IN ('title', 'description', 'category_path', 'brand', 'tags'))"""
"""Condition on the ``entries`` whose texts people read."""

_KEYED = """
CREATE TABLE keyed AS
SELECT row_id, file, key, CASE WHEN field = 'point' AND NOT is_point(value) THEN NULL
    WHEN field = 'attributes' AND NOT is_structured(value) THEN NULL ELSE field END AS field,
    rank, slot, value, as_id(value) AS text,
    CASE WHEN is_list_or_object(value) THEN labels_of(value) WHEN text IS NULL THEN [] ELSE [text] END AS labels
FROM (SELECT * REPLACE (CASE WHEN field IS NULL AND NOT starts_with(value ->> '$', '[') THEN value
    ELSE unboxed(value) END AS value)
    FROM entries JOIN fields USING (file, key))
"""

_VERSIONS = """
CREATE TABLE candidates AS
WITH ids AS (
    SELECT row_id, coalesce(arg_min(value, rank) FILTER (as_id(value) IS NOT NULL), arg_min(value, rank)) AS id
    FROM entries JOIN fields USING (file, key) WHERE field = 'item_id' GROUP BY row_id
)
SELECT row_id, file, raw, coalesce(product, as_id(id)) AS item_id, row_id <> lead AS is_variant,
    product IS NULL AND NOT not_json AND row_number() OVER (PARTITION BY file, hash(body::VARCHAR) ORDER BY row_id) > 1
        AND as_id(id) IS NOT NULL AS is_repeat, CASE
    WHEN not_json THEN unread WHEN product IS NOT NULL THEN NULL
    WHEN no_scalar(id) THEN 'wrong_type' WHEN as_id(id) IS NULL THEN 'no_id' WHEN is_repeat THEN NULL
    WHEN row_number() OVER (PARTITION BY file, as_id(id) ORDER BY row_id) > 1 THEN 'duplicate_id' END AS reason
FROM bodies JOIN versions USING (file) LEFT JOIN ids USING (row_id)
LEFT JOIN (SELECT row_id, product, lead FROM members) USING (row_id);
CREATE TABLE refused AS
    SELECT 'catalog' AS source, reason, raw, row_id FROM candidates WHERE reason IS NOT NULL;
CREATE TABLE chosen AS
    SELECT arg_max(row_id, file) AS row_id, item_id, min(file) AS first_file
    FROM candidates WHERE reason IS NULL AND is_variant IS NOT TRUE AND NOT is_repeat GROUP BY item_id
"""

_ROLES = f"""
CREATE TABLE roles AS
SELECT key, CASE WHEN min(slot) = 'packing' THEN 'packing'
    WHEN regexp_full_match(key, '{UNNAMED}') AND count(DISTINCT try_cast(text AS BIGINT)) = count(*) THEN 'counter'
    WHEN avg(starts_with(lower(coalesce(text, labels[1])), 'http')::INT) > 0.5 THEN 'link'
    WHEN avg(CASE WHEN text IS NOT NULL THEN len(text) ELSE list_avg(list_transform(labels, lambda t: len(t))) END)
        > {LONG_TEXT_CHARS} THEN 'description' ELSE 'attribute' END AS role
FROM keyed WHERE field IS NULL AND coalesce(json_type(value), '') <> 'OBJECT' GROUP BY key
"""

_ATTRIBUTES = r"""
CREATE TABLE attribute_lists AS
WITH given AS (
    SELECT row_id, value FROM keyed WHERE field = 'attributes'
), pairs AS (
    SELECT row_id, e.key AS key, e.value AS value FROM given, json_each(given.value) AS e
    WHERE json_type(given.value) = 'OBJECT'
    UNION ALL
    SELECT row_id, coalesce(label(json_extract(e.value, '$.key')), label(json_extract(e.value, '$.name')),
            as_id(json_extract(e.value, '$.label')), as_id(json_extract(e.value, '$.attribute_code'))),
        coalesce(json_extract(e.value, '$.value'), json_extract(e.value, '$.values'),
            json_extract(e.value, '$.options'), json_extract(e.value, '$.option'))
    FROM given, json_each(given.value) AS e WHERE json_type(given.value) = 'ARRAY'
    UNION ALL
    SELECT row_id, split_part(pair, '=', 1), to_json(string_split(substr(pair, strpos(pair, '=') + 1), '|'))
    FROM (SELECT row_id, unnest(string_split_regex(regexp_replace(value ->> '$', ',([\w .-]{1,64}=)',
        chr(1) || '\1', 'g'), chr(1))) AS pair FROM given WHERE is_pairs_text(value)) WHERE contains(pair, '=')
    UNION ALL
    SELECT row_id, coalesce(name, regexp_replace(slot, '(\d+)$', ' \1')), CASE WHEN starts_with(slot, 'option')
        THEN value ELSE to_json(separated(text, ',')) END
    FROM keyed LEFT JOIN (SELECT row_id, slot, min(labels[1]) AS name FROM keyed WHERE field = 'pair_name' GROUP BY ALL)
        USING (row_id, slot)
    WHERE field = 'pair_value' AND text <> 'Default Title'
    UNION ALL
    SELECT row_id, key, value FROM keyed JOIN roles USING (key) WHERE role = 'attribute' AND field IS NULL
), flat AS (
    SELECT DISTINCT row_id, trim(key) AS key,
        unnest(CASE WHEN is_list_or_object(value) THEN texts_of(value) ELSE [scalar_text(value)] END) AS value
    FROM pairs WHERE trim(key) <> ''
)
SELECT row_id, list({'key': key, 'value': value} ORDER BY key, value) AS attributes FROM flat
WHERE value IS NOT NULL GROUP BY row_id
"""

_TEXTS = """
CREATE TABLE long_texts AS
SELECT row_id, nullif(string_agg(array_to_string(labels, chr(10)), chr(10) ORDER BY (field IS NULL), key), '')
    AS description
FROM keyed LEFT JOIN roles USING (key)
WHERE len(labels) > 0 AND (field = 'description' OR (field IS NULL AND role = 'description')) GROUP BY row_id
"""

_PLACES = f"CREATE TABLE places AS {places_sql('keyed')}"

PRICES_SQL = r"""
CREATE TABLE prices AS
WITH given AS (
    SELECT row_id, rank, unnest(prices_in(value)) AS value FROM keyed WHERE field = 'price' AND is_said(value)
), told AS (
    SELECT row_id, rank, CASE WHEN is_number(value) THEN number_of(value) END AS number,
        CASE WHEN NOT is_number(value) THEN as_id(value) END AS text, bare_number(text) AS bare
    FROM given
), marks AS (
    -- most prices decide: 1.299 is over a thousand in a shop that writes 12,50
    SELECT count(*) FILTER (comma_decimal(bare)) > count(*) FILTER (regexp_matches(bare, '\.\d{1,2}$')) AS commas
    FROM told
), ends AS (
    SELECT *, CASE WHEN bare <> '' OR text IS NULL OR starts_with(text, '-') THEN [bare]
        ELSE list_transform(range_ends(text), lambda t: bare_number(t)) END AS bares FROM told
), read AS (
    SELECT row_id, rank, min(coalesce(number, CASE WHEN len(bares) IN (1, 2) THEN amounts[1] END)) AS price FROM (
        SELECT *, list_sort(list_transform(bares, lambda t: try_cast(dotted(t, commas) AS DOUBLE)),
            'ASC', 'NULLS FIRST') AS amounts FROM ends, marks
    ) GROUP BY row_id, rank
)
-- 0 beside another price is no sale
SELECT row_id, coalesce(arg_min(price, rank) FILTER (price > 0), arg_min(price, rank) FILTER (price = 0)) AS price
FROM read GROUP BY row_id
"""
"""From ``keyed`` to ``prices(row_id, price)``: of the columns of prices the best one that a row has, of several prices
in it the lowest; no row for what cannot be read."""

_ONE = {"title": "labels[1]", "brand": "labels[1]", "rating": "labels[1]", "rating_count": "labels[1]",
        "category_path": "value", "available_from": "value"}  # fmt: skip
_WIDE = ", ".join(
    f"arg_min({of}, rank) FILTER (field = '{name}' AND is_said(value)) AS raw_{name}" for name, of in _ONE.items()
)

_ITEMS = rf"""
CREATE TABLE tag_lists AS
SELECT row_id, arg_min(CASE WHEN text IS NULL THEN trimmed(texts_of(value)) ELSE separated(text, '[,;|]') END, rank)
    FILTER (is_said(value)) AS given
FROM keyed WHERE field = 'tags' GROUP BY row_id;
CREATE TABLE items AS
WITH wide AS (
    SELECT row_id, {_WIDE} FROM keyed WHERE field IN {tuple(_ONE)} GROUP BY row_id
), dates AS (
    SELECT value AS raw_available_from, as_date(value) AS created, is_said(value) AND created IS NULL AS unread
    FROM (SELECT DISTINCT value FROM keyed WHERE field = 'available_from')
), seen AS (
    -- the first catalogue of all says nothing about when its items came
    SELECT file, CASE WHEN file > 0 THEN landed::TIMESTAMPTZ END AS first_seen FROM versions
)
SELECT row_id, item_id, raw_title AS title, description, coalesce(path, []) AS category_path,
    named(raw_brand) AS brand, price, first_number(raw_rating) AS rating,
    text_amount(raw_rating_count, true) AS rating_count, -- 1.299 ratings are over a thousand
    coalesce(attributes, []) AS attributes,
    list_concat(coalesce(given, []),
        list_filter(coalesce(further, []), lambda t: NOT list_contains(coalesce(given, []), t))) AS tags,
    country, language, zip, latitude, longitude,
    coalesce(least(created, first_seen), TIMESTAMPTZ '1970-01-01 00:00:00+00') AS available_from,
    coalesce(unread, false) AS created_unreadable
FROM chosen LEFT JOIN wide USING (row_id) LEFT JOIN dates USING (raw_available_from) LEFT JOIN tag_lists USING (row_id)
LEFT JOIN attribute_lists USING (row_id) LEFT JOIN prices USING (row_id)
LEFT JOIN long_texts USING (row_id) LEFT JOIN places USING (row_id)
LEFT JOIN category_paths ON raw_category_path::VARCHAR = value_text JOIN seen ON seen.file = first_file
"""

_READ = ("title", "description", "brand", "price", "rating", "rating_count", *LOCATION_NAMES)
_LISTS = ("category_path", "attributes", "tags")
_MISSING = ", ".join(
    [f"CASE WHEN {name} IS NULL THEN '{name}' END" for name in _READ]
    + [f"CASE WHEN len({name}) = 0 THEN '{name}' END" for name in _LISTS]
    + ["CASE WHEN created_unreadable THEN 'available_from' END"]
)
UNREADABLE_SQL = f"""
WITH missing AS (SELECT row_id, unnest([{_MISSING}]) AS field FROM items),
    given AS MATERIALIZED (SELECT row_id, field, value FROM keyed JOIN missing USING (row_id, field))
SELECT field, count(DISTINCT row_id) FROM given WHERE is_said(value) GROUP BY field ORDER BY field
"""
"""Items with a value of a field that could not be read, by field: field, count."""

FIELDS_SQL = (VALUE_MACROS, _KEYED, *FAMILIES_SQL, _VERSIONS, _ROLES, _ATTRIBUTES, _TEXTS, _PLACES, PRICES_SQL,
              PATHS_SQL, _ITEMS)  # fmt: skip
"""In order: from ``entries``, ``bodies``, ``fields`` and ``versions`` to ``items``, ``refused``, ``roles``, ``members``
and ``aliases``."""
