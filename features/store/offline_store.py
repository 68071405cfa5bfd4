"""Feast's duckdb offline store with reads that are linear and have a memory limit.

Feast's own join pairs an entity row with every feature row of its key within the TTL and then keeps the latest: for a
user with n requests and n feature rows that is n² wide rows. DuckDB's ASOF join sorts both sides once instead. For the
latest row of each key Feast sorts all wide rows, in a connection that nothing limits: here times alone are compared.
"""

from __future__ import annotations

import atexit
import gc
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import duckdb
import ibis
import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.duckdb import DuckDBOfflineStore, DuckDBOfflineStoreConfig
from feast.infra.offline_stores.offline_store import RetrievalJob

from features.sql_text import identifier, quoted
from infra.contract.tables import CREATED, EVENT_TIME

STORE_TYPE = "features.store.offline_store.AsOfDuckDBOfflineStore"
ORDER = "_entity_row_order"


@atexit.register
def _close_default_backend() -> None:
    """Feast works in Ibis's default connection; one that is open when Python ends prints pages of leaked references."""
    ibis.options.default_backend = None
    gc.collect()


class AsOfDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc] # Feast is not typed
    """Feast finds this class by the store's name followed by ``Config``."""

    type: str = STORE_TYPE
    memory_limit: str = "2GB"
    """What a join may hold before it spills, as DuckDB writes it."""
    spill_folder: str | None = None
    """Where a join makes its temporary folder; the system's place for such without it."""


