"""A dump of UBI: queries and events, and perhaps the catalogue, together in any files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import duckdb

from features.adapters.base import ImportRequest, Loaded, Maps, count, watched
from features.adapters.files import local_files
from features.adapters.json_rows import json_source, odd_line
from features.adapters.ubi_rows import PLAIN_MACROS, rows_sql, untold_sql
from features.catalog_aliases import ALIASES
from features.documents import load_documents
from features.envelope_ids import take_envelope_ids
from features.file_names import CATALOG_INDEXES, is_catalog, log_source
from features.json_macros import create_macros
from features.sql_text import quoted
from features.ubi import read_events, read_queries
from infra.settings import RawSettings, action_key

NAME = "ubi"
WHAT = (
    "UBI 1.3 and older as a search engine gives it out: bulk with action lines, scroll exports, NDJSON, lists, Parquet"
)
OPTIONS: dict[str, str] = {}
MAPPING = (
    Maps("a row with `action_name`", "`ubi_events`", "an index named `*event*` tells it where the row does not"),
    Maps("a row with `user_query` or hits", "`ubi_queries`", "else an index or file named `*quer*`"),
    Maps("a row of an index named `*product*`, `*item*`, `*catalog*`", "a catalogue row", "`_id` names it"),
    Maps("`timestamp`, `@timestamp`", "`timestamp`", "ISO-8601, HTTP and log times, epochs of any unit"),
    Maps("fields spelt or nested otherwise", "the field", "as a landed log is read, see `features.ubi`"),
    Maps("`_source` of scroll exports", "the row"),
    Maps("an impression without a time", "an impression at its query's time"),
    Maps("other rows without a readable time", "left out"),
)  # fmt: skip


def load(connection: duckdb.DuckDBPyConnection, request: ImportRequest) -> Loaded:
    """Read dumps into ``ubi_queries``, ``ubi_events`` and ``ubi_catalog``."""
    files = local_files(request)
    by_target: dict[str | None, list[Path]] = {}
    for file in files:
        by_target.setdefault("catalog" if is_catalog(file.name) else log_source(file.name), []).append(file)
    items = by_target.pop("catalog", [])
    engine = start(connection, request.raw)
    rows_in = 0
    with watched(connection, request.progress, f"reading {len(files)} files"), in_zone(connection, request.zone):
        for target, group in by_target.items():
            for source in json_source(connection, group):
                rows_in += read_rows(connection, source, target, request.raw)
    if items:
        rows_in += load_documents(engine, "catalog_files", items, [file.name for file in items])
        connection.execute(_CATALOG_FILES_SQL)
    odd = odd_line(files) if count(connection, "SELECT count(*) FROM ubi_rows WHERE kind = 'not_json'") else ""
    return finish(connection, engine, request, rows_in, [_EXPECTED.format(odd=odd)] if odd else [])


def start(connection: duckdb.DuckDBPyConnection, raw: RawSettings) -> SimpleNamespace:
    """Make the tables that rows are read into; what the readers of ``features`` take for their engine."""
    engine = SimpleNamespace(con=connection, table=lambda name: name)
    create_macros(engine)
    connection.execute(PLAIN_MACROS)
    connection.execute(_TABLES_SQL)
    rows = ", ".join(f"({quoted(action_key(name))}, '{meaning}')" for name, meaning in raw.actions.items())
    connection.execute(f"CREATE TABLE meanings AS FROM (VALUES {rows}) AS m (action, meaning)")
    return engine


@contextmanager
def in_zone(connection: duckdb.DuckDBPyConnection, zone: str) -> Iterator[None]:
    """Read times that name no zone in this one."""
    connection.execute(f"SET TimeZone = {quoted(zone)}")
    try:
        yield
    finally:
        connection.execute("SET TimeZone = 'UTC'")


def read_rows(connection: duckdb.DuckDBPyConnection, source: str, target: str | None, raw: RawSettings) -> int:
    """Read a source of ``json_rows``; rows that do not say what they are, are of ``target``. Return how many rows."""
    rows = count(connection, f"INSERT INTO ubi_rows {rows_sql(source, raw.guest_ids)}")
    if count(connection, "SELECT count(*) FROM ubi_rows WHERE kind IS NULL"):
        connection.execute(f"CREATE OR REPLACE TEMP TABLE untold AS {untold_sql(source)}")
        default = quoted(target) if target else "NULL"
        connection.execute(_UNTOLD_SQL.format(default=default, catalogs="|".join(CATALOG_INDEXES)))
    return rows


def finish(
    connection: duckdb.DuckDBPyConnection,
    engine: SimpleNamespace,
    request: ImportRequest,
    rows_in: int,
    notes: Sequence[str] = (),
) -> Loaded:
    """The tables of what was read; ``notes`` stand before what there is to say of them."""
    with watched(connection, request.progress, "reading rows of other spellings"), in_zone(connection, request.zone):
        connection.execute(_DOCUMENTS_SQL)
        read_queries(engine, "documents_ubi_queries", "odd_queries", request.raw.guest_ids)
        read_events(engine, "documents_ubi_events", "odd_events", request.raw.guest_ids)
    with watched(connection, request.progress, "typing rows"):
        connection.execute(_TYPED_SQL)
        connection.execute(_BECAME_SQL)
    items = count(connection, "SELECT count(*) FROM documents_catalog")
    if items:
        take_envelope_ids(engine, "documents_catalog", [name.lower() for name in ALIASES["item_id"]])
        ((structure,),) = connection.execute(
            "SELECT json_group_structure(body_of(document))::VARCHAR FROM documents_catalog"
        ).fetchall()
        connection.execute(
            f"CREATE TABLE ubi_catalog AS SELECT unnest(from_json(body_of(document), {quoted(structure)}))"
            " FROM documents_catalog"
        )
    return Loaded(
        rows_in=rows_in,
        became="ubi_became",
        queries="ubi_queries",
        events="ubi_events",
        catalog="ubi_catalog" if items else None,
        notes=[*notes, *_notes(connection, items)],
    )


def _notes(connection: duckdb.DuckDBPyConnection, items: int) -> list[str]:
    told = connection.execute(
        "SELECT became, any_value(left(document::VARCHAR, 200)) FROM ubi_refused GROUP BY became ORDER BY became"
    ).fetchall()
    notes = [f"{became}, such as {example}" for became, example in told if example]
    unknown = connection.execute(
        "SELECT source_event, sum(rows) AS rows FROM ubi_became WHERE became = 'event of no known meaning'"
        " GROUP BY ALL ORDER BY rows DESC LIMIT 10"
    ).fetchall()
    if unknown:
        named = ", ".join(f"{action} ({rows:,})" for action, rows in unknown)
        notes.append(f"A run leaves out {named}: say what they mean in the setting raw.actions if they are of use.")
    if not items:
        notes.append("There are no catalogue rows among them: import the catalogue too, or put it into the folder.")
    return notes


_EXPECTED = (
    'Expected is a JSON object a line, such as {{"action_name": "click", "query_id": "q1", "client_id": "c1",'
    ' "timestamp": "2026-05-10T10:00:00Z", "object_id": "sku1"}}. {odd}. Logs of another form are for'
    " shelfwise import own, which reads CSV, JSON and Parquet by the names of their columns."
)

_TABLES_SQL = f"""
CREATE TEMP TABLE ubi_rows AS {rows_sql("(SELECT NULL::JSON AS json)", ())} LIMIT 0;
CREATE TABLE documents_untold (target VARCHAR, index VARCHAR, id VARCHAR, document JSON);
CREATE TABLE documents_catalog (row_id BIGINT, file BIGINT, raw VARCHAR, document JSON);
CREATE TABLE ubi_other (source_event VARCHAR, became VARCHAR, rows BIGINT);
"""

# {default}: ubi_queries or ubi_events where the file's name says so
_UNTOLD_SQL = """
DELETE FROM ubi_rows WHERE kind IS NULL;
INSERT INTO documents_untold
SELECT CASE
    WHEN source_of_index(index) IS NOT NULL THEN source_of_index(index)
    WHEN list_has_any(spelt, ['actionname', 'eventname', 'eventattributes']) THEN 'ubi_events'
    WHEN list_has_any(spelt, ['userquery', 'queryresponsehitids', 'queryresponseobjectids', 'queryresponse'])
        THEN 'ubi_queries'
    WHEN regexp_matches(lower(index), '{catalogs}') THEN 'catalog'
    ELSE {default} END, index, id, document
