"""CSV and TSV exports as one table of texts in DuckDB, columns found by name whatever their case, blanks and marks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import duckdb

from features.adapters.base import AdapterError, ImportRequest, watched
from features.adapters.files import local_files
from features.catalog_names import plain_name
from features.csv_text import csv_source, dialect_of, rewrite_csv
from features.sql_text import identifier
from features.text_files import BLOCK_BYTES, NotTextError, encoding_of


class Columns:
    """The columns of a table, by the names that programs and their translations give them."""

    def __init__(self, table: str, names: Sequence[str]) -> None:
        self.table = table
        self.by_name: dict[str, str] = {}
        for name in names:
            self.by_name.setdefault(plain_name(name), name)

    def has(self, *names: str) -> bool:
        """Whether any of the columns is there."""
        return any(plain_name(name) in self.by_name for name in names)

    def sql(self, *names: str) -> str:
        """The first of the columns that a row has a text in, trimmed; NULL where none is there."""
        found = [self.by_name[plain_name(name)] for name in names if plain_name(name) in self.by_name]
        filled = [f"nullif(trim({identifier(name)}), '')" for name in found]
        return f"coalesce({', '.join([*filled, 'NULL::VARCHAR'])})" if filled else "NULL::VARCHAR"

    def matching(self, prefix: str) -> list[str]:
        """Columns whose plain name begins so, as they are written."""
        return [name for plain, name in self.by_name.items() if plain.startswith(prefix)]

    def need(self, source: str, *names: str) -> None:
        """Refuse a file that has none of these columns.

        Raises:
            AdapterError: it has none.
        """
        if not self.has(*names):
            found = ", ".join(list(self.by_name.values())[:30])
            raise AdapterError(f"this is no export of {source}: it has no column {' or '.join(names)}. Found: {found}")


def load_csv(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, table: str, files: Sequence[Path] | None = None
) -> Columns:
    """Create ``table`` from the rows of CSV files, all columns texts, and a column ``row_number`` of their order.

    Beside it ``<table>_ragged(rows BIGINT)``: how many lines are no row of their file's columns.

    Raises:
        AdapterError: a file has no header line.
    """
    columns = view_csv(connection, request, f"{table}_lines", files)
    with watched(connection, request.progress, f"reading {table}"):
        connection.execute(f"CREATE TABLE {table} AS FROM {table}_lines")
    connection.execute(f"CREATE TABLE {table}_ragged AS {RAGGED_SQL}")
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    return columns


def view_csv(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, view: str, files: Sequence[Path] | None = None
) -> Columns:
    """As ``load_csv``, but a view that reads the files when it is asked; ``RAGGED_SQL`` counts the others then.

    Raises:
        AdapterError: a file has no header line, or is no text.
    """
    sources = []
    names: dict[str, None] = {}
    for place, file in enumerate(files if files is not None else local_files(request)):
        try:
            encoding = encoding_of(file, file.name, None)
        except NotTextError as error:
            raise AdapterError(f"{file.name} is no CSV: {error}; export it again") from error
        dialect, plain = dialect_of(file) if encoding.how == "utf-8" and _is_plain(file) else None, file
        if dialect is None:
            plain = request.work / f"{view}-{place:03d}.csv"
            request.progress(f"rewriting {file.name}", None)
            dialect = rewrite_csv(file, file.name, encoding, plain)
        if not dialect.columns:
            raise AdapterError(f"{file.name} is empty: it has no header line")
        sources.append(f"FROM {csv_source(plain, dialect)}")
        names |= dict.fromkeys(dialect.columns)
    connection.execute(
        f"CREATE VIEW {view} AS SELECT row_number() OVER () AS row_number, *"
        f" FROM ({' UNION ALL BY NAME '.join(sources)})"
    )
    return Columns(view, list(names))


RAGGED_SQL = """SELECT count(DISTINCT (file_path, line)) AS rows
    FROM reject_errors JOIN reject_scans USING (scan_id, file_id)"""
"""How many lines of the CSV files read were no row of their file's columns."""


def _is_plain(file: Path) -> bool:
    """Whether DuckDB reads a file of UTF-8 as ``rewrite_csv`` would write it: as most programs export."""
    with file.open("rb") as stream:
        first = stream.read(BLOCK_BYTES)
        if first[:1] == b"\n" or first[:2] in (b"\x1f\x8b", b"BZ", b"\x28\xb5"):
            return False
        blocks = iter(lambda: stream.read(BLOCK_BYTES), b"")
        return not any(b"\r" in block or b"\x00" in block for block in chain([first], blocks))
