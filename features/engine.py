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

from features.sql_text import identifier, listed, quoted
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
    """``view_days`` as an Ibis table."""
    name = f"days_{uuid.uuid4().hex}"
    view_days(engine, name, table, days, schema)
    return engine.table(name)


def view_days(engine: Any, name: str, table: Path, days: Iterable[date], schema: pa.Schema) -> None:
    """Those of ``days`` that ``table`` holds, as the view ``name`` in ``schema``; no rows where it holds none.

    A last column, ``landed``, says the partition's day. A column that an older version of Shelfwise did not write is
    null in its partitions.
    """
    files, con = partition_files(table, days), engine.con
    none = schema.append(pa.field("landed", pa.date32())).empty_table()
    if not files:
        con.register(name, none)
        return
    source = f"read_parquet({listed(files)}, hive_partitioning = true, union_by_name = true)"
    written = set(con.sql(f"FROM {source}").columns)
    columns = [identifier(column) for column in schema.names if column in written]
    rows = f"SELECT {', '.join([*columns, 'dt::DATE AS landed'])} FROM {source}"
    if not written.issuperset(schema.names):
        con.register(f"{name}_none", none)
        rows = f"FROM {name}_none UNION ALL BY NAME {rows}"
    con.execute(f"CREATE VIEW {name} AS {rows}")


def read_catalog(engine: Any, settings: Settings) -> Any:
    """The catalogue as an Ibis table.

    Raises:
        FileNotFoundError: the catalogue was not built yet.
    """
    return engine.read_parquet(str(built_catalog(settings)))


def view_item_ids(engine: Any, name: str, settings: Settings) -> None:
    """The catalogue's ``item_id`` as the view ``name``; raises as ``read_catalog``."""
    engine.con.execute(f"CREATE VIEW {name} AS SELECT item_id FROM read_parquet({quoted(built_catalog(settings))})")


def built_catalog(settings: Settings) -> Path:
    """The catalogue's file; raises as ``read_catalog``."""
    if not settings.paths.catalog.exists():
        raise FileNotFoundError(f"no catalogue at {settings.paths.catalog}: build the catalogue first")
    return settings.paths.catalog


def from_arrow(engine: Any, table: pa.Table) -> Any:
    """An Arrow table as an Ibis table of the engine."""
    name = f"arrow_{uuid.uuid4().hex}"
    engine.con.register(name, table)
    return engine.table(name)


def batches_of(engine: Any, rows: Any) -> Iterator[pa.RecordBatch]:
    """The rows of an Ibis expression over the engine's own tables, a batch at a time, in its order."""
    # ibis 12 streams by a method that duckdb 2.0 no longer has
    return batches_of_query(engine, engine.compile(rows))


def batches_of_query(engine: Any, query: str) -> Iterator[pa.RecordBatch]:
    """The rows of a query in DuckDB's SQL, a batch at a time, in its order."""
    yield from engine.con.sql(query).to_arrow_reader(BATCH_ROWS)
