from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.query_features import query_features
from infra.contract.tables import QUERY_FEATURES, TIME
from tests.features.small_log import START, Log, midnight, small_log

STAMPS = pa.table({"event_timestamp": pa.array([midnight(START) + timedelta(days=d) for d in (1, 2, 4, 32)], TIME)})


def run(log: Log) -> pa.Table:
    rows = query_features(*(ibis.memtable(table) for table in (log.requests, log.events, STAMPS)))
    return rows.order_by("event_timestamp", "query").to_pyarrow().cast(QUERY_FEATURES)


def oracle(log: Log) -> list[dict[str, Any]]:
    rows = []
    for stamp in STAMPS["event_timestamp"].to_pylist():

        def inside(row: dict[str, Any], stamp: Any = stamp) -> bool:
            return bool(stamp - timedelta(days=30) <= row["known_at"] < stamp)

        query_of = {r["query_id"]: r["query"] for r in log.requests.to_pylist() if inside(r) and r["query"]}
        reached: dict[tuple[str, str], set[str]] = defaultdict(set)
        for event in filter(inside, log.events.to_pylist()):
            if event["query_id"] in query_of:
                reached[event["query_id"], event["item_id"]].add(event["action"])
        for query, requests in sorted(Counter(query_of.values()).items()):
            of_query = [actions for key, actions in reached.items() if query_of[key[0]] == query]
            rows.append(
                {
                    "query": query,
                    "event_timestamp": stamp,
                    "created": stamp,
                    "query_requests_30d": requests,
                    "query_clicks_30d": len(of_query),
                    "query_orders_30d": sum("order" in actions for actions in of_query),
                }
            )
    return rows


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_equals_a_slow_oracle(seed: int) -> None:
    log = small_log(seed)
    assert run(log).to_pylist() == oracle(log)


def test_nothing_from_after_the_snapshot() -> None:
    log = small_log(3)
    stamp = midnight(START) + timedelta(days=2)
    whole = [row for row in run(log).to_pylist() if row["event_timestamp"] <= stamp]
    assert whole and run(log.until(stamp)).to_pylist()[: len(whole)] == whole


@pytest.mark.spark
def test_the_engines_agree(
    duckdb_engine: Any, spark_engine: Any, load: Callable[..., Any], assert_same_rows: Callable[..., None]
) -> None:
    log = small_log(2)
    tables = {
        "query_requests": log.requests,
        "query_events": log.events,
        "query_stamps": STAMPS,
    }

    def on(engine: Any) -> pa.Table:
        loaded = [load(engine, *named) for named in tables.items()]
        return engine.to_pyarrow(query_features(*loaded)).cast(QUERY_FEATURES)

    assert_same_rows(on(duckdb_engine), on(spark_engine))
