"""The documents of a landing day, told apart into queries and events: by a bulk export's envelope, else by the file's
name, else by what a row holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from features.documents import MAX_RAW_CHARS, DocumentError, encodings_read, load_documents
from features.json_macros import create_macros
from features.landing import DayFiles
from features.landing_files import LandingError, local_copies
from features.parquet_rows import join_rows, last_row
from infra.settings import Settings

SOURCES = ("ubi_queries", "ubi_events")


@dataclass(frozen=True)
class LogRead:
    """What became of a day's files."""

    unread: Mapping[str, str]
    """Files whose rows are neither queries nor events -> why they are not read."""
    encodings: Mapping[str, str]
    """Files that are not UTF-8 -> their encoding."""
    rows: Mapping[str, int]
    """Documents by source."""


def load_log(settings: Settings, engine: Any, files: DayFiles) -> LogRead:
    """Create the tables ``documents_ubi_queries`` and ``documents_ubi_events``, as ``load_documents`` does.

    A row goes where the ``_index`` of its action line, or its own, says: so both may lie in one file of any name. Of a
    file whose name says neither, a row with ``action_name`` is an event and one with ``user_query`` or hits a query;
    the others go with most of their file.

    Raises:
        LandingError: A file cannot be read.
    """
    create_macros(engine)
    connection = engine.con
    listed = {"ubi_queries": files.queries, "ubi_events": files.events, "either": files.either}
    encodings: dict[str, str] = {}
    for source, landed in listed.items():
        with local_copies(settings, landed) as copies:
            try:
                names = [f.name for f in landed]
                table = f"documents_{source}"
                load_documents(engine, table, copies, names, settings.raw.encoding, keep_types=source in SOURCES)
            except DocumentError as error:
                raise LandingError(f"{files.day}: {error}") from error
        encodings |= encodings_read(engine, f"documents_{source}")
    # Each table is judged before rows move between them.
    moving = [source for source in listed if _has_envelopes(connection, source) or source == "either"]
    for source in moving:
        connection.execute(_ROUTED.format(source=source, default="NULL" if source == "either" else f"'{source}'"))
    for source in moving:
        for target in SOURCES:
            if target != source:
                last = last_row(connection, f"documents_{target}")
                connection.execute(_MOVE.format(source=source, target=target, last=last))
        connection.execute(
            f"DELETE FROM documents_{source} WHERE row_id IN (SELECT row_id FROM routed_{source}"
            f" WHERE target IS DISTINCT FROM '{source}')"
        )
    for source in SOURCES:
        join_rows(connection, f"documents_{source}", MAX_RAW_CHARS)
    neither = connection.execute(
        "SELECT file, count(*) FROM routed_either WHERE target IS NULL GROUP BY ALL ORDER BY 1"
    )
    unread = {
        files.either[file].name: f"is not read: none of its {rows:,} rows is a UBI query or event; if it is, name the"
        " file ubi_queries* or ubi_events*; a log of the shop's own names is for shelfwise import own"
        for file, rows in neither.fetchall()
    }
    counts = {s: connection.execute(f"SELECT count(*) FROM documents_{s}").fetchall()[0][0] for s in SOURCES}
    return LogRead(unread, encodings, counts)


def _has_envelopes(connection: Any, source: str) -> bool:
    found = connection.execute(
        f"SELECT 1 FROM documents_{source} WHERE contains(document::VARCHAR, '\"_index\"') LIMIT 1"
    ).fetchall()
    return bool(found)


_ROUTED = """
CREATE OR REPLACE TEMP TABLE routed_{source} AS
WITH marked AS (
    SELECT row_id, file, document, is_action_line(document) AS action_line,
        coalesce(action_of(document) ->> '$._index', document ->> '$._index') AS own
    FROM documents_{source}
), enveloped AS (
    SELECT *, coalesce(own, last_value(CASE WHEN action_line THEN coalesce(own, '') END IGNORE NULLS) OVER (
        PARTITION BY file ORDER BY row_id ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) AS envelope
    FROM marked
), judged AS (
    SELECT row_id, file, CASE
        WHEN source_of_index(envelope) IS NOT NULL THEN source_of_index(envelope)
        WHEN {default} IS NOT NULL THEN {default}
        WHEN json_exists(body_of(document), '$.action_name') THEN 'ubi_events'
        WHEN json_exists(body_of(document), '$.user_query')
            OR json_exists(body_of(document), '$.query_response_hit_ids')
            OR json_exists(body_of(document), '$.query_response_object_ids') THEN 'ubi_queries'
        END AS own_target
    FROM enveloped
)
SELECT row_id, file, coalesce(own_target, mode(own_target) OVER (PARTITION BY file)) AS target FROM judged
"""

_MOVE = """
INSERT INTO documents_{target}
SELECT {last} + row_number() OVER (ORDER BY row_id), file, raw, document
FROM documents_{source} JOIN (SELECT row_id FROM routed_{source} WHERE target = '{target}') USING (row_id)
"""
