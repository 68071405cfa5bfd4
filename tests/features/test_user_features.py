from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.compiled import engine_table, make_table
from features.user_features import user_features
from infra.contract.names import OVERFETCH
from infra.contract.tables import EVENTS, REQUESTS, USER_FEATURES
from infra.settings import FeatureSettings
from tests.features.small_log import START, Log, midnight, small_log

SMALL = FeatureSettings(history_days=2, recent_queries=2, recent_items=3, recent_orders=2, order_history=4)
SHORTER_AND_LONGER = (1, 4, 9)
"""Lengths of ``order_history`` on both sides of the orders that the other lists look at."""


def run(log: Log, chosen: FeatureSettings = SMALL) -> pa.Table:
    engine = ibis.duckdb.connect()
    engine.raw_sql("SET TimeZone = 'UTC'")
    tables = {"requests": log.requests, "events": log.events, "catalog": log.catalog}
    for name, table in tables.items():
        engine.con.register(name, table)
    make_table(engine, "made", user_features, *(engine_table(engine, name) for name in tables), chosen)
    found = engine.con.sql("FROM made ORDER BY user_id, event_timestamp").to_arrow_table().cast(USER_FEATURES)
    engine.disconnect()
    return found


def known_rows(rows: list[dict[str, Any]], user: str, moment: datetime, tie: str) -> list[dict[str, Any]]:
    """A user's rows known at a moment, newest first."""
    found = [row for row in rows if row["user_id"] == user and row["known_at"] <= moment]
    return sorted(found, key=lambda row: (row["known_at"], row["time"], row[tie]), reverse=True)


def once(values: list[Any], keep: int) -> list[Any]:
    return [value for value in dict.fromkeys(values) if value is not None][:keep]


def oracle(log: Log, chosen: FeatureSettings) -> list[dict[str, Any]]:
    """The features by looking through the whole log for each row."""
    requests, events = log.requests.to_pylist(), log.events.to_pylist()
    items = {row["item_id"]: row for row in log.catalog.to_pylist()}
    moments = {(row["user_id"], row["known_at"]) for row in requests + events}
    result = []
    for user, moment in sorted(moments):
        asked = known_rows(requests, user, moment, "query_id")
        acted = known_rows(events, user, moment, "event_id")
        orders = [row for row in acted if row["action"] == "order"]
        since = moment - timedelta(days=chosen.history_days)

        def last(rows: list[dict[str, Any]], keep: int, since: datetime = since) -> list[dict[str, Any]]:
            return [row for row in rows[: OVERFETCH * keep] if row["known_at"] >= since]

        def within(rows: list[dict[str, Any]], days: int, moment: datetime = moment) -> int:
            return sum(row["known_at"] >= moment - timedelta(days=days) for row in rows)

        texts = last([row for row in asked if row["query"]], chosen.recent_queries)
        touched = [row["item_id"] for row in last(acted, chosen.recent_items)]
        bought = once([row["item_id"] for row in last(orders, chosen.recent_orders)], chosen.recent_orders)
        stamp = moment + timedelta(microseconds=1)
        result.append(
            {
                "user_id": user,
                "event_timestamp": stamp,
                "created": stamp,
                "recent_queries": once([row["query"] for row in texts], chosen.recent_queries),
                "recent_items": once(touched, chosen.recent_items),
                "recent_brands": once([items.get(i, {}).get("brand") for i in touched], chosen.recent_items),
                "recent_orders": bought,
                "order_history": [row["item_id"] for row in orders[: chosen.order_history] if row["known_at"] >= since],
                "ordered_tags": sorted({tag for i in bought for tag in items.get(i, {}).get("tags") or []}),
                "requests_7d": within(asked, 7),
                "clicks_7d": within([row for row in acted if row["action"] == "click"], 7),
                "orders_30d": within(orders, 30),
            }
        )
    return result


@pytest.mark.many(3)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("length", SHORTER_AND_LONGER)
def test_equals_a_slow_oracle(seed: int, length: int) -> None:
    log = small_log(seed, days=10)
    chosen = SMALL.model_copy(update={"order_history": length})
    rows = run(log, chosen).to_pylist()
    assert rows == oracle(log, chosen)
    assert max(len(row["order_history"]) for row in rows) >= min(length, 5)


