"""DuckDB through Ibis with bounded memory, and partitioned tables as Ibis expressions on it."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from infra.contract.partitions import partition_files
from infra.settings import Settings

BATCH_ROWS = 100_000


@contextmanager
def open_engine(settings: Settings) -> Iterator[Any]:
    """A DuckDB of its own, in UTC, that spills to a folder beside the features once it holds ``build_memory``."""
    settings.paths.root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".spill-", dir=settings.paths.root) as spill:
        engine = ibis.duckdb.connect(memory_limit=settings.features.build_memory, temp_directory=spill)
        try:
            engine.raw_sql("SET TimeZone = 'UTC'")
            engine.raw_sql("SET enable_progress_bar = false")
            yield engine
        finally:
            engine.disconnect()


def read_days(engine: Any, table: Path, days: Iterable[date], schema: pa.Schema) -> Any:
    """Those of ``days`` that ``table`` holds, as one Ibis table in ``schema``; no rows where it holds none.

    A last column, ``landed``, says the partition's day. A column that an older version of Shelfwise did not write is
    null in its partitions.
    """
    files = partition_files(table, days)
    if not files:
        return from_arrow(engine, schema.append(pa.field("landed", pa.date32())).empty_table())
    rows = engine.read_parquet(files, hive_partitioning=True, union_by_name=True)
    types = ibis.Schema.from_pyarrow(schema)
    added = {name: ibis.null(types[name]) for name in schema.names if name not in rows.columns}
    return rows.mutate(**added).select(*schema.names, landed=rows.dt.cast("date"))


def read_catalog(engine: Any, settings: Settings) -> Any:
    """The catalogue as an Ibis table.

    Raises:
        FileNotFoundError: the catalogue was not built yet.
    """
    if not settings.paths.catalog.exists():
        raise FileNotFoundError(f"no catalogue at {settings.paths.catalog}: build the catalogue first")
    return engine.read_parquet(str(settings.paths.catalog))


def from_arrow(engine: Any, table: pa.Table) -> Any:
    """An Arrow table as an Ibis table of the engine."""
    name = f"arrow_{uuid.uuid4().hex}"
    engine.con.register(name, table)
    return engine.table(name)


def batches_of(engine: Any, rows: Any) -> Iterator[pa.RecordBatch]:
    """The rows of an Ibis expression over the engine's own tables, a batch at a time, in its order."""
    # ibis 12 streams by a method that duckdb 2.0 no longer has
    yield from engine.con.sql(engine.compile(rows)).to_arrow_reader(BATCH_ROWS)
