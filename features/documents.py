"""Files of any kind as one table of JSON documents in DuckDB, so that what reads them has one path.

A line of NDJSON is a document as it stands; a Parquet or CSV row becomes the document with its columns as keys. A line
that is no JSON object, or no row of its CSV file's columns, stays in the table with a null document, for whoever reads
it to refuse.
"""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
from fsspec.implementations.local import LocalFileSystem

from features.csv_text import BLOCK_BYTES, rewrite_csv

MAX_LINE_BYTES = 64 * 2**20
"""A longer line is cut, which makes it no JSON: one runaway line costs a row, not the day."""
MAX_RAW_CHARS = 65_536
"""What is kept of a row for the quarantine table."""
MAX_REJECT_CHARS = 10_000
"""DuckDB cuts what it shows of a refused CSV row here: what an open quotation took beyond it cannot be counted."""

_LINES = pa.schema([("row_id", pa.int64()), ("line", pa.string())])


class DocumentError(ValueError):
    """A file that cannot be read at all; the message names it."""


def load_documents(engine: Any, table: str, files: Sequence[Path], names: Sequence[str]) -> int:
    """Create ``table(row_id BIGINT, file BIGINT, raw VARCHAR, document JSON)`` from the rows of files.

    Args:
        engine: Ibis DuckDB backend.
        table: Name of the table; replaced where it exists.
        files: ``.parquet``, ``.csv``, ``.ndjson``, ``.jsonl`` or ``.json`` (one document a line), the texts also with
            ``.gz``.
        names: What to call each file in an error.

    Returns:
        The number of rows. ``row_id`` counts from 0 in the order of the files and of the rows in each, of a CSV file
        with the lines last that have no document; ``file`` is the file's index. Blank lines are no rows.

    Raises:
        DocumentError: A file is damaged, for instance a Parquet file without its end.
    """
    connection = engine.con
    connection.execute(f"CREATE OR REPLACE TABLE {table} (row_id BIGINT, file BIGINT, raw VARCHAR, document JSON)")
    rows = 0
    for index, (file, name) in enumerate(zip(files, names, strict=True)):
        try:
            if name.endswith(".parquet"):
                _insert_rows(connection, table, "read_parquet(?, hive_partitioning = false)", [rows, index, str(file)])
            elif is_csv(name):
                _insert_csv(connection, table, file, index, rows)
            else:
                _insert_lines(connection, table, file, index, rows)
        except (duckdb.Error, OSError, EOFError, zlib.error) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]  # DuckDB's next lines are our SQL
            raise DocumentError(
                f"{name} cannot be read, it is damaged or not what its name says ({told.rstrip('.')});"
                " land the file again, then run again"
            ) from error
        ((rows,),) = connection.execute(f"SELECT count(*) FROM {table}").fetchall()
    return rows


def is_csv(name: str) -> bool:
    """Whether a file of this name is read as CSV."""
    return ".csv" in Path(name).suffixes


def _insert_rows(connection: Any, table: str, source: str, parameters: list[Any]) -> None:
    """``parameters``: the first row id, the file's index, the file."""
    connection.execute(
        f"""
        INSERT INTO {table}
        SELECT row_number() OVER () - 1 + ?, ?, left(document::VARCHAR, {MAX_RAW_CHARS}), document
        FROM (SELECT to_json(t) AS document FROM {source} t)
        """,
        parameters,
    )


def _insert_csv(connection: Any, table: str, file: Path, index: int, offset: int) -> None:
    with tempfile.TemporaryDirectory(prefix="shelfwise-csv-") as folder:
        plain = Path(folder, "rows.csv")
        dialect = rewrite_csv(file, plain)
        if not dialect.columns:
            return
        columns = ", ".join(f"{_quoted(name)}: 'VARCHAR'" for name in dialect.columns)
        source = f"""read_csv(?, auto_detect = false, header = true, hive_partitioning = false, columns = {{{columns}}},
            delim = {_quoted(dialect.separator)}, quote = '"', escape = {_quoted(dialect.escape)},
            store_rejects = true, rejects_limit = 0)"""
        _insert_rows(connection, table, source, [offset, index, str(plain)])
    _insert_ragged(connection, table, index)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _insert_ragged(connection: Any, table: str, index: int) -> None:
    """The lines that DuckDB took for no row, each line of an open quotation as one."""
    ((unclosed,),) = connection.execute(
        "SELECT min(line) FROM reject_errors WHERE error_type = 'UNQUOTED VALUE' AND len(csv_line) >= ?",
        [MAX_REJECT_CHARS],
    ).fetchall()
    if unclosed is not None:
        raise EOFError(f"a quotation mark in line {unclosed:,} is never closed")
    connection.execute(
        f"""
        INSERT INTO {table}
        WITH refused AS (
            SELECT line, string_split(any_value(csv_line), chr(10)) AS parts FROM reject_errors GROUP BY line
        ), lines AS (
            SELECT line, generate_subscripts(parts, 1) AS place, unnest(parts) AS raw FROM refused
        )
        SELECT (SELECT count(*) FROM {table}) + row_number() OVER (ORDER BY line, place) - 1, ?,
            left(raw, {MAX_RAW_CHARS}), NULL
        FROM lines WHERE trim(raw) <> ''
        """,
        [index],
    )
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")


def _insert_lines(connection: Any, table: str, file: Path, index: int, offset: int) -> None:
    damage: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from _line_batches(file, offset)
        except (OSError, EOFError, zlib.error) as error:
            damage.append(error)

    reader = pa.RecordBatchReader.from_batches(_LINES, batches())
    connection.register("incoming_lines", reader)
    try:
        # json_valid also accepts bare numbers, texts and lists: no documents.
        connection.execute(
            f"""
            INSERT INTO {table}
            SELECT row_id, ?, left(line, {MAX_RAW_CHARS}), CASE WHEN json_valid(line) AND json_type(line) = 'OBJECT'
                THEN line END::JSON
            FROM incoming_lines
            """,
            [index],
        )
    finally:
        connection.unregister("incoming_lines")
    if damage:  # raised inside the stream, DuckDB's error would hold its traceback
        raise damage[0]


def _line_batches(file: Path, offset: int) -> Iterator[pa.RecordBatch]:
    """The lines of a text file that are not blank, block by block, numbered from ``offset``."""
    for block in _whole_lines(file):
        text = block.decode("utf-8", errors="replace").removeprefix("\ufeff").replace("\x00", "\ufffd")
        lines = pc.list_flatten(pc.split_pattern(pa.array([text], pa.large_string()), "\n"))
        lines = pc.utf8_trim(lines, "\r\t ")
        lines = lines.filter(pc.not_equal(lines, "")).cast(pa.string())
        row_ids = pa.array(range(offset, offset + len(lines)), pa.int64())
        offset += len(lines)
        yield pa.record_batch([row_ids, lines], schema=_LINES)


def _whole_lines(file: Path) -> Iterator[bytes]:
    """Blocks of a text file, each ending where a line ends; a line over ``MAX_LINE_BYTES`` loses its rest."""
    with LocalFileSystem().open(str(file), "rb", compression="infer") as stream:
        kept = b""
        cutting = False
        while block := stream.read(BLOCK_BYTES):
            if cutting:
                newline = block.find(b"\n")
                if newline < 0:
                    continue
                block, cutting = block[newline:], False
            end = block.rfind(b"\n")
            if end >= 0:
                yield kept + block[: end + 1]
                kept = block[end + 1 :]
            else:
                kept += block
            if len(kept) > MAX_LINE_BYTES:
                yield kept[:MAX_RAW_CHARS]
                kept, cutting = b"", True
        if kept:
            yield kept
