"""The training set as memory-mapped columns: what a training step reads, nothing else.

DuckDB joins and orders on disk and streams record batches, so memory does not grow with the number of impressions.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.settings import Settings
from training.items import fit_price_edges, item_tokens
from training.ragged import Ragged, offsets_of
from training.text.ngrams import Hasher

FORMAT = 2
META = "meta.json"
STAGE_CONDITIONS = {
    "clicked": "clicked OR carted OR ordered",
    "ordered": "ordered",
    "unclicked": "stage = 'unclicked'",
    "random": "stage = 'random'",
}
BATCH_ROWS = 1 << 18


class TrainingSetError(ValueError):
    """The training set on disk cannot be trained on; the message says what to do."""


@dataclass(frozen=True)
class Arrays:
    """Requests in order of time, items in order of id, distinct queries in order of text. -1 pads a history."""

    path: Path
    meta: Mapping[str, Any]
    query_tokens: Ragged
    item_tokens: Mapping[str, Ragged]
    item_available: NDArray[np.int64]
    """Microseconds since 1970 from which an item can be found, [items]."""
    request_query: NDArray[np.int32]
    request_user: NDArray[np.int32]
    """A number per user, -1 where the log has none, [requests]."""
    request_time: NDArray[np.int64]
    is_validation: NDArray[np.bool_]
    recent_queries: NDArray[np.int32]
    recent_items: NDArray[np.int32]
    recent_orders: NDArray[np.int32]
    clicked: Ragged
    ordered: Ragged
    unclicked: Ragged
    random: Ragged

    @property
    def items(self) -> int:
        return len(self.item_available)

    def catalog(self) -> pa.Table:
        """The catalogue, row ``i`` being item ``i``."""
        return pq.read_table(self.path / "items.parquet")

    def query_texts(self) -> pa.Array:
        """The distinct queries, row ``i`` being query ``i``."""
        return pq.read_table(self.path / "queries.parquet")["query"].combine_chunks()


def prepare_arrays(settings: Settings) -> Arrays:
    """The arrays of the training set on disk, built if they are missing or were built from something else.

    Raises:
        TrainingSetError: there is no training set or catalogue, or it has no request.
    """
    target = settings.paths.training / "arrays"
    fingerprint = _fingerprint(settings)
    meta = target / META
    if not meta.exists() or json.loads(meta.read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
        _build(settings, target, fingerprint)
    return load_arrays(target)


def load_arrays(path: Path) -> Arrays:
    """Map the arrays under ``path``."""

    def column(name: str) -> NDArray[Any]:
        return np.load(path / f"{name}.npy", mmap_mode="r")  # type: ignore[no-any-return]

    def ragged(name: str) -> Ragged:
        return Ragged(column(f"{name}.offsets"), column(f"{name}.ids"))

    meta = json.loads((path / META).read_text(encoding="utf-8"))
    return Arrays(
        path=path,
        meta=meta,
        query_tokens=ragged("query_tokens"),
        item_tokens={group: ragged(f"item.{group}") for group in meta["groups"]},
        item_available=column("item_available"),
        request_query=column("request_query"),
        request_user=column("request_user"),
        request_time=column("request_time"),
        is_validation=column("is_validation"),
        recent_queries=column("recent_queries"),
        recent_items=column("recent_items"),
        recent_orders=column("recent_orders"),
        clicked=ragged("clicked"),
        ordered=ragged("ordered"),
        unclicked=ragged("unclicked"),
        random=ragged("random"),
    )


def _inputs(settings: Settings) -> list[Path]:
    training_set, catalog = settings.paths.training_set, settings.paths.catalog
    requests = sorted(training_set.glob("requests/dt=*/part.parquet"))
    rows = sorted(training_set.glob("rows/dt=*/part.parquet"))
    split = training_set / "split.json"
    if not requests or not rows or not split.exists():
        raise TrainingSetError(f"no training set under {training_set}: build it before training")
    if not catalog.exists():
        raise TrainingSetError(f"no catalogue at {catalog}: build it before training")
    return [catalog, split, *requests, *rows]


def _fingerprint(settings: Settings) -> str:
    """What the arrays depend on: the input files as they are now and the settings that shape the arrays."""
    t, f = settings.training, settings.features
    shape = [FORMAT, t.buckets, t.max_query_tokens, t.max_item_tokens, t.price_buckets]
    history = [f.recent_queries, f.recent_items, f.recent_orders]
    files = [(p.parent.name + "/" + p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in _inputs(settings)]
    return hashlib.sha256(json.dumps([shape, history, files]).encode()).hexdigest()


def _build(settings: Settings, target: Path, fingerprint: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".arrays-", dir=target.parent))
    try:
        with _database(folder, settings.training.build_memory) as db:
            meta = _write_items(db, settings, folder)
            _write_requests(db, settings, folder)
            meta |= {"stages": _write_stages(db, settings, folder), "requests": _count(db, "requests")}
        split = json.loads((settings.paths.training_set / "split.json").read_text(encoding="utf-8"))
        meta |= {"format": FORMAT, "fingerprint": fingerprint, "split": split}
        (folder / META).write_text(json.dumps(meta, indent=2), encoding="utf-8")
        shutil.rmtree(target, ignore_errors=True)
        folder.rename(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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


def _write_items(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path) -> dict[str, Any]:
    training = settings.training
    catalog = pq.read_table(settings.paths.catalog).sort_by("item_id")
    if catalog.num_rows == 0:
        raise TrainingSetError(f"the catalogue {settings.paths.catalog} has no item")
    pq.write_table(catalog, folder / "items.parquet")
    edges = fit_price_edges(catalog["price"], training.price_buckets) if "price" in catalog.column_names else ()
    tokens = item_tokens(catalog, Hasher(training.buckets, training.max_item_tokens), edges)
    for group, rows in tokens.groups.items():
        _save_ragged(folder, f"item.{group}", rows)
    np.save(folder / "item_available.npy", catalog["available_from"].cast(pa.int64()).to_numpy())
    numbered = pa.table({"item_id": catalog["item_id"], "item": pa.array(np.arange(catalog.num_rows), pa.int32())})
    db.register("numbered_items", numbered)
    db.execute("CREATE TABLE items AS SELECT * FROM numbered_items")
    return {"groups": list(tokens.groups), "price_edges": list(edges), "items": catalog.num_rows}


def _write_requests(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path) -> None:
    source = str(settings.paths.training_set / "requests" / "dt=*" / "part.parquet")
    db.execute(
        """
        CREATE TABLE requests AS
        SELECT row_number() OVER (ORDER BY time, query_id) - 1 AS request, query_id, coalesce(query, '') AS query,
               CASE WHEN user_id IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY user_id) END AS user_number,
               epoch_us(time) AS time_us, split = 'validation' AS is_validation,
               recent_queries, recent_items, recent_orders
        FROM read_parquet(?, hive_partitioning = false)
        """,
        [source],
    )
    count = _count(db, "requests")
    if count == 0:
        raise TrainingSetError(f"the training set {source} has no request")
    if count != db.execute("SELECT count(DISTINCT query_id) FROM requests").fetchall()[0][0]:
        raise TrainingSetError(f"a query_id occurs in more than one request of {source}: build the training set again")
    db.execute(
        """
        CREATE TABLE queries AS SELECT query, row_number() OVER (ORDER BY query) - 1 AS number
        FROM (SELECT query FROM requests UNION SELECT unnest(recent_queries) FROM requests) WHERE query IS NOT NULL
        """
    )
    texts = db.sql("SELECT query FROM queries ORDER BY number").to_arrow_table()
    pq.write_table(texts, folder / "queries.parquet")
    hasher = Hasher(settings.training.buckets, settings.training.max_query_tokens)
    _save_ragged(folder, "query_tokens", hasher.ngrams(texts["query"].combine_chunks().cast(pa.string())))
    columns = db.sql(
        """
        SELECT q.number::INTEGER AS request_query, user_number::INTEGER AS request_user, time_us AS request_time,
               is_validation
        FROM requests JOIN queries q USING (query) ORDER BY request
        """
    ).to_arrow_table()
    for name in columns.column_names:
        np.save(folder / f"{name}.npy", columns[name].to_numpy())
    lengths = settings.features
    numbering = {"queries": ("query", "number"), "items": ("item_id", "item")}
    for name, table, length in (
        ("recent_queries", "queries", lengths.recent_queries),
        ("recent_items", "items", lengths.recent_items),
        ("recent_orders", "items", lengths.recent_orders),
    ):
        key, number = numbering[table]
        _write_history(db, folder, name, (table, key, number), (count, length))


def _write_history(
    db: duckdb.DuckDBPyConnection, folder: Path, name: str, numbering: tuple[str, str, str], shape: tuple[int, int]
) -> None:
    """Lists of names to rows of numbers, newest first; a name that is not known is left out."""
    table, key, number = numbering
    out = _new_array(folder / f"{name}.npy", shape, np.int32)
    out[:] = -1
    reader = db.sql(
        f"""
        SELECT request, place, {number} AS number
        FROM (SELECT request, unnest({name}) AS {key}, generate_subscripts({name}, 1) - 1 AS place FROM requests)
        JOIN {table} USING ({key}) WHERE place < {shape[1]}
        """
    ).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        out[batch["request"].to_numpy(), batch["place"].to_numpy()] = batch["number"].to_numpy()


def _write_stages(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path) -> dict[str, int]:
    """Items of each request by stage, in shown order; rows of items outside the catalogue are left out."""
    source = str(settings.paths.training_set / "rows" / "dt=*" / "part.parquet")
    flags = ", ".join(f"({condition}) AS {stage}" for stage, condition in STAGE_CONDITIONS.items())
    db.execute(
        f"""
        CREATE TABLE rows AS SELECT request, item, position, {flags}
        FROM read_parquet(?, hive_partitioning = false) JOIN requests USING (query_id) JOIN items USING (item_id)
        """,
        [source],
    )
    requests, counts = _count(db, "requests"), {}
    for stage in STAGE_CONDITIONS:
        counts[stage] = total = _count(db, f"rows WHERE {stage}")
        ids = _new_array(folder / f"{stage}.ids.npy", (total,), np.int32)
        lengths, written = np.zeros(requests, dtype=np.int64), 0
        reader = db.sql(
            f"SELECT request, item FROM rows WHERE {stage} ORDER BY request, position, item"
        ).to_arrow_reader(BATCH_ROWS)
        for batch in reader:
            lengths += np.bincount(batch["request"].to_numpy(), minlength=requests)
            ids[written : written + batch.num_rows] = batch["item"].to_numpy()
            written += batch.num_rows
        np.save(folder / f"{stage}.offsets.npy", offsets_of(lengths))
    return counts


def _save_ragged(folder: Path, name: str, rows: Ragged) -> None:
    np.save(folder / f"{name}.offsets.npy", rows.offsets)
    np.save(folder / f"{name}.ids.npy", rows.ids)


def _new_array(path: Path, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
