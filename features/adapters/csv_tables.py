"""CSV and TSV exports as one table of texts in DuckDB, columns found by name whatever their case, blanks and marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path

import duckdb

from features.adapters.base import AdapterError, ImportRequest, watched
from features.adapters.files import local_files
from features.catalog_names import plain_name
from features.csv_text import Dialect, csv_source, dialect_of, rewrite_csv
from features.sql_text import identifier
from features.text_files import BLOCK_BYTES, NotTextError, encoding_of


class Columns:
    """The columns of CSV files, by the names that programs and their translations give them."""

    def __init__(self, table: str, parts: Sequence[tuple[Path, Dialect]]) -> None:
        self.table = table
        self.parts = parts
        self.used: dict[str, None] = {}
        """Columns that an expression was asked for."""
        self.by_name: dict[str, str] = {}
        for _, dialect in parts:
            for name in dialect.columns:
                self.by_name.setdefault(plain_name(name), name)

    def has(self, *names: str) -> bool:
        """Whether any of the columns is there."""
        return any(plain_name(name) in self.by_name for name in names)

    def sql(self, *names: str) -> str:
        """The first of the columns that a row has a text in, trimmed; NULL where none is there."""
        found = [self.by_name[plain_name(name)] for name in names if plain_name(name) in self.by_name]
        self.used |= dict.fromkeys(found)
        filled = [_filled(identifier(name)) for name in found]
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


def _filled(column: str) -> str:
    """A text without the blanks around it, NULL where nothing is left.

    DuckDB's ``trim`` goes through all of a text. Of long ones, as descriptions, two expressions look at the ends alone.
    """
    starts_blank = f"regexp_matches({column}, '^\\p{{Zs}}')"
    shortened = f"regexp_replace({column}, '\\p{{Zs}}+$', '')"
    return f"""CASE WHEN strlen({column}) > 40 AND NOT {starts_blank} THEN {shortened}
        ELSE nullif(trim({column}), '') END"""


def csv_columns(request: ImportRequest, table: str, files: Sequence[Path] | None = None) -> Columns:
    """The columns that CSV files name in their header lines; ``load_csv`` makes them ``table``.

    Raises:
        AdapterError: a file has no header line, or is no text.
    """
    parts = []
    for place, file in enumerate(files if files is not None else local_files(request)):
        plain, dialect = _plain_file(request, file, request.work / f"{table}-{place:03d}.csv")
        if not dialect.columns:
            raise AdapterError(f"{file.name} is empty: it has no header line")
        parts.append((plain, dialect))
    return Columns(table, parts)


def load_csv(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, columns: Columns, *, every: bool = False
) -> None:
    """Create the view ``columns.table``: the rows of the files, texts, and a column ``row_number`` of their order.

    Beside it ``<table>_ragged(rows BIGINT)``: how many lines are no row of their file's columns.

    Args:
        every: Read all columns, not only those that were asked for by ``Columns.sql``.
    """
    table = columns.table
    wanted = {name.lower() for name in columns.used}  # DuckDB takes columns of two files for one whatever their case
    sources = []
    for file, dialect in columns.parts:
        names = [name for name in dialect.columns if every or name.lower() in wanted]
        selected = ", ".join(map(identifier, names)) or f"NULL::VARCHAR AS {identifier(dialect.columns[0])}"
        sources.append(f"SELECT {selected} FROM {csv_source(file, dialect)}")
    with watched(connection, request.progress, f"reading {table}"):
        connection.execute(f"CREATE TEMP TABLE {table}_lines AS {' UNION ALL BY NAME '.join(sources)}")
    # the number of a row as it is stored: a window over the files would read them in one thread
    connection.execute(f"CREATE TEMP VIEW {table} AS SELECT rowid + 1 AS row_number, * FROM {table}_lines")
    connection.execute(f"CREATE TABLE {table}_ragged AS {_RAGGED_SQL}")
    connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")


_RAGGED_SQL = """SELECT count(DISTINCT (file_path, line)) AS rows
    FROM reject_errors JOIN reject_scans USING (scan_id, file_id)"""
_OURS = ("rowid", "row_number")
"""Names that a column of a file cannot have here."""


def _plain_file(request: ImportRequest, file: Path, rewritten: Path) -> tuple[Path, Dialect]:
    """A file as UTF-8 with plain line ends, itself where it is that, and its dialect."""
    try:
        encoding = encoding_of(file, file.name, None)
    except NotTextError as error:
        raise AdapterError(f"{file.name} is no CSV: {error}; export it again") from error
    if encoding.how == "utf-8" and _is_plain(file):
        plain, dialect = file, dialect_of(file)
    else:
        request.progress(f"rewriting {file.name}", None)
        plain, dialect = rewritten, rewrite_csv(file, file.name, encoding, rewritten)
    columns = tuple(f"{name} of the file" if name.lower() in _OURS else name for name in dialect.columns)
    return plain, replace(dialect, columns=columns)


def _is_plain(file: Path) -> bool:
    """Whether DuckDB reads a file of UTF-8 as ``rewrite_csv`` would write it: as most programs export."""
    with file.open("rb") as stream:
        first = stream.read(BLOCK_BYTES)
        if first[:1] == b"\n" or first[:2] in (b"\x1f\x8b", b"BZ", b"\x28\xb5"):
            return False
        blocks = iter(lambda: stream.read(BLOCK_BYTES), b"")
        return not any(b"\r" in block or b"\x00" in block for block in chain([first], blocks))
