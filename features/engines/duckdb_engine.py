"""Tables by DuckDB in this process, within ``features.build_memory``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from features.engine import batches_of, from_arrow, open_engine, read_days
from features.engines.port import Told
from features.user_chunks import user_chunks
from infra.contract.partitions import write_partitions
from infra.contract.tables import EVENT_TIME
from infra.settings import Settings


@contextmanager
def open_duckdb(settings: Settings) -> Iterator[DuckDBTables]:
    """A ``features.engine.open_engine``."""
    with open_engine(settings) as engine:
        yield DuckDBTables(engine)


class DuckDBTables:
    """See ``TableEngine``. Rows pass through this process a batch at a time, into one file a day."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine

    def read_days(self, table: Path, days: Iterable[date], schema: pa.Schema) -> Any:
        return read_days(self._engine, table, days, schema)

    def read_file(self, file: Path) -> Any:
        return self._engine.read_parquet(str(file))

    def from_arrow(self, rows: pa.Table) -> Any:
        return from_arrow(self._engine, rows)

    def chunks_of_users(self, requests: Any, events: Any) -> list[tuple[Any, Any]]:
        return user_chunks(self._engine, requests, events)

    def write_days(
        self, table: Path, days: Sequence[date], rows: Sequence[Any], schema: pa.Schema, told: Told
    ) -> dict[date, int]:
        return write_partitions(table, self._by_day(days, rows, schema, told), schema)

    def _by_day(
        self, days: Sequence[date], rows: Sequence[Any], schema: pa.Schema, told: Told
    ) -> Iterator[tuple[date, pa.Table]]:
        """The rows of each day in parts, of one of ``rows`` after the other, then none for the days that have none."""
        total, without = 0, set(days)
        for number, chunk in enumerate(rows, 1):
            for batch in batches_of(self._engine, chunk.order_by("day", schema.names[0], EVENT_TIME)):
                for day, content in _cut_by_day(batch):
                    total += content.num_rows
                    without.discard(day)
                    yield day, content
            told(total, number / len(rows))
        yield from ((day, schema.empty_table()) for day in sorted(without))


def _cut_by_day(batch: pa.RecordBatch) -> Iterator[tuple[date, pa.Table]]:
    """Cut rows sorted by ``day`` into those of each day."""
    table = pa.Table.from_batches([batch])
    numbers = table["day"].to_numpy()
    stops = np.append(np.flatnonzero(numbers[1:] != numbers[:-1]) + 1, len(numbers))
    for start, stop in pairwise(map(int, np.append(0, stops))):
        if stop > start:
            yield table["day"][start].as_py(), table.slice(start, stop - start)
