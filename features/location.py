"""Where an item or a request is, by whatever name and in whatever form it was logged: the columns of ``LOCATION``.

A point is a latitude and a longitude, or one value that holds both: ``{"lat": 52.5, "lon": 13.4}``, also as text, or
``"52.5,13.4"``. Of several names of one thing the first that has a readable value counts. What cannot be read, half a
point and degrees that are out of range are null, never a reason to refuse the row.
"""

from __future__ import annotations

from typing import Any

from infra.contract.location import BOUNDS, MAX_TEXT_CHARS

PLACE_NAMES: dict[str, tuple[str, ...]] = {
    "country": ("country", "country_code"),
    "language": ("language", "lang", "locale", "language_code"),
    "zip": ("zip", "zip_code", "postal_code", "postcode"),
    "latitude": ("latitude", "lat", "location.lat", "location.latitude", "geo.lat", "geo.latitude"),
    "longitude": ("longitude", "lon", "lng", "location.lon", "location.lng", "location.longitude", "geo.lon", "geo.lng",
                  "geo.longitude"),
    "point": ("location", "geo", "geo_point", "geo_location", "coordinates"),
}  # fmt: skip
"""What a value says -> names of keys and columns that hold it, best first.

Names are compared without case, blanks, hyphens and underscores.
"""

_MACROS = rf"""
CREATE OR REPLACE TEMP MACRO as_place(j) AS CASE
    WHEN len(as_id(j)) <= {MAX_TEXT_CHARS} AND regexp_matches(as_id(j), '[^[:cntrl:][:space:]]')
    -- a column of whole numbers with gaps is one of doubles, in a CSV file too
    THEN regexp_replace(as_id(j), '^(\d+)\.0+$', '\1') END;
CREATE OR REPLACE TEMP MACRO degrees(t, bound) AS
    CASE WHEN try_cast(t AS DOUBLE) BETWEEN -bound AND bound THEN try_cast(t AS DOUBLE) END;
CREATE OR REPLACE TEMP MACRO point_of(j) AS CASE
    WHEN json_type(opened(j)) = 'OBJECT' THEN [
        first_id(json_extract(opened(j), ['$.lat', '$.latitude'])),
        first_id(json_extract(opened(j), ['$.lon', '$.lng', '$.longitude']))]
    WHEN len(string_split(as_id(j), ',')) = 2 THEN string_split(as_id(j), ',') END;
-- "Berlin" in a column called location is a text like any other, 95,200 is a point that is none
CREATE OR REPLACE TEMP MACRO is_point(j) AS coalesce(json_type(opened(j)) = 'OBJECT'
    OR len(list_filter(point_of(j), lambda t: try_cast(t AS DOUBLE) IS NOT NULL)) = 2, false);
"""

_NAMES = ", ".join(
    f"('{field}', '{name.replace('_', '')}', {rank})"
    for field, names in PLACE_NAMES.items()
    for rank, name in enumerate(names)
)

_TEXTS = ", ".join(
    f"first(place ORDER BY rank, key, value) FILTER (kind = '{field}' AND place IS NOT NULL) AS {field}"
    for field in ("country", "language", "zip")
)

_NUMBERS = ", ".join(
    f"first(degrees(id, {bound}) ORDER BY rank, key, value)"
    f" FILTER (kind = '{field}' AND degrees(id, {bound}) IS NOT NULL) AS {field}"
    for field, bound in BOUNDS.items()
)

_READABLE = "degrees(pair[1], 90) IS NOT NULL AND degrees(pair[2], 180) IS NOT NULL"


def create_place_macros(engine: Any) -> None:
    """Define the macros that ``places_sql`` needs, and ``is_point``; those of ``json_macros`` must be there."""
    engine.con.execute(_MACROS)


def places_sql(entries: str) -> str:
    """A query for ``row_id, country, language, zip, latitude, longitude``, one row per row that says any of them.

    Args:
        entries: table or subquery of ``row_id``, ``key`` and ``value`` (JSON); other keys are passed over.
    """
    whole = "latitude IS NOT NULL AND longitude IS NOT NULL"
    return f"""
    SELECT row_id, country, language, zip, CASE WHEN {whole} THEN latitude ELSE degrees(point[1], 90) END AS latitude,
        CASE WHEN {whole} THEN longitude ELSE degrees(point[2], 180) END AS longitude
    FROM (
        SELECT row_id, {_TEXTS}, {_NUMBERS},
            first(pair ORDER BY rank, key, value) FILTER (kind = 'point' AND {_READABLE}) AS point
        FROM (
            -- each macro once: it is copied to wherever it is named
            SELECT row_id, key, value, kind, names.rank AS rank, as_id(value) AS id,
                CASE WHEN kind IN ('country', 'language', 'zip') THEN as_place(value) END AS place,
                CASE WHEN kind = 'point' THEN point_of(value) END AS pair
            FROM {entries} JOIN (VALUES {_NAMES}) AS names (kind, name, rank)
                ON replace(replace(replace(lower(trim(key)), '_', ''), '-', ''), ' ', '') = name
        )
        GROUP BY row_id
    )
    """
