"""What a step needs of the engine that computes its tables; what lies between reading and writing is Ibis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

Told = Callable[[int, float], None]
"""Called with the rows written so far, and the share of the work that is done."""


class TableEngine(Protocol):
    """Reads tables of Parquet days as Ibis tables, and writes Ibis expressions over them as such days."""

    def read_days(self, table: Path, days: Iterable[date], schema: pa.Schema) -> Any:
        """Those of ``days`` that ``table`` holds, in ``schema``; no rows where it holds none.

        A last column, ``landed``, says the partition's day. A column that is in no file is null.
        """
        ...

    def read_file(self, file: Path) -> Any:
        """A Parquet file."""
        ...

    def from_arrow(self, rows: pa.Table) -> Any:
        """A small table of this process."""
        ...

    def chunks_of_users(self, requests: Any, events: Any) -> list[tuple[Any, Any]]:
        """``requests`` and ``events`` in chunks of whole users, which ``write_days`` takes in this order: as many as it
        takes to stay within the engine's memory."""
        ...

    def write_days(
        self, table: Path, days: Sequence[date], rows: Sequence[Any], schema: pa.Schema, told: Told
    ) -> dict[date, int]:
        """Replace ``days`` of ``table`` by those of ``rows``, and return the row count of each; a day without rows gets
        a partition without any. All keep their old rows until all are computed.

        Args:
            table: its folder.
            days: to write.
            rows: expressions in ``schema`` and ``day``, whose days are among ``days``; a file is in order of the
                schema's first column and ``event_timestamp``.
            schema: with ``event_timestamp``.
            told: of progress.
        """
        ...