class AsOfDuckDBOfflineStore(DuckDBOfflineStore):  # type: ignore[misc] # Feast is not typed
    """The duckdb store with DuckDB's own ASOF join."""

    supports_filter_by_created_timestamp = False

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: Sequence[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> BoundedRetrievalJob:
        """See Feast. ``entity_df`` is rows, or a query in DuckDB's SQL that reads them from files: rows that are never
        whole in Python. Their time is ``event_timestamp``; they come back in their order.

        Raises:
            NotImplementedError: ``filter_by_created_timestamp``, which no ASOF join can express.
        """
        if filter_by_created_timestamp:
            raise NotImplementedError(
                "This offline store takes a feature as known from its event_timestamp on: "
                "leave filter_by_created_timestamp out."
            )
        query = as_of_query(feature_views, feature_refs, full_feature_names)
        return BoundedRetrievalJob(query, entity_df, config.offline_store, full_feature_names)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: Any,
        data_source: Any,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> BoundedRetrievalJob:
        """See Feast: of each key the latest row from ``start_date`` to ``end_date``, both included."""
        times = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        query = latest_query(data_source.path, join_key_columns, feature_name_columns, times, start_date, end_date)
        return BoundedRetrievalJob(query, None, config.offline_store, full_names=False)


class BoundedRetrievalJob(RetrievalJob):  # type: ignore[misc] # Feast is not typed
    """A query under the store's memory limit, which runs when its rows are asked for."""

    def __init__(
        self, query: str, entities: pd.DataFrame | str | None, config: AsOfDuckDBOfflineStoreConfig, full_names: bool
    ) -> None:
        self._query, self._entities, self._config, self._full_names = query, entities, config, full_names

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The rows in their order, about so many at a time."""
        with self._connected() as connection:
            yield from connection.sql(self._query).to_arrow_reader(rows)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        with self._connected() as connection:
            return connection.sql(self._query).to_arrow_table()

    @contextmanager
    def _connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB of its own that holds ``entities``."""
        with tempfile.TemporaryDirectory(prefix=".spill-", dir=self._config.spill_folder) as spill:
            limits = {"memory_limit": self._config.memory_limit, "temp_directory": spill}
            with duckdb.connect(config=limits) as connection:
                connection.execute("SET TimeZone='UTC'; SET enable_progress_bar=false")
                if self._entities is not None:
                    _hold_entities(connection, self._entities)
                yield connection

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    @property
    def full_feature_names(self) -> bool:
        """Whether a feature's name starts with its view's."""
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[Any]:
        """None: features are computed when they are written."""
        return []


def _hold_entities(connection: duckdb.DuckDBPyConnection, entities: pd.DataFrame | str) -> None:
    """Make the table ``entities`` of rows, with the number of each as ``ORDER``."""
    rows = entities
    if not isinstance(entities, str):
        connection.register("given", pa.Table.from_pandas(entities, preserve_index=False))
        rows = "FROM given"
    connection.execute(f"CREATE TEMP TABLE entities AS SELECT *, row_number() OVER () AS {ORDER} FROM ({rows})")


def as_of_query(views: Sequence[Any], references: list[str], full_names: bool) -> str:
    """SQL that puts the features beside the rows of ``entities`` (which has a column ``ORDER`` besides), in its order.

    A feature row counts from its time until the TTL has passed, both included; of rows with one key and time the one
    created last counts. Which row counts is told by keys and times alone: the wide columns are read once, of the rows
    that are left, and are neither sorted nor grouped.
    """
    columns, places, found, matches, wide = [], [ORDER], [], [], []
    for number, view in enumerate(views):
        k, f, file, row = f"k{number}", f"f{number}", f"_file{number}", f"_row{number}"
        wanted = [ref.split(":")[1] for ref in references if ref.startswith(f"{view.projection.name_to_use()}:")]
        keys = view.projection.join_key_map or {column.name: column.name for column in view.entity_columns}
        span = f"INTERVAL {int(view.ttl.total_seconds() * 1_000_000)} MICROSECONDS" if view.ttl else None
        alive = f"{k}.{EVENT_TIME} + {span} >= e.{EVENT_TIME}" if span else "true"
        places += [file, row]
        found.append(f"CASE WHEN {alive} THEN {k}.file_index END AS {file}, {k}.file_row_number AS {row}")
        same = " AND ".join(f"e.{identifier(asked)} = {k}.{identifier(key)}" for key, asked in keys.items())
        rows = _dated_keys(view.batch_source.path, keys, span)
        matches.append(f"ASOF LEFT JOIN ({rows}) {k} ON {same} AND e.{EVENT_TIME} >= {k}.{EVENT_TIME}")
        for name in wanted:
            shown = f"{view.projection.name_to_use()}__{name}" if full_names else name
            columns.append(f"{f}.{identifier(name)} AS {identifier(shown)}")
        features = ", ".join(["file_index", "file_row_number", *map(identifier, wanted)])
        of_place = f"e.{file} = {f}.file_index AND e.{row} = {f}.file_row_number"
        wide.append(f"LEFT JOIN (SELECT {features} FROM {_rows_of(view.batch_source.path)}) {f} ON {of_place}")
    shown_columns = ", ".join([f"e.* EXCLUDE ({', '.join(places)})", *columns])
    return (
        f"WITH matched AS (SELECT e.*, {', '.join(found)} FROM entities e {' '.join(matches)}) "
        f"SELECT {shown_columns} FROM matched e {' '.join(wide)} ORDER BY e.{ORDER}"
    )


def _dated_keys(path: str, keys: dict[str, str], span: str | None) -> str:
    """Keys, time and place of the feature rows that the entity rows may match, one for each key and time."""
    key_names = ", ".join(identifier(key) for key in keys)
    oldest = f"AND {EVENT_TIME} >= (SELECT min({EVENT_TIME}) FROM entities) - {span}" if span else ""
    known = " ".join(
        f"AND {identifier(key)} IN (SELECT {identifier(asked)} FROM entities)" for key, asked in keys.items()
    )
    return (
        f"SELECT {key_names}, {EVENT_TIME}, file_index, file_row_number FROM {_rows_of(path)} "
        f"WHERE {EVENT_TIME} <= (SELECT max({EVENT_TIME}) FROM entities) {oldest} {known} "
        f"QUALIFY row_number() OVER (PARTITION BY {key_names}, {EVENT_TIME} ORDER BY {CREATED} DESC) = 1"
    )


def latest_query(
    path: str, keys: list[str], features: list[str], times: list[str], start: datetime, end: datetime
) -> str:
    """SQL of the latest row of each key from ``start`` to ``end``, by the first of ``times``, then by the second.

    A row without a key is nobody's.
    """
    time, *created = map(identifier, times)
    key_names = ", ".join(map(identifier, keys))
    moments = (f"TIMESTAMPTZ '{moment.astimezone(UTC).isoformat()}'" for moment in (start, end))
    within = f"{time} BETWEEN {' AND '.join(moments)}"
    # the wide columns are read of the rows that are left alone
    newest = f"SELECT {key_names}, max({time}) AS {time} FROM {_rows_of(path)} WHERE {within} GROUP BY {key_names}"
    ties = f"ORDER BY {created[0]} DESC" if created else ""
    return (
        f"SELECT {', '.join(map(identifier, [*keys, *features, *times]))} FROM {_rows_of(path)} "
        f"SEMI JOIN ({newest}) newest USING ({key_names}, {time}) "
        f"QUALIFY row_number() OVER (PARTITION BY {key_names} {ties}) = 1"
    )


def _rows_of(path: str) -> str:
    # a condition on the days of the folders would leave files out before they are numbered: no column of theirs
    return f"read_parquet({quoted(path)}, union_by_name = true, hive_partitioning = false)"
