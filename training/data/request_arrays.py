"""Arrays of requests: query, user and time, what their user did before, where they came from, numeric features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from infra.contract.errors import TrainingSetError
from infra.contract.names import LIST_LENGTHS, REQUEST_NUMERIC
from infra.contract.tables import LOCATION_NAMES
from infra.settings import Settings
from training.data.array_files import (
    BATCH_ROWS,
    FIT_ROWS,
    count_rows,
    figures_of,
    files_and_columns,
    new_array,
    save_ragged,
)
from training.data.items import BRAND, TAG, label_rows
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.ragged import offsets_of
from training.data.scalars import QuantileTransform

ADDED_LISTS = ("recent_brands", "order_history", "ordered_tags")
"""Lists that a training set of before does not have."""


def write_requests(
    db: duckdb.DuckDBPyConnection, settings: Settings, location: LocationBuckets, folder: Path
) -> dict[str, Any]:
    """Table ``requests``, numbered in order of time, and the arrays of its columns; for ``meta``.

    Raises:
        TrainingSetError: there is no request, or one twice.
    """
    training_set = settings.paths.training_set
    files, held = files_and_columns(db, training_set / "requests")
    lists = ", ".join(n if n in held else f"[]::VARCHAR[] AS {n}" for n in ADDED_LISTS)
    places = ", ".join(n if n in held else f"NULL AS {n}" for n in LOCATION_NAMES)
    figures = [name for name in REQUEST_NUMERIC if name in held]
    db.execute(
        f"""
        CREATE TABLE requests AS
        SELECT row_number() OVER (ORDER BY time, query_id) - 1 AS request, query_id, coalesce(query, '') AS query,
               CASE WHEN user_id IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY user_id) END AS user_number,
               -- 52 bits of MD5: the same in every run, on every machine, for whatever other users there are
               ('0x' || left(md5($seed || coalesce('user ' || user_id, 'request ' || query_id)), 13))::BIGINT / 2.0**52
                   AS person,
               epoch_us(time) AS time_us, split = 'validation' AS is_validation,
               recent_queries, recent_items, recent_orders, {lists}, {places}
               {"".join(f", {name}" for name in figures)}
        FROM read_parquet($files, hive_partitioning = false)
        """,
        {"files": files, "seed": str(settings.training.seed)},
    )
    count = count_rows(db, "requests")
    if count == 0:
        raise TrainingSetError(f"the training set {training_set} has no request")
    if count != db.execute("SELECT count(DISTINCT query_id) FROM requests").fetchall()[0][0]:
        raise TrainingSetError(f"a query_id occurs in more than one request of {training_set}: build it again")
    _write_queries(db, settings, folder)
    columns = db.sql(
        """
        SELECT q.number::INTEGER AS request_query, user_number::INTEGER AS request_user,
               person AS request_person, time_us AS request_time,
               is_validation
        FROM requests JOIN queries q USING (query) ORDER BY request
        """
    ).to_arrow_table()
    for name in columns.column_names:
        np.save(folder / f"{name}.npy", columns[name].to_numpy())
    _write_histories(db, settings, folder, count)
    _write_request_location(db, settings, location, folder)
    values = db.sql(f"SELECT {', '.join(['request', *figures])} FROM requests ORDER BY request").to_arrow_table()
    raw = figures_of(values, figures)
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
    save_ragged(folder, "query_tokens", hasher.ngrams(texts["query"].combine_chunks().cast(pa.string())))


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
        ("recent_brands", "brand_names", "brand", "bucket"),
        ("ordered_tags", "tag_names", "tag", "bucket"),
    ):
        length = getattr(settings.features, LIST_LENGTHS[name])
        _write_history(db, folder, name, (table, key, number), (count, length))
    _write_order_history(db, folder, count, settings.features.order_history)


def _write_history(
    db: duckdb.DuckDBPyConnection, folder: Path, name: str, numbering: tuple[str, str, str], shape: tuple[int, int]
) -> None:
    """Lists of names to rows of numbers, newest first; a name that is not known is left out."""
    table, key, number = numbering
    out = new_array(folder / f"{name}.npy", shape, np.int32)
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


def _write_order_history(db: duckdb.DuckDBPyConnection, folder: Path, count: int, length: int) -> None:
    """As :func:`_write_history`, row by row as long as it is: most users have few orders, some have hundreds."""
    db.execute(
        f"""
        CREATE TABLE past_orders AS SELECT request, place, item::INTEGER AS item
        FROM (SELECT request, unnest(order_history) AS item_id, generate_subscripts(order_history, 1) AS place
              FROM requests)
        JOIN items USING (item_id) WHERE place <= {length}
        """
    )
    ids = new_array(folder / "order_history.ids.npy", (count_rows(db, "past_orders"),), np.int32)
    lengths, written = np.zeros(count, dtype=np.int64), 0
    for batch in db.sql("SELECT request, item FROM past_orders ORDER BY request, place").to_arrow_reader(BATCH_ROWS):
        lengths += np.bincount(batch["request"].to_numpy(), minlength=count)
        ids[written : written + batch.num_rows] = batch["item"].to_numpy()
        written += batch.num_rows
    np.save(folder / "order_history.offsets.npy", offsets_of(lengths))


def _write_request_location(
    db: duckdb.DuckDBPyConnection, settings: Settings, location: LocationBuckets, folder: Path
) -> None:
    table = db.sql(f"SELECT {', '.join(LOCATION_NAMES)} FROM requests ORDER BY request").to_arrow_table()
    hasher = Hasher(settings.training.buckets, settings.training.max_query_tokens)
    save_ragged(folder, "request_location", label_rows(hasher, location.labels(table)))


def _fit_sample(values: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    if len(values) <= FIT_ROWS:
        return values
    return values[np.sort(np.random.default_rng(seed).choice(len(values), FIT_ROWS, replace=False))]
