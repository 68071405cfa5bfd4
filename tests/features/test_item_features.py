from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.item_features import item_features
from infra.contract.tables import ITEM_FEATURES, TIME
from infra.settings import FeatureSettings
from tests.features.small_log import START, Log, midnight, small_log

CHOSEN = FeatureSettings(rate_prior=5.0)
DAYS_SEEN = (1, 3, 9, 33, 38)


def stamps_at(*hours: int) -> pa.Table:
    return pa.table({"event_timestamp": pa.array([midnight(START) + timedelta(hours=h) for h in hours], TIME)})


DAILY = stamps_at(*(24 * day for day in DAYS_SEEN))


def run(log: Log, stamps: pa.Table = DAILY, *, hourly: bool = False) -> pa.Table:
    tables = [ibis.memtable(table) for table in (log.impressions, log.events, log.catalog, stamps)]
    rows = item_features(*tables, CHOSEN, hourly=hourly)
    return rows.order_by("event_timestamp", "item_id").to_pyarrow().cast(ITEM_FEATURES)


def window_counts(log: Log, stamp: datetime, days: int) -> dict[str, dict[str, int]]:
    """Impressions, and distinct (request, item) by depth, per item."""
    since = stamp - timedelta(days=days)
    impressions = [row for row in log.impressions.to_pylist() if since <= row["known_at"] < stamp]
    events = [row for row in log.events.to_pylist() if since <= row["known_at"] < stamp]
    counts: dict[str, dict[str, int]] = {}
    for row in impressions + events:
        counts[row["item_id"]] = dict.fromkeys(("impressions", "clicks", "carts", "orders"), 0)
    for row in impressions:
        counts[row["item_id"]]["impressions"] += 1
    for name, actions in (("clicks", ("click", "cart", "order")), ("carts", ("cart",)), ("orders", ("order",))):
        found = {(r["query_id"] or r["event_id"], r["item_id"]) for r in events if r["action"] in actions}
        for _, item in found:
            counts[item][name] += 1
    return counts


def oracle(log: Log, stamps: pa.Table) -> list[dict[str, Any]]:
    rows = []
    for stamp in stamps["event_timestamp"].to_pylist():
        long, short = (window_counts(log, stamp, days) for days in (30, 7))
        shown = sum(count["impressions"] for count in long.values())
        for item in sorted(log.catalog.to_pylist(), key=lambda row: str(row["item_id"])):
            key, since = item["item_id"], item["available_from"]
            if key not in long and not stamp - timedelta(days=1) <= since < stamp:
                continue
            nothing = dict.fromkeys(("impressions", "clicks", "carts", "orders"), 0)
            counts = {
                f"{what}_{n}d": of.get(key, nothing)[what] for n, of in ((7, short), (30, long)) for what in nothing
            }
            rates = {}
            for name, hits in (("click_rate", "clicks"), ("order_rate", "orders")):
                everywhere = min(sum(c[hits] for c in long.values()) / shown, 1.0) if shown else 0.0
                smoothed = (counts[f"{hits}_30d"] + 5.0 * everywhere) / (counts["impressions_30d"] + 5.0)
                rates[name] = pytest.approx(min(smoothed, 1.0))
            age = (
                (stamp - since).total_seconds() / 86_400 if datetime(1971, 1, 1, tzinfo=UTC) < since <= stamp else None
            )
            rows.append(
                {"item_id": key, "event_timestamp": stamp, "created": stamp}
                | counts
                | rates
                | {"price": item["price"], "rating": item["rating"], "age_days": age}
            )
    return rows


def test_daily_snapshots_equal_a_slow_oracle() -> None:
    log = small_log(1, days=36, requests_per_day=5)
    assert run(log).to_pylist() == oracle(log, DAILY)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), hours=st.sets(st.integers(1, 60), min_size=1, max_size=4))
def test_hourly_snapshots_equal_a_slow_oracle(seed: int, hours: set[int]) -> None:
    log, stamps = small_log(seed, days=2, requests_per_day=12, items=8), stamps_at(*sorted(hours))
    assert run(log, stamps, hourly=True).to_pylist() == oracle(log, stamps)


def test_a_snapshot_knows_nothing_of_later() -> None:
    log = small_log(4)
    stamp = midnight(START) + timedelta(days=3)
    whole = [row for row in run(log).to_pylist() if row["event_timestamp"] <= stamp]
    assert whole and run(log.until(stamp), DAILY).to_pylist()[: len(whole)] == whole


def test_what_is_known_at_the_stamp_itself_is_not_in_it() -> None:
    log = small_log(4, days=2)
    known = log.impressions["known_at"].to_pylist()
    at = sorted(moment for moment in known if moment.hour)[0].replace(minute=0, second=0)
    moved = log.impressions.set_column(5, "known_at", pa.array([at] * len(known), TIME))
    alone = Log(log.catalog, log.requests, moved, log.events.slice(0, 0))
    before, after = (pa.table({"event_timestamp": pa.array([at + timedelta(hours=h)], TIME)}) for h in (0, 1))
    assert sum(run(alone, before, hourly=True)["impressions_30d"].to_pylist()) == 0
    assert sum(run(alone, after, hourly=True)["impressions_30d"].to_pylist()) > 0


def test_orders_and_carts_are_within_clicks_and_rates_are_shares() -> None:
    rows = run(small_log(5, days=12)).to_pylist()
    for row in rows:
        assert max(row["carts_30d"], row["orders_30d"]) <= row["clicks_30d"]
        assert 0 <= row["order_rate"] <= row["click_rate"] <= 1


def test_an_empty_log_has_no_rates_but_no_error() -> None:
    log = small_log(days=2, requests_per_day=0)
    rows = run(log).to_pylist()
    assert rows and all(row["click_rate"] == 0.0 for row in rows)


@pytest.mark.spark
@pytest.mark.parametrize("hourly", [False, True])
def test_the_engines_agree(
    duckdb_engine: Any, spark_engine: Any, load: Callable[..., Any], assert_same_rows: Callable[..., None], hourly: bool
) -> None:
    log = small_log(2)
    stamps = stamps_at(5, 30, 31) if hourly else DAILY
    tables = {
        "item_impressions": log.impressions,
        "item_events": log.events,
        "item_catalog": log.catalog,
        "item_stamps": stamps,
    }

    def on(engine: Any) -> pa.Table:
        loaded = [load(engine, *named) for named in tables.items()]
        return engine.to_pyarrow(item_features(*loaded, CHOSEN, hourly=hourly)).cast(ITEM_FEATURES)

    assert_same_rows(on(duckdb_engine), on(spark_engine))
