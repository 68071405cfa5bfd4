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
from infra.settings import FeatureSettings
from tests.features.small_log import START, UNKNOWN_ITEM, Log, midnight, small_log

CHOSEN = FeatureSettings(top_items=4)
STAMPS = pa.table({"event_timestamp": pa.array([midnight(START) + timedelta(days=d) for d in (1, 2, 4, 32)], TIME)})


def run(log: Log, chosen: FeatureSettings = CHOSEN) -> pa.Table:
    tables = [ibis.memtable(table) for table in (log.requests, log.events, log.catalog, STAMPS)]
    rows = query_features(*tables, chosen)
    return rows.order_by("event_timestamp", "query").to_pyarrow().cast(QUERY_FEATURES)


def oracle(log: Log, chosen: FeatureSettings) -> list[dict[str, Any]]:
    known_items = set(log.catalog["item_id"].to_pylist())
    rows = []
    for stamp in STAMPS["event_timestamp"].to_pylist():

        def inside(row: dict[str, Any], stamp: Any = stamp) -> bool:
            return bool(stamp - timedelta(days=30) <= row["known_at"] < stamp)

        query_of = {r["query_id"]: r["query"] for r in log.requests.to_pylist() if inside(r) and r["query"]}
        reached: dict[tuple[str, str], float] = defaultdict(float)
        for event in filter(inside, log.events.to_pylist()):
            if event["query_id"] in query_of:
                stage = {"click": "clicked", "cart": "carted", "order": "ordered"}[event["action"]]
                key = (event["query_id"], event["item_id"])
                reached[key] = max(reached[key], chosen.stage_weights[stage])
        for query, requests in sorted(Counter(query_of.values()).items()):
            of_query = {key: weight for key, weight in reached.items() if query_of[key[0]] == query}
            weights: dict[str, float] = defaultdict(float)
            for (_, item), weight in of_query.items():
                weights[item] += weight if item in known_items else 0.0
            tops = sorted((-w, item) for item, w in weights.items() if w)[: chosen.top_items]
            rows.append(
                {
                    "query": query,
                    "event_timestamp": stamp,
                    "created": stamp,
                    "query_requests_30d": requests,
                    "query_clicks_30d": len(of_query),
                    "query_orders_30d": sum(w == chosen.stage_weights["ordered"] for w in of_query.values()),
                    "top_items": [item for _, item in tops],
                    "top_weights": [-weight for weight, _ in tops],
                }
            )
    return rows


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000))
def test_equals_a_slow_oracle(seed: int) -> None:
    log = small_log(seed)
    assert run(log).to_pylist() == oracle(log, CHOSEN)


def test_no_edge_from_after_the_snapshot() -> None:
    log = small_log(3)
    stamp = midnight(START) + timedelta(days=2)
    whole = [row for row in run(log).to_pylist() if row["event_timestamp"] <= stamp]
    assert whole and run(log.until(stamp)).to_pylist()[: len(whole)] == whole


def test_neighbours_are_in_the_catalogue_heaviest_first() -> None:
    rows = run(small_log(6)).to_pylist()
    assert any(row["top_items"] for row in rows)
    for row in rows:
        assert UNKNOWN_ITEM not in row["top_items"]
        assert row["top_weights"] == sorted(row["top_weights"], reverse=True)


def test_an_unusual_order_of_weights_is_taken_as_set() -> None:
    chosen = CHOSEN.model_copy(update={"stage_weights": {"clicked": 1.0, "carted": 1.5, "ordered": 9.0}})
    log = small_log(7)
    assert run(log, chosen).to_pylist() == oracle(log, chosen)


@pytest.mark.spark
def test_the_engines_agree(
    duckdb_engine: Any, spark_engine: Any, load: Callable[..., Any], assert_same_rows: Callable[..., None]
) -> None:
    log = small_log(2)
    tables = {
        "query_requests": log.requests,
        "query_events": log.events,
        "query_catalog": log.catalog,
        "query_stamps": STAMPS,
    }

    def on(engine: Any) -> pa.Table:
        loaded = [load(engine, *named) for named in tables.items()]
        return engine.to_pyarrow(query_features(*loaded, CHOSEN)).cast(QUERY_FEATURES)

    assert_same_rows(on(duckdb_engine), on(spark_engine))
