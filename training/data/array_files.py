"""How the arrays are written: files of numpy beside what DuckDB streams out of a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.contract.partitions import table_files
from training.data.ragged import Ragged

BATCH_ROWS = 1 << 18
FIT_ROWS = 200_000
"""Rows that the quantiles of figures are read off."""


def files_and_columns(db: duckdb.DuckDBPyConnection, table: Path) -> tuple[list[str], set[str]]:
    """The files of a table of daily partitions, for ``read_parquet(?)``, and the columns of the first of them."""
    files = [str(file) for file in table_files(table)]
    described = db.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [files]).fetchall()
    return files, {column[0] for column in described}


def count_rows(db: duckdb.DuckDBPyConnection, table: str) -> int:
    """Rows of a table, or of ``TABLE WHERE condition``."""
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def figures_of(rows: pa.Table | pa.RecordBatch, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns as float32 [n, names], NaN where null."""
    values = np.full((rows.num_rows, len(names)), np.nan, dtype=np.float32)
    for column, name in enumerate(names):
        values[:, column] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def save_ragged(folder: Path, name: str, rows: Ragged) -> None:
    """Write ``NAME.offsets.npy`` and ``NAME.ids.npy``."""
    np.save(folder / f"{name}.offsets.npy", rows.offsets)
    np.save(folder / f"{name}.ids.npy", rows.ids)


def new_array(path: Path, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """A new file of numpy, memory-mapped to be filled."""
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
