"""Training set, catalogue and sessions to memory-mapped columns.

DuckDB joins and orders on disk and streams record batches, so memory does not grow with the number of impressions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyarrow.dataset import dataset, field

from infra.contract.content import step_key
from infra.contract.errors import TrainingSetError
from infra.contract.partitions import table_files
from infra.settings import Settings
from training.data.catalog import read_catalog
from training.data.edge_builder import read_increments, write_edges
from training.data.item_arrays import write_item_features, write_items
from training.data.location import LocationBuckets
from training.data.request_arrays import write_requests
from training.data.stage_arrays import write_stages

FORMAT = 9
"""Raised when the same inputs become other arrays."""
META = "meta.json"


def fingerprint_of(settings: Settings) -> str:
    """What the arrays depend on: the content of the input files and the settings that shape the arrays.

    Raises:
        TrainingSetError: there is no training set or catalogue.
    """
    t, f = settings.training, settings.features
    shape = [t.buckets, t.max_query_tokens, t.max_item_tokens, t.price_buckets, t.seed, t.ngrams, t.stage_weights]
    history = [f.recent_queries, f.recent_items, f.recent_orders, f.order_history, f.ordered_tags]
    return step_key(FORMAT, [shape, history], _inputs(settings), settings.paths.root)


def build_arrays(settings: Settings, target: Path, fingerprint: str) -> None:
    """Write the arrays to ``target``, whole or not at all.

    Raises:
        TrainingSetError: the catalogue has no item, the training set no request or a request twice.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".arrays-", dir=target.parent))
    try:
        split = json.loads((settings.paths.training_set / "split.json").read_text(encoding="utf-8"))
        meta: dict[str, Any] = {"format": FORMAT, "fingerprint": fingerprint, "split": split}
        meta |= {f"{name}_us": _microseconds(split[name]) for name in ("cut", "end")}
        catalog = _read_catalog(settings)
        location = LocationBuckets.of_table(catalog, _training_places(settings), seed=settings.training.seed)
        meta["location"] = location.to_json()
        with _database(folder, settings.training.build_memory) as db:
            meta |= write_items(db, settings, catalog, location, folder)
            read_increments(db, settings, meta["end_us"])
            meta |= write_requests(db, settings, location, folder)
            write_edges(db, folder, meta["items"])
            meta |= write_stages(db, settings, folder)
            write_item_features(db, settings, meta, folder)
        (folder / META).write_text(json.dumps(meta, indent=2), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _inputs(settings: Settings) -> list[Path]:
    paths = settings.paths
    requests, rows = (table_files(paths.training_set / name) for name in ("requests", "rows"))
    others = [paths.training_set / name for name in ("split.json", "items.parquet", "item_features.parquet")]
    if not requests or not rows or not all(file.exists() for file in others):
        raise TrainingSetError(f"no training set under {paths.training_set}: build it before training")
    if not paths.catalog.exists():
        raise TrainingSetError(f"no catalogue at {paths.catalog}: build it before training")
    sessions = [file for name in ("requests", "events") for file in table_files(paths.sessions / name)]
    return [paths.catalog, paths.item_aliases, *others, *requests, *rows, *sessions]


def _microseconds(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


@contextmanager
def _database(folder: Path, memory: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB on disk that is gone when the arrays are built."""
    scratch = folder / "build.duckdb"
    connection = duckdb.connect(str(scratch))
    try:
        connection.execute(f"SET memory_limit='{memory}'; SET TimeZone='UTC'; SET enable_progress_bar=false")
        yield connection
    finally:
        connection.close()
        scratch.unlink(missing_ok=True)


def _read_catalog(settings: Settings) -> pa.Table:
    catalog = read_catalog(settings)
    if catalog.num_rows == 0:
        raise TrainingSetError(f"the catalogue {settings.paths.catalog} has no item")
    return catalog


def _training_places(settings: Settings) -> pa.Table:
    """Where the requests of the train window came from; without columns where the log does not say."""
    requests = dataset([str(file) for file in table_files(settings.paths.training_set / "requests")])
    names = [name for name in ("latitude", "longitude") if name in requests.schema.names]
    return requests.to_table(columns=names, filter=field("split") == "train")