def test_an_item_is_in_the_history_as_often_as_it_was_ordered() -> None:
    """Only orders count, in the order in which they became known; the lists beside it do not change with its length."""
    log = small_log(days=1, requests_per_day=0)
    done = [("order", "i02"), ("order", "i03"), ("cart", "i03"), ("order", "i02"), ("click", "i04"), ("order", "i02")]
    times = [midnight(START) + timedelta(hours=n) for n in range(len(done))]
    rows = [
        {"event_id": f"e{n}", "user_id": "u", "action": action, "item_id": item, "time": time, "known_at": time}
        for n, ((action, item), time) in enumerate(zip(done, times, strict=True))
    ]
    events = pa.Table.from_pylist(rows, EVENTS)

    def last(length: int) -> dict[str, Any]:
        chosen = SMALL.model_copy(update={"order_history": length})
        row: dict[str, Any] = run(Log(log.catalog, log.requests, log.impressions, events), chosen).to_pylist()[-1]
        return row

    assert last(50)["order_history"] == ["i02", "i02", "i03", "i02"]
    assert last(50)["recent_orders"] == ["i02", "i03"]
    for length in SHORTER_AND_LONGER:
        assert last(length) == last(50) | {"order_history": ["i02", "i02", "i03", "i02"][:length]}


@st.composite
def tiny_logs(draw: st.DrawFn) -> Log:
    """Few users, items and minutes, so that everything ties."""
    base = small_log(days=1, requests_per_day=0)
    when = st.integers(0, 4).map(lambda n: midnight(START) + timedelta(days=n * 4))
    rows = st.lists(st.tuples(st.sampled_from("ab"), when, st.integers(0, 6), st.sampled_from(["", "x", "y"])))
    landed: dict[str, Any] = {"landed": START}
    requests = [
        {"query_id": f"q{n}", "user_id": user, "query": text, "time": time, "known_at": time + timedelta(days=late)}
        | landed
        for n, (user, time, late, text) in enumerate(draw(rows))
    ]
    action = st.sampled_from(["click", "cart", "order"])
    happened = st.lists(st.tuples(st.sampled_from("ab"), when, st.integers(0, 6), st.sampled_from("023"), action))
    events = [
        {"event_id": f"e{n}", "user_id": user, "item_id": f"i0{item}", "action": what, "time": time}
        | {"known_at": time + timedelta(days=late)}
        | landed
        for n, (user, time, late, item, what) in enumerate(draw(happened))
    ]
    day = pa.field("landed", pa.date32())
    return Log(
        base.catalog,
        pa.Table.from_pylist(requests, REQUESTS.append(day)),
        base.impressions,
        pa.Table.from_pylist(events, EVENTS.append(day)),
    )


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(tiny_logs(), st.sampled_from(SHORTER_AND_LONGER))
def test_equals_the_oracle_on_ties_and_late_rows(log: Log, length: int) -> None:
    chosen = SMALL.model_copy(update={"history_days": 8, "order_history": length})
    assert run(log, chosen).to_pylist() == oracle(log, chosen)


def test_a_row_knows_nothing_of_later() -> None:
    log = small_log(3)
    moment = midnight(START) + timedelta(days=2, hours=11)
    whole = [row for row in run(log).to_pylist() if row["event_timestamp"] <= moment]
    assert whole and run(log.until(moment)).to_pylist() == whole


def test_lists_are_never_null_and_the_schema_holds() -> None:
    table = run(small_log(1))
    assert table.schema == USER_FEATURES
    assert all(not table[name].null_count for name in table.column_names)


@pytest.mark.slow
@pytest.mark.parametrize("action", ["click", "order"])
def test_a_user_of_fifty_thousand_events_is_no_trouble(action: str) -> None:
    count = 50_000
    times = pa.array([midnight(START) + timedelta(seconds=n) for n in range(count)], REQUESTS.field("time").type)
    items = [f"i{n % 9:02}" for n in range(count)]
    given_columns = {"user_id": ["u"] * count, "time": times, "known_at": times}
    events = pa.table(
        given_columns | {"event_id": [f"e{n:06}" for n in range(count)], "item_id": items, "action": [action] * count}
    )
    for name in ("query_id", "position", "attribution"):
        events = events.append_column(name, pa.nulls(count, EVENTS.field(name).type))
    log = small_log(days=1, requests_per_day=0)
    rows = run(Log(log.catalog, log.requests, log.impressions, events), FeatureSettings())
    assert rows.num_rows == count
    counted, history = (
        ("clicks_7d", []) if action == "click" else ("orders_30d", items[::-1][: FeatureSettings().order_history])
    )
    assert rows[counted][-1].as_py() == count
    assert rows["recent_items"][-1].as_py() == list(dict.fromkeys(reversed(items)))
    assert rows["order_history"][-1].as_py() == history


@pytest.mark.spark
def test_the_engines_agree(
    duckdb_engine: Any, spark_engine: Any, load: Callable[..., Any], assert_same_rows: Callable[..., None]
) -> None:
    log = small_log(2)
    tables = {"user_requests": log.requests, "user_events": log.events, "user_catalog": log.catalog}

    def on(engine: Any) -> pa.Table:
        return engine.to_pyarrow(user_features(*(load(engine, *named) for named in tables.items()), SMALL)).cast(
            USER_FEATURES
        )

    assert_same_rows(on(duckdb_engine), on(spark_engine))
