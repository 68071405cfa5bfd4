"""HTML in a catalogue's texts: entities become their characters, tags a space."""

from __future__ import annotations

from html import unescape
from html.entities import html5
from typing import Any

import pyarrow as pa

_ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"

# Entities come first: feeds write whole tags as &lt;p&gt;. A "<" before no letter is one that is less than.
_MACROS = rf"""
CREATE OR REPLACE TEMP MACRO unescaped(t) AS array_to_string(list_transform(
    list_zip(string_split_regex(t, '{_ENTITY}'), regexp_extract_all(t, '{_ENTITY}')),
    lambda part: concat(part[1], coalesce(getvariable('entity_texts')[part[2]], part[2]))), '');
CREATE OR REPLACE TEMP MACRO untagged(t) AS CASE WHEN regexp_matches(t, '</?[A-Za-z][^<>]*>|<!--')
    THEN trim(regexp_replace(regexp_replace(t, '<!--.*?-->|(?i)<script\b.*?</script\s*>|(?i)<style\b.*?</style\s*>'
        || '|</?[A-Za-z][^<>]*>', ' ', 'gs'), ' {{2,}}', ' ', 'g'))
    ELSE t END;
CREATE OR REPLACE TEMP MACRO plain_text(j) AS CASE WHEN json_type(j) = 'VARCHAR'
    THEN to_json(untagged(unescaped(j ->> '$'))) ELSE j END;
CREATE OR REPLACE TEMP MACRO has_markup(j) AS regexp_matches(j::VARCHAR, '[&<]|\\u00(26|3[cC])')
    AND NOT (json_type(j) = 'VARCHAR' AND json_valid(j ->> '$'));
"""

_TEXTS = "json_type(value) IN ('VARCHAR', 'ARRAY') AND has_markup(value)"


def strip_html(connection: Any, table: str, chosen: str) -> None:
    """Rid texts, and those in lists, of HTML.

    Args:
        connection: DuckDB.
        table: A table with a column ``value`` (JSON). Objects, and JSON inside a text, stay as they are.
        chosen: SQL condition on its rows.
    """
    connection.execute(_MACROS)
    where = f"{chosen} AND {_TEXTS}"
    found = connection.execute(
        f"""
        SELECT DISTINCT unnest(regexp_extract_all(replace(value::VARCHAR, '\\u0026', '&'), '{_ENTITY}'))
        FROM {table} WHERE {where}
        """
    ).fetchall()
    texts = {entity: _text(entity) for (entity,) in found if entity.startswith("&#") or entity[1:] in html5}
    listed = pa.table({"entity": pa.array(texts.keys(), pa.string()), "text": pa.array(texts.values(), pa.string())})
    connection.register("incoming_entities", listed)
    connection.execute("SET VARIABLE entity_texts = (SELECT map(list(entity), list(text)) FROM incoming_entities)")
    connection.unregister("incoming_entities")
    connection.execute(
        f"""
        UPDATE {table} SET value = CASE WHEN json_type(value) = 'VARCHAR' THEN plain_text(value)
            ELSE to_json(list_transform(json_extract(value, '$[*]'), lambda e: plain_text(e))) END
        WHERE {where}
        """
    )


def _text(entity: str) -> str:
    """Its characters; a space that must not break is a space, and a hyphen that does not show is none."""
    return unescape(entity).replace("\xa0", " ").replace("\xad", "")
