"""Files of any kind as one table of JSON documents in DuckDB, so that what reads them has one path.

A line of NDJSON, or an element of a JSON list, is a document as it stands; a Parquet or CSV row becomes the document
with its columns as keys, but a log's Parquet rows keep their types (``features.parquet_rows``). A line that is no JSON
object, or no row of its CSV file's columns, stays in the table with a null document, for whoever reads it to refuse.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from features.csv_text import csv_source, rewrite_csv
from features.file_names import format_in
from features.json_values import HEAD_CHARS, JsonListError, document_lines, shape_of
from features.parquet_rows import forget_rows, keep_rows, last_row
from features.sql_text import identifier, quoted
from features.text_files import Encoding, NotTextError, encoding_of, opened, utf8_blocks

MAX_LINE_CHARS = 64 * 2**20
"""A longer line is cut, which makes it no JSON: one runaway line costs a row, not the day."""
MAX_RAW_CHARS = 65_536
"""What is kept of a row for the quarantine table."""
MAX_REJECT_CHARS = 10_000
"""DuckDB cuts what it shows of a refused CSV row here: what an open quotation took beyond it cannot be counted."""

_LINES = pa.schema([("row_id", pa.int64()), ("line", pa.string())])


class DocumentError(ValueError):
    """A file that cannot be read at all; the message names it."""


def load_documents(
    engine: Any,
    table: str,
    files: Sequence[Path],
    names: Sequence[str],
    encoding: str | None = None,
    *,
    keep_types: bool = False,
) -> int:
    """Create ``table(row_id BIGINT, file BIGINT, raw VARCHAR, document JSON)`` from the rows of files.

    Beside it ``<table>_encodings(name VARCHAR, encoding VARCHAR, how VARCHAR)`` names the files that are not UTF-8.

    Args:
        engine: Ibis DuckDB backend.
        table: Name of the table; replaced where it exists.
        files: Parquet, CSV, TSV or JSON (``.json``, ``.ndjson``, ``.jsonl``: a document a line, a list of them, or an
            object around a list), the texts also with ``.gz``, ``.zst`` or ``.bz2``. A name without any of these
            endings is told by its first bytes. A file of no bytes has no rows.
        names: What to call each file in an error; their endings count.
        encoding: Of the texts without a byte-order mark (``settings.raw.encoding``); None: UTF-8, else a guess.
        keep_types: Rows of Parquet are kept as they are, beside the table, as ``parquet_rows.keep_rows`` says.

    Returns:
        The number of rows. ``row_id`` counts from 0 in the order of the files and of the rows in each, of a CSV file
        with the lines last that have no document; ``file`` is the file's index. Blank lines are no rows.

    Raises:
        DocumentError: A file is damaged, for instance a Parquet file without its end.
    """
    connection = engine.con
    forget_rows(connection, table)
    connection.execute(f"CREATE OR REPLACE TABLE {table} (row_id BIGINT, file BIGINT, raw VARCHAR, document JSON)")
    connection.execute(f"CREATE OR REPLACE TABLE {table}_encodings (name VARCHAR, encoding VARCHAR, how VARCHAR)")
    rows = 0
    for index, (file, name) in enumerate(zip(files, names, strict=True)):
        try:
            written = _insert_file(connection, table, file, name, index, rows, encoding, keep_types)
        except (duckdb.Error, pa.ArrowException, OSError, EOFError, JsonListError, NotTextError) as error:
            told = (str(error).splitlines() or [type(error).__name__])[0]  # DuckDB's next lines are our SQL
            raise DocumentError(
                f"{name} cannot be read, it is damaged or not what its name says ({told.rstrip('.')});"
                " land the file again, then run again"
            ) from error
        if written is not None and written.how != "utf-8" and written.name != "utf-8-sig":
            connection.execute(f"INSERT INTO {table}_encodings VALUES (?, ?, ?)", [name, written.name, written.how])
        rows = last_row(connection, table) + 1
    return rows


def encodings_read(engine: Any, table: str) -> dict[str, str]:
    """The files of ``load_documents`` that are not UTF-8: name -> encoding, and whether it was guessed."""
    rows = engine.con.execute(f"SELECT name, encoding, how FROM {table}_encodings ORDER BY name").fetchall()
    return {name: f"{encoding} (guessed)" if how == "guessed" else encoding for name, encoding, how in rows}


def is_csv(name: str) -> bool:
    """Whether a file of this name is read as CSV."""
    return format_in(name) == "csv"


def _insert_file(
    connection: Any,
    table: str,
    file: Path,
    name: str,
    index: int,
    offset: int,
    setting: str | None,
    keep_types: bool,
) -> Encoding | None:
    """Insert the rows of a file; its encoding where it is text."""
    if file.stat().st_size == 0:
        return None
    kind = format_in(name) or _format_inside(file, name)
    if kind == "parquet":
        _insert_parquet(connection, table, file, index, offset, keep_types)
        return None
    encoding = encoding_of(file, name, setting)
    if kind == "csv":
        _insert_csv(connection, table, file, name, encoding, index, offset)
    else:
        _insert_json(connection, table, file, name, encoding, index, offset)
    return encoding


def _format_inside(file: Path, name: str) -> str:
    """What a file is whose name does not say, by its first bytes."""
    with opened(file, name) as stream:
        head = stream.read(4096)
    if head.startswith(b"PAR1"):
        return "parquet"
    text = head.replace(b"\x00", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return "json" if text[:1] in (b"{", b"[") else "csv"


def _insert_parquet(connection: Any, table: str, file: Path, index: int, offset: int, keep_types: bool) -> None:
    """Texts that the file does not call texts (Hive, Impala, old Spark) are read as such, where they are."""
    source = f"read_parquet({quoted(file)}, hive_partitioning = false, binary_as_string = true)"
    insert = _keep_or_insert if keep_types else _insert_rows
    try:
        insert(connection, table, source, offset, index)
    except duckdb.InvalidInputException:  # bytes that are no text, such as a picture: then column by column
        source = f"read_parquet({quoted(file)}, hive_partitioning = false)"
        described = connection.execute(f"DESCRIBE FROM {source}").fetchall()
        replaced = ", ".join(
            f"TRY(decode({column})) AS {column}"
            for column, kind in ((identifier(name), kind) for name, kind, *_ in described)
            if kind == "BLOB"
        )
        decoded = f"(SELECT * REPLACE ({replaced}) FROM {source})" if replaced else source
        insert(connection, table, decoded, offset, index)


def _keep_or_insert(connection: Any, table: str, source: str, offset: int, index: int) -> None:
    if not keep_rows(connection, table, source, offset, index):
        _insert_rows(connection, table, source, offset, index)


def _insert_rows(connection: Any, table: str, source: str, offset: int, index: int) -> None:
    """Insert rows as documents, numbered from ``offset``; ``index``: the file's."""
    connection.execute(
        f"""
        INSERT INTO {table}
        SELECT row_number() OVER () - 1 + ?, ?, left(document::VARCHAR, {MAX_RAW_CHARS}), document
        FROM (SELECT to_json(row_of_file) AS document FROM {source} row_of_file)
        """,
        [offset, index],
    )


