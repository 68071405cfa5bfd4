"""Tables on disk by day: ``<table>/dt=YYYY-MM-DD/part.parquet``, replaced whole or not at all."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable
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


def write_parquet(path: Path, rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> int:
    """Write rows, cast to ``schema``, beside ``path`` and move them there in one step; return the row count.

    A reader sees the old file or the new one, never a part of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    batches = rows.to_batches() if isinstance(rows, pa.Table) else rows
    count = 0
    try:
        with pq.ParquetWriter(temporary, schema) as writer:
            for batch in batches:
                table = pa.Table.from_batches([batch]).select(schema.names).cast(schema)
                writer.write_table(table)
                count += table.num_rows
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return count


def write_partition(table: Path, day: date, rows: pa.Table | pa.RecordBatchReader, schema: pa.Schema) -> int:
    """Replace the rows of a day."""
    return write_parquet(partition_file(table, day), rows, schema)


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
    temporary.write_text(json.dumps(value, indent=2, default=str), encoding="utf-8")
    temporary.replace(path)