FROM untold;
"""

_CATALOG_FILES_SQL = """
INSERT INTO ubi_other
SELECT 'row of the catalogue', CASE WHEN document IS NULL THEN 'left out: no JSON object, or not its columns'
    ELSE 'line of the bulk format' END, count(*)
FROM catalog_files WHERE document IS NULL OR is_action_line(document) GROUP BY ALL;
INSERT INTO documents_catalog
SELECT row_id, file, raw, CASE WHEN e.id IS NULL THEN document
    ELSE json_object('_id', e.id, '_source', body_of(document)) END
FROM (
    SELECT *, action_of(lag(document) OVER w) ->> '$._id' AS id
    FROM catalog_files WINDOW w AS (PARTITION BY file ORDER BY row_id)
) AS e WHERE document IS NOT NULL AND NOT is_action_line(document);
"""

_DOCUMENTS_SQL = """
CREATE TABLE documents_ubi_queries AS
SELECT row_number() OVER () - 1 AS row_id, 0 AS file, NULL::VARCHAR AS raw, document FROM (
    SELECT document FROM ubi_rows WHERE kind = 'ubi_queries' AND NOT plain
    UNION ALL SELECT document FROM documents_untold WHERE target = 'ubi_queries');
CREATE TABLE documents_ubi_events AS
SELECT row_number() OVER () - 1 AS row_id, 0 AS file, NULL::VARCHAR AS raw, document FROM (
    SELECT document FROM ubi_rows WHERE kind = 'ubi_events' AND NOT plain
    UNION ALL SELECT document FROM documents_untold WHERE target = 'ubi_events');
