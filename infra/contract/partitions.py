"""Tables on disk by day: ``<table>/dt=YYYY-MM-DD/part.parquet``, replaced whole or not at all."""

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

FILES = "dt=*/part.parquet"
"""Glob of a table's files."""


def day_folder(table: Path, day: date) -> Path:
    """Where what belongs to a day lies."""
    return table / f"dt={day.isoformat()}"


def partition_file(table: Path, day: date) -> Path:
    """Where the rows of a day lie."""
    return day_folder(table, day) / "part.parquet"


def table_files(table: Path) -> list[Path]:
    """The files of a table, in order of day."""
    return sorted(table.glob(FILES))


def written_days(table: Path) -> list[date]:
    """The days that a table holds, in order."""
    return [date.fromisoformat(file.parent.name.removeprefix("dt=")) for file in table_files(table)]


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

    def move(self) -> None:
        self._temporary.replace(self._path)


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
    return write_parquet(partition_file(table, day), rows, schema)


def write_partitions(table: Path, parts: Iterable[tuple[date, pa.Table]], schema: pa.Schema) -> dict[date, int]:
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
        for file in files.values():
            file.move()
    return {day: file.rows for day, file in files.items()}


def drop_partition(table: Path, day: date) -> None:
    """Take a day out of a table."""
    shutil.rmtree(partition_file(table, day).parent, ignore_errors=True)


def partition_files(table: Path, days: Iterable[date]) -> list[str]:
    """The files of those of ``days`` that the table holds."""
    return [str(f) for f in (partition_file(table, d) for d in sorted(days)) if f.exists()]


def write_json(path: Path, value: Any) -> None:
    """Replace a small JSON file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        temporary.write_text(json.dumps(value, indent=2, default=str), encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
