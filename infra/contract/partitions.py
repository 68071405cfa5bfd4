"""Tables on disk by day: ``<table>/dt=YYYY-MM-DD/part*.parquet``, replaced whole or not at all.

DuckDB writes a day as one file, ``part.parquet``; Spark writes it in parts, ``part-00000.parquet`` and so on.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

PARTS = "part*.parquet"
FILES = f"dt=*/{PARTS}"
"""Glob of a table's files."""


def day_folder(table: Path, day: date) -> Path:
    """Where what belongs to a day lies."""
    return table / f"dt={day.isoformat()}"


def partition_file(table: Path, day: date) -> Path:
    """Where the rows of a day lie that are written as one file; ``part_files`` says where those of any day lie."""
    return day_folder(table, day) / "part.parquet"


def part_files(table: Path, day: date) -> list[Path]:
    """The files that hold the rows of a day, in order; none where the table has no such day."""
    return sorted(day_folder(table, day).glob(PARTS))


def table_files(table: Path) -> list[Path]:
    """The files of a table, in order of day, and of a day in order of its parts."""
    return sorted(table.glob(FILES))


def written_days(table: Path) -> list[date]:
    """The days that a table holds, in order."""
    return sorted({date.fromisoformat(file.parent.name.removeprefix("dt=")) for file in table_files(table)})


class _Staged:
    """Rows on their way to ``path``, in a file beside it."""

    def __init__(self, path: Path, temporary: Path, writer: pq.ParquetWriter) -> None:
        self._path, self._temporary, self._writer = path, temporary, writer
        self.rows = 0

    def add(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        for batch in rows.to_batches() if isinstance(rows, pa.Table) else rows:
            if self.rows and not batch.num_rows:
                continue  # or every part without rows of the day would leave an empty row group
            table = pa.Table.from_batches([batch]).select(self._writer.schema.names).cast(self._writer.schema)
            self._writer.write_table(table)
            self.rows += table.num_rows

    def close(self) -> None:
        self._writer.close()

    def move(self, path: Path | None = None) -> None:
        self._temporary.replace(path or self._path)


@contextmanager
def _staged(path: Path, schema: pa.Schema) -> Iterator[_Staged]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with pq.ParquetWriter(temporary, schema) as writer:
            yield _Staged(path, temporary, writer)
    finally:
        temporary.unlink(missing_ok=True)


def write_parquet(path: Path, rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> int:
    """Write rows, cast to ``schema``, beside ``path`` and move them there in one step; return the row count.

    A reader sees the old file or the new one, never a part of it.
    """
    with _staged(path, schema) as file:
        file.add(rows)
        file.close()
        file.move()
    return file.rows


def write_partition(table: Path, day: date, rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> int:
    """Replace the rows of a day."""
    return write_partitions(table, [(day, rows)], schema)[day]


def write_partitions(
    table: Path, parts: Iterable[tuple[date, pa.Table | pa.RecordBatchReader]], schema: pa.Schema
) -> dict[date, int]:
    """Replace the rows of several days, which may come in parts; return the row count of each.

    A day's parts follow each other in its file. All days keep their old rows until all parts are written.
    """
    with ExitStack() as open_files:
        files: dict[date, _Staged] = {}
        for day, rows in parts:
            if day not in files:
                files[day] = open_files.enter_context(_staged(partition_file(table, day), schema))
            files[day].add(rows)
        for file in files.values():
            file.close()
        for day, file in files.items():
            _move_alone(file, table, day)
    return {day: file.rows for day, file in files.items()}


def _move_alone(file: _Staged, table: Path, day: date) -> None:
    """Put a day's only file into its place, from which other parts of it go."""
    if set(part_files(table, day)) <= {partition_file(table, day)}:
        file.move()
        return
    alone = table / f".{day_folder(table, day).name}.{uuid.uuid4().hex}"
    alone.mkdir()
    file.move(alone / "part.parquet")
    replace_partition(table, day, alone)


def replace_partition(table: Path, day: date, written: Path) -> None:
    """Put ``written``, a folder of part files on the same disk, into the place of a day's folder.

    A kill between its two steps leaves the table without the day, never with parts of two versions of it.
    """
    folder = day_folder(table, day)
    replaced = table / f".{folder.name}.replaced"
    shutil.rmtree(replaced, ignore_errors=True)
    table.mkdir(parents=True, exist_ok=True)
    if folder.exists():
        folder.replace(replaced)
    written.replace(folder)
    shutil.rmtree(replaced, ignore_errors=True)


def drop_partition(table: Path, day: date) -> None:
    """Take a day out of a table."""
    shutil.rmtree(day_folder(table, day), ignore_errors=True)


def partition_files(table: Path, days: Iterable[date]) -> list[str]:
    """The files of those of ``days`` that the table holds."""
    return [str(file) for day in sorted(days) for file in part_files(table, day)]


def partition_rows(table: Path, day: date) -> int:
    """How many rows a day has, by its files' footers; 0 where the table has no such day."""
    return sum(int(pq.read_metadata(file).num_rows) for file in part_files(table, day))


def write_json(path: Path, value: Any) -> None:
    """Replace a small JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(json.dumps(value, indent=2, default=str), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