def _insert_csv(
    connection: Any, table: str, file: Path, name: str, encoding: Encoding, index: int, offset: int
) -> None:
    with tempfile.TemporaryDirectory(prefix="shelfwise-csv-") as folder:
        plain = Path(folder, "rows.csv")
        dialect = rewrite_csv(file, name, encoding, plain)
        if not dialect.columns:
            return
        _insert_rows(connection, table, csv_source(plain, dialect), offset, index)
    _insert_ragged(connection, table, index)


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


def _insert_json(
    connection: Any, table: str, file: Path, name: str, encoding: Encoding, index: int, offset: int
) -> None:
    damage: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from _line_batches(_texts(file, name, encoding), offset)
        except (OSError, EOFError, JsonListError) as error:
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


def _texts(file: Path, name: str, encoding: Encoding) -> Iterator[str]:
    """Blocks of a JSON file, each of whole documents with a line for each."""
    blocks = utf8_blocks(file, name, encoding)
    first = next(blocks, "")
    shape = shape_of(first[:HEAD_CHARS])
    blocks = chain([first], blocks)
    return _whole_lines(blocks) if shape.kind == "lines" else document_lines(blocks, shape)


def _line_batches(texts: Iterable[str], offset: int) -> Iterator[pa.RecordBatch]:
    """The lines of texts that are not blank, numbered from ``offset``."""
    for text in texts:
        lines = pc.list_flatten(pc.split_pattern(pa.array([text], pa.large_string()), "\n"))
        lines = pc.utf8_trim(lines, "\r\t ")
        lines = lines.filter(pc.not_equal(lines, "")).cast(pa.string())
        row_ids = pa.array(range(offset, offset + len(lines)), pa.int64())
        offset += len(lines)
        yield pa.record_batch([row_ids, lines], schema=_LINES)


def _whole_lines(blocks: Iterable[str]) -> Iterator[str]:
    """Blocks of a text, each ending where a line ends; a line over ``MAX_LINE_CHARS`` loses its rest."""
    kept = ""
    cutting = False
    for block in blocks:
        start = block.find("\n") if cutting else 0
        if start < 0:
            continue
        cutting = False
        end = block.rfind("\n") + 1
        if end:
            yield kept + block[start:end]
            kept = block[end:]
        else:
            kept += block
        if len(kept) > MAX_LINE_CHARS:
            yield kept[:MAX_RAW_CHARS]
            kept, cutting = "", True
    if kept:
        yield kept