INSERT INTO documents_catalog
SELECT row_number() OVER () + (SELECT count(*) FROM documents_catalog), 0, NULL,
    CASE WHEN id IS NULL THEN document ELSE json_object('_id', id, '_source', body_of(document)) END
FROM documents_untold WHERE target = 'catalog';
"""

_REFUSED = (
    "CASE WHEN not_json THEN 'left out: no JSON object' WHEN wrong_type THEN 'left out: a field is no {kind}' END"
)

_TYPED_SQL = """
CREATE VIEW all_queries AS
SELECT query_id, user_id, client_id, session_id, user_query, time AS timestamp, hits AS query_response_hit_ids,
    query_attributes::JSON AS query_attributes, user_agent
FROM ubi_rows WHERE kind = 'ubi_queries' AND plain
UNION ALL BY NAME
SELECT query_id, user_id, client_id, session_id, query_text AS user_query, time AS timestamp,
    hits AS query_response_hit_ids, agent AS user_agent, CASE WHEN coalesce(country, language, zip, latitude::VARCHAR,
        longitude::VARCHAR) IS NOT NULL THEN to_json({{'country': country, 'language': language, 'zip': zip,
        'latitude': latitude, 'longitude': longitude}}) END AS query_attributes
FROM odd_queries WHERE NOT wrong_type;
CREATE VIEW asked_at AS
SELECT query_id, min(timestamp) AS asked FROM all_queries WHERE query_id IS NOT NULL GROUP BY query_id;
CREATE VIEW timed_events AS
SELECT action AS action_name, query_id, user_id, client_id, session_id, time, coalesce(event_id, md5(concat_ws(chr(31),
    coalesce(action, ''), coalesce(query_id, ''), coalesce(user_id, client_id, ''), coalesce(item_id, ''),
    coalesce(epoch_us(time)::VARCHAR, '')))) AS event_id, item_id AS object_id,
    position AS "event_attributes.position.ordinal", user_query, user_agent, NULL::JSON AS event_attributes
FROM ubi_rows WHERE kind = 'ubi_events' AND plain
UNION ALL BY NAME
SELECT action AS action_name, query_id, user_id, client_id, session_id, time, event_id, item_id AS object_id,
    position AS "event_attributes.position.ordinal", query_text AS user_query, agent AS user_agent,
    CASE WHEN basket IS NOT NULL THEN json_object('items', list_transform(basket, lambda b: {{'object_id': b.item_id,
        'position': b.position}})) END AS event_attributes
FROM odd_events WHERE NOT wrong_type;
CREATE VIEW all_events AS
SELECT e.* EXCLUDE (time), coalesce(time, CASE WHEN meaning = 'impression' THEN asked END) AS timestamp, meaning
FROM timed_events AS e LEFT JOIN meanings AS m ON regexp_replace(action_name, '[\\s_-]', '', 'g') = m.action
LEFT JOIN asked_at ON e.time IS NULL AND e.query_id = asked_at.query_id;
CREATE VIEW ubi_queries AS FROM all_queries WHERE timestamp IS NOT NULL;
CREATE VIEW ubi_events AS SELECT * EXCLUDE (meaning) FROM all_events WHERE timestamp IS NOT NULL;
""".replace("{{", "{").replace("}}", "}")

_BECAME_SQL = f"""
CREATE TABLE ubi_refused AS
SELECT 'query' AS source_event, {_REFUSED.format(kind="text, number or list")} AS became, document
FROM odd_queries JOIN documents_ubi_queries USING (row_id) WHERE wrong_type
UNION ALL
SELECT coalesce(action, 'event'), {_REFUSED.format(kind="text or number")}, document
FROM odd_events JOIN documents_ubi_events USING (row_id) WHERE wrong_type
UNION ALL
SELECT coalesce(index, 'row'), 'left out: neither a query, nor an event, nor an item', document
FROM documents_untold WHERE target IS NULL;
CREATE TABLE ubi_became AS
SELECT 'query' AS source_event,
    CASE WHEN timestamp IS NULL THEN 'left out: no readable time' ELSE 'request' END AS became,
    count(*) AS rows, count(timestamp) AS written
FROM all_queries GROUP BY ALL
UNION ALL
SELECT coalesce(action_name, 'event'), CASE WHEN timestamp IS NULL THEN 'left out: no readable time'
    WHEN meaning = 'ignore' THEN 'event that a run ignores' ELSE coalesce(meaning, 'event of no known meaning') END,
    count(*), count(timestamp)
FROM all_events GROUP BY ALL
UNION ALL
SELECT source_event, became, count(*), 0 FROM ubi_refused GROUP BY ALL
UNION ALL
SELECT CASE kind WHEN 'not_json' THEN 'line' ELSE 'action line' END,
    CASE kind WHEN 'not_json' THEN 'left out: no JSON object' ELSE 'line of the bulk format' END, count(*), 0
FROM ubi_rows WHERE kind IN ('not_json', 'action_line') GROUP BY ALL
UNION ALL
SELECT source_event, became, rows, 0 FROM ubi_other
UNION ALL
SELECT 'row of the catalogue', 'item', count(*), count(*) FROM documents_catalog;
"""
