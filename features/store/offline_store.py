"""Feast's duckdb offline store, reading only the feature rows that a request can match.

Feast joins an entity row with every feature row of its key within the TTL and then keeps the latest: with a daily
snapshot and a TTL of 30 days that is 30 wide rows for one. Given the time range of the entity rows, all but the last
row of a key before the range can be left out beforehand, with the same result.
"""

from __future__ import annotations

import atexit
import gc
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import ibis
import pandas as pd
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,
    _write_data_source,
)
from feast.infra.offline_stores.ibis import IbisRetrievalJob, get_historical_features_ibis

from infra.contract.tables import CREATED, EVENT_TIME

STORE_TYPE = "features.store.offline_store.RecentDuckDBOfflineStore"


@atexit.register
def _close_default_backend() -> None:
    """Feast works in Ibis's default connection; one that is open when Python ends prints pages of leaked references."""
    ibis.options.default_backend = None
    gc.collect()


class RecentDuckDBOfflineStoreConfig(DuckDBOfflineStoreConfig):  # type: ignore[misc] # Feast is not typed
    """Feast finds this class by the store's name followed by ``Config``."""

    type: str = STORE_TYPE


class RecentDuckDBOfflineStore(DuckDBOfflineStore):  # type: ignore[misc] # Feast is not typed
    """The duckdb store with less to join."""

    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: Sequence[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> IbisRetrievalJob:
        """See Feast. ``entity_df`` has its time in ``event_timestamp``."""
        first, last = entity_df[EVENT_TIME].min(), entity_df[EVENT_TIME].max()
        by_source = {view.batch_source.name: view for view in feature_views}

        def read(source: Any, repo_path: str) -> ibis.Table:
            view = by_source[source.name]
            keys = [column.name for column in view.entity_columns]
            return matching(_read_data_source(source, repo_path), keys, first - view.ttl, first, last)

        return get_historical_features_ibis(
            config=config,
            feature_views=list(feature_views),
            feature_refs=feature_refs,
            entity_df=entity_df,
            registry=registry,
            project=project,
            data_source_reader=read,
            data_source_writer=_write_data_source,
            full_feature_names=full_feature_names,
            filter_by_created_timestamp=filter_by_created_timestamp,
        )


def matching(rows: ibis.Table, keys: list[str], oldest: datetime, first: datetime, last: datetime) -> ibis.Table:
    """The feature rows that may be the latest of their key at some time in [first, last]: those in the range, and of
    those in [oldest, first] the latest per key."""
    time = rows[EVENT_TIME]
    earlier = rows.filter((time >= oldest) & (time <= first))
    newest_first = ibis.window(group_by=keys, order_by=[ibis.desc(EVENT_TIME), ibis.desc(CREATED)])
    earlier = earlier.mutate(rank=ibis.row_number().over(newest_first)).filter(lambda t: t["rank"] == 0).drop("rank")
    return earlier.union(rows.filter((time > first) & (time <= last)))
