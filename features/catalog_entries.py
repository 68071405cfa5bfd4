"""The catalogue files of a landing folder as (row, column, value), objects that hold fields opened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.catalog_aliases import ALIASES
from features.catalog_names import opened_columns
from features.documents import load_documents
from features.envelope_ids import take_envelope_ids
from features.json_macros import create_macros
from features.landing_files import LandingFile, local_copies
from infra.settings import Settings


def load_entries(settings: Settings, engine: Any, files: Sequence[LandingFile]) -> int:
    """Create ``documents``, ``bodies(row_id, file, raw, not_json, body)`` and ``entries(row_id, file, key, value)``.

    Returns:
        The rows of the files.

    Raises:
        LandingError, DocumentError: a file cannot be read.
    """
    with local_copies(settings, files) as copies:
        rows = load_documents(engine, "documents", copies, [f.name for f in files], settings.raw.encoding)
    take_envelope_ids(engine, "documents", [name.lower() for name in ALIASES["item_id"]])
    create_macros(engine)
    connection = engine.con
    connection.execute(_ENTRIES_SQL)
    known: set[str] = set()
    while nested := opened_columns(_keys(connection) - known):
        known = _keys(connection)
        connection.execute(_OPENED_SQL, [nested])
    return rows


def _keys(connection: Any) -> set[str]:
    return {key for (key,) in connection.execute("SELECT DISTINCT key FROM entries").fetchall()}


_ENTRIES_SQL = """
CREATE TABLE bodies AS
    SELECT row_id, file, raw, document IS NULL AS not_json, body_of(document) AS body FROM documents
    WHERE NOT is_action_line(document);
CREATE TABLE entries AS
    SELECT row_id, file, e.key AS key, e.value AS value
    FROM bodies, json_each(bodies.body) AS e WHERE NOT is_absent(e.value)
"""

# {"offers": [{"price": 1}, {"price": [2, 3]}]} also has the column offers.price, with all three
_OPENED_SQL = """
INSERT INTO entries
    WITH objects AS (
        SELECT row_id, file, key, unnest(CASE WHEN json_type(opened(value)) = 'ARRAY'
            THEN json_extract(opened(value), '$[*]') ELSE [opened(value)] END) AS value
        FROM entries WHERE list_contains(?, key)
    )
    SELECT row_id, file, objects.key || '.' || e.key, to_json(flatten(list(
        CASE WHEN json_type(e.value) = 'ARRAY' THEN json_extract(e.value, '$[*]') ELSE [e.value] END)))
    FROM (FROM objects WHERE json_type(value) = 'OBJECT') AS objects, json_each(objects.value) AS e
    WHERE NOT is_absent(e.value) GROUP BY ALL
"""
