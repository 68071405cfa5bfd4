"""Training set, catalogue and sessions to memory-mapped columns.

DuckDB joins and orders on disk and streams record batches, so memory does not grow with the number of impressions.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow.dataset import dataset, field

from infra.contract.content import step_key
from infra.contract.errors import TrainingSetError
from infra.contract.names import ITEM_NUMERIC, LIST_LENGTHS, REQUEST_NUMERIC
from infra.contract.partitions import table_files
from infra.contract.tables import LOCATION_NAMES
from infra.settings import Settings
from training.data.availability import available_from
from training.data.edge_builder import read_increments, write_edges
from training.data.items import BRAND, TAG, fit_price_edges, item_tokens, label_rows
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.ragged import Ragged, offsets_of
from training.data.scalars import QuantileTransform

FORMAT = 5
"""Raised when the same inputs become other arrays."""
META = "meta.json"
STAGE_CONDITIONS = {
    "clicked": "clicked OR carted OR ordered",
    "ordered": "ordered",
    "unclicked": "stage = 'unclicked'",
    "random": "stage = 'random'",
}
ADDED_LISTS = ("recent_brands", "order_history", "ordered_tags")
"""Lists that a training set of before does not have."""
BATCH_ROWS = 1 << 18
FIT_ROWS = 200_000
"""Rows that the quantiles of figures are read off."""


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
            meta |= _write_items(db, settings, catalog, location, folder)
            read_increments(db, settings, meta["end_us"])
            meta |= _write_requests(db, settings, location, folder)
            write_edges(db, folder, meta["items"])
            meta |= _write_stages(db, settings, folder)
            _write_item_features(db, settings, meta, folder)
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
    return [paths.catalog, *others, *requests, *rows, *sessions]


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
    catalog = pq.read_table(settings.paths.catalog).sort_by("item_id")
    if catalog.num_rows == 0:
        raise TrainingSetError(f"the catalogue {settings.paths.catalog} has no item")
    return catalog


def _training_places(settings: Settings) -> pa.Table:
    """Where the requests of the train window came from; without columns where the log does not say."""
    requests = dataset([str(file) for file in table_files(settings.paths.training_set / "requests")])
    names = [name for name in ("latitude", "longitude") if name in requests.schema.names]
    return requests.to_table(columns=names, filter=field("split") == "train")


def _write_items(
    db: duckdb.DuckDBPyConnection, settings: Settings, catalog: pa.Table, location: LocationBuckets, folder: Path
) -> dict[str, Any]:
    training = settings.training
    pq.write_table(catalog, folder / "items.parquet")
    edges = fit_price_edges(catalog["price"], training.price_buckets) if "price" in catalog.column_names else ()
    hasher = Hasher(training.buckets, training.max_item_tokens, training.ngrams)
    tokens = item_tokens(catalog, hasher, edges, location)
    for group, rows in tokens.groups.items():
        _save_ragged(folder, f"item.{group}", rows)
    np.save(folder / "item_available.npy", available_from(settings, catalog).cast(pa.int64()).to_numpy())
    numbered = pa.table({"item_id": catalog["item_id"], "item": pa.array(np.arange(catalog.num_rows), pa.int32())})
    db.register("numbered_items", numbered)
    db.execute("CREATE TABLE items AS SELECT * FROM numbered_items")
    return {"groups": list(tokens.groups), "price_edges": list(edges), "items": catalog.num_rows}


def _write_item_features(db: duckdb.DuckDBPyConnection, settings: Settings, meta: dict[str, Any], folder: Path) -> None:
    """Raw numeric features of every item as of the cut and as of the end, row ``i`` being item ``i``."""
    file = str(settings.paths.training_set / "item_features.parquet")
    names = "".join(f", {name}::FLOAT AS {name}" for name in meta["item_features"])
    for moment in ("cut", "end"):
        rows = db.sql(
            f"""
            SELECT item{names} FROM items
            LEFT JOIN (FROM read_parquet(?) WHERE epoch_us(event_timestamp) = ?) USING (item_id) ORDER BY item
            """,
            params=[file, meta[f"{moment}_us"]],
        ).to_arrow_table()
        pq.write_table(rows, folder / f"item_features.{moment}.parquet")


def _write_requests(
    db: duckdb.DuckDBPyConnection, settings: Settings, location: LocationBuckets, folder: Path
) -> dict[str, Any]:
    training_set = settings.paths.training_set
    files, held = _files_and_columns(db, training_set / "requests")
    lists = ", ".join(n if n in held else f"[]::VARCHAR[] AS {n}" for n in ADDED_LISTS)
    places = ", ".join(n if n in held else f"NULL AS {n}" for n in LOCATION_NAMES)
    figures = [name for name in REQUEST_NUMERIC if name in held]
    db.execute(
        f"""
        CREATE TABLE requests AS
        SELECT row_number() OVER (ORDER BY time, query_id) - 1 AS request, query_id, coalesce(query, '') AS query,
               CASE WHEN user_id IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY user_id) END AS user_number,
               epoch_us(time) AS time_us, split = 'validation' AS is_validation,
               recent_queries, recent_items, recent_orders, {lists}, {places}
               {"".join(f", {name}" for name in figures)}
        FROM read_parquet(?, hive_partitioning = false)
        """,
        [files],
    )
    count = _count(db, "requests")
    if count == 0:
        raise TrainingSetError(f"the training set {training_set} has no request")
    if count != db.execute("SELECT count(DISTINCT query_id) FROM requests").fetchall()[0][0]:
        raise TrainingSetError(f"a query_id occurs in more than one request of {training_set}: build it again")
    _write_queries(db, settings, folder)
    columns = db.sql(
        """
        SELECT q.number::INTEGER AS request_query, user_number::INTEGER AS request_user, time_us AS request_time,
               is_validation
        FROM requests JOIN queries q USING (query) ORDER BY request
        """
    ).to_arrow_table()
    for name in columns.column_names:
        np.save(folder / f"{name}.npy", columns[name].to_numpy())
    _write_histories(db, settings, folder, count)
    _write_request_location(db, settings, location, folder)
    values = db.sql(f"SELECT {', '.join(['request', *figures])} FROM requests ORDER BY request").to_arrow_table()
    raw = _figures(values, figures)
    training = ~columns["is_validation"].to_numpy()
    transform = QuantileTransform.fit(_fit_sample(raw[training], settings.training.seed), figures)
    np.save(folder / "request_features.npy", transform.apply(raw))
    return {"requests": count, "request_features": figures, "request_transform": transform.to_json()}


def _write_queries(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path) -> None:
    """Table ``queries``: every distinct text of requests, histories and edges, numbered in order of text."""
    db.execute(
        """
        CREATE TABLE queries AS SELECT query, row_number() OVER (ORDER BY query) - 1 AS number
        FROM (SELECT query FROM requests UNION SELECT unnest(recent_queries) FROM requests
              UNION SELECT query FROM increments) WHERE query IS NOT NULL
        """
    )
    texts = db.sql("SELECT query FROM queries ORDER BY number").to_arrow_table()
    pq.write_table(texts, folder / "queries.parquet")
    hasher = Hasher(settings.training.buckets, settings.training.max_query_tokens, settings.training.ngrams)
    _save_ragged(folder, "query_tokens", hasher.ngrams(texts["query"].combine_chunks().cast(pa.string())))


def _write_histories(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path, count: int) -> None:
    hasher = Hasher(settings.training.buckets, 1)
    for column, key, prefix in (("recent_brands", "brand", BRAND), ("ordered_tags", "tag", TAG)):
        names = db.sql(f"SELECT DISTINCT unnest({column}) AS name FROM requests ORDER BY name").to_arrow_table()["name"]
        kept = names.combine_chunks().drop_null()
        buckets = hasher.labels([f"{prefix} {name}" for name in kept.to_pylist()])
        filled = buckets.lengths > 0
        db.register(f"{key}_names", pa.table({key: kept.filter(pa.array(filled)), "bucket": pa.array(buckets.ids)}))
    for name, table, key, number in (
        ("recent_queries", "queries", "query", "number"),
        ("recent_items", "items", "item_id", "item"),
        ("recent_orders", "items", "item_id", "item"),
        ("order_history", "items", "item_id", "item"),
        ("recent_brands", "brand_names", "brand", "bucket"),
        ("ordered_tags", "tag_names", "tag", "bucket"),
    ):
        length = getattr(settings.features, LIST_LENGTHS[name])
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


def _write_request_location(
    db: duckdb.DuckDBPyConnection, settings: Settings, location: LocationBuckets, folder: Path
) -> None:
    table = db.sql(f"SELECT {', '.join(LOCATION_NAMES)} FROM requests ORDER BY request").to_arrow_table()
    hasher = Hasher(settings.training.buckets, settings.training.max_query_tokens)
    _save_ragged(folder, "request_location", label_rows(hasher, location.labels(table)))


def _write_stages(db: duckdb.DuckDBPyConnection, settings: Settings, folder: Path) -> dict[str, Any]:
    """Items and figures of each request by stage, in shown order; items outside the catalogue are left out."""
    files, held = _files_and_columns(db, settings.paths.training_set / "rows")
    figures = [name for name in ITEM_NUMERIC if name in held]
    named = "".join(f", {name}" for name in figures)
    flags = ", ".join(f"({condition}) AS {stage}" for stage, condition in STAGE_CONDITIONS.items())
    db.execute(
        f"""
        CREATE TABLE rows AS SELECT request, item, position, is_validation, {flags}{named}
        FROM read_parquet(?, hive_partitioning = false) JOIN items USING (item_id)
        JOIN (SELECT query_id, request, is_validation FROM requests) USING (query_id)
        """,
        [files],
    )
    thinned = -(-_count(db, "rows WHERE NOT is_validation") // FIT_ROWS) or 1
    sample = db.sql(
        f"""
        SELECT request{named} FROM rows WHERE NOT is_validation AND hash(request, item) % {thinned} = 0
        ORDER BY request, item
        """
    ).to_arrow_table()
    transform = QuantileTransform.fit(_figures(sample, figures), figures)
    counts = {stage: _write_stage(db, folder, stage, figures, transform) for stage in STAGE_CONDITIONS}
    return {"stages": counts, "item_features": figures, "item_transform": transform.to_json()}


def _write_stage(
    db: duckdb.DuckDBPyConnection, folder: Path, stage: str, figures: Sequence[str], transform: QuantileTransform
) -> int:
    total, requests = _count(db, f"rows WHERE {stage}"), _count(db, "requests")
    ids = _new_array(folder / f"{stage}.ids.npy", (total,), np.int32)
    features = _new_array(folder / f"{stage}.features.npy", (total, len(figures)), np.float32)
    lengths, written = np.zeros(requests, dtype=np.int64), 0
    reader = db.sql(
        f"""
        SELECT request, item{"".join(f", {name}" for name in figures)} FROM rows WHERE {stage}
        ORDER BY request, position, item
        """
    ).to_arrow_reader(BATCH_ROWS)
    for batch in reader:
        lengths += np.bincount(batch["request"].to_numpy(), minlength=requests)
        place = slice(written, written + batch.num_rows)
        ids[place] = batch["item"].to_numpy()
        features[place] = transform.apply(_figures(batch, figures))
        written += batch.num_rows
    np.save(folder / f"{stage}.offsets.npy", offsets_of(lengths))
    return total


def _files_and_columns(db: duckdb.DuckDBPyConnection, table: Path) -> tuple[list[str], set[str]]:
    """The files of a table of daily partitions, for ``read_parquet(?)``, and the columns of the first of them."""
    files = [str(file) for file in table_files(table)]
    described = db.execute("DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning = false)", [files]).fetchall()
    return files, {column[0] for column in described}


def _figures(rows: pa.Table | pa.RecordBatch, names: Sequence[str]) -> NDArray[np.float32]:
    """Columns as float32 [n, names], NaN where null."""
    values = np.full((rows.num_rows, len(names)), np.nan, dtype=np.float32)
    for column, name in enumerate(names):
        values[:, column] = rows[name].cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def _fit_sample(values: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    if len(values) <= FIT_ROWS:
        return values
    return values[np.sort(np.random.default_rng(seed).choice(len(values), FIT_ROWS, replace=False))]


def _save_ragged(folder: Path, name: str, rows: Ragged) -> None:
    np.save(folder / f"{name}.offsets.npy", rows.offsets)
    np.save(folder / f"{name}.ids.npy", rows.ids)


def _new_array(path: Path, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    return np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)


def _count(db: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])
