"""Lists and objects that Python printed into a text, as pandas does into CSV files: ``['Home', 'Sofas']`` as JSON."""

from __future__ import annotations

from typing import Any

_TEXT = r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\""""

# outside of texts Python differs in names and in tuples; inside, in the quotation mark and in \x and \', which a
# backslash before them, held as chr(1), makes plain
_MACROS = r"""
CREATE OR REPLACE TEMP MACRO literal_name(t) AS regexp_replace(regexp_replace(regexp_replace(translate(t, '()', '[]'),
    '\bNone\b|\bnan\b', 'null', 'g'), '\bTrue\b', 'true', 'g'), '\bFalse\b', 'false', 'g');
CREATE OR REPLACE TEMP MACRO literal_text(t) AS CASE WHEN coalesce(t, '') = '' THEN '' ELSE concat('"',
    replace(regexp_replace(replace(replace(CASE WHEN starts_with(t, '''') THEN replace(t[2:-2], '"', '\"')
        ELSE t[2:-2] END, '\\', chr(1)), '\''', ''''), '\\x([0-9a-fA-F]{2})', '\\u00\1', 'g'), chr(1), '\\'), '"') END;
CREATE OR REPLACE TEMP MACRO literal_json(t) AS array_to_string(list_transform(
    list_zip(string_split_regex(t, {text}), regexp_extract_all(t, {text})),
    lambda part: concat(literal_name(part[1]), literal_text(part[2]))), '');
""".replace("{text}", "'" + _TEXT.replace("'", "''") + "'")


def read_literals(connection: Any, table: str) -> None:
    """Write texts that are Python's lists and objects as the JSON text that they would be.

    Args:
        connection: DuckDB.
        table: A table with a column ``value`` (JSON). What is JSON already, or no literal, stays as it is.
    """
    connection.execute(_MACROS)
    connection.execute(
        f"""
        UPDATE {table} SET value = to_json(literal_json(value ->> '$'))
        WHERE json_type(value) = 'VARCHAR' AND regexp_matches(value ->> '$', '^\\s*[\\[{{(].*[\\]}})]\\s*$', 's')
            AND contains(value::VARCHAR, '''') AND NOT json_valid(value ->> '$')
            AND json_valid(literal_json(value ->> '$'))
        """
    )
