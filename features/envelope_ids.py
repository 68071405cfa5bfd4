"""The id of a catalogue row that has none: ``_id`` of its envelope, of the action line before it, or its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from features.json_macros import create_macros


def take_envelope_ids(engine: Any, table: str, names: Sequence[str]) -> int:
    """Give rows of ``load_documents`` without an id the one of their envelope; return how many got one.

    It goes under the first of ``names`` that the file has for an id, else under ``item_id``, in the unwrapped row.

    Args:
        engine: Ibis DuckDB backend.
        table: Table of ``load_documents``; changed in place.
        names: Names of the id column in any case, best first.
    """
    create_macros(engine)
    connection = engine.con
    if not connection.execute(f"SELECT 1 FROM {table} WHERE contains(document::VARCHAR, '\"_id\"') LIMIT 1").fetchall():
        return 0
    connection.execute(_IDS.format(table=table), [list(names), list(names)])
    ((count,),) = connection.execute("SELECT count(*) FROM envelope_ids").fetchall()
    connection.execute(
        f"""
        UPDATE {table} SET document = json_merge_patch(body_of(document), json_object(e.key, e.id))
        FROM envelope_ids e WHERE e.row_id = {table}.row_id
        """
    )
    return int(count)


_IDS = """
CREATE OR REPLACE TEMP TABLE envelope_ids AS
WITH marked AS (
    SELECT row_id, file, is_action_line(document) AS action_line, document, body_of(document) AS body,
        CASE WHEN action_line THEN as_id(action_of(document) -> '$._id')
            ELSE coalesce(as_id(document -> '$._id'), as_id(document -> '$._id."$oid"')) END AS own
    FROM {table} WHERE document IS NOT NULL
), enveloped AS (
    SELECT *, coalesce(own, CASE WHEN lag(action_line) OVER (PARTITION BY file ORDER BY row_id)
        THEN lag(own) OVER (PARTITION BY file ORDER BY row_id) END) AS id
    FROM marked
), keyed AS (
    SELECT row_id, file, id, list_filter(json_keys(body),
        lambda k: list_contains(?, replace(replace(lower(trim(k)), ' ', '_'), '-', '_'))
            AND as_id(json_extract(body, '$."' || replace(k, '"', '') || '"')) IS NOT NULL) AS keys
    FROM enveloped WHERE NOT action_line
), named AS (
    SELECT file, min_by(key, list_position(?, lower(key))) AS key FROM (SELECT file, unnest(keys) AS key FROM keyed)
    GROUP BY file
)
SELECT row_id, id, coalesce(named.key, 'item_id') AS key FROM keyed LEFT JOIN named USING (file)
WHERE len(keys) = 0 AND id IS NOT NULL
"""
