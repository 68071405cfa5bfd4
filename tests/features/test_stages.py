from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pytest

from features.stages import available_items, stage_rows
from infra.contract.tables import TIME
from tests.features.small_log import START, Log, midnight, small_log

END = midnight(START) + timedelta(days=9)


def wanted(log: Log, until: datetime) -> pa.Table:
    ids = log.requests["query_id"]
    return pa.table({"query_id": ids, "labels_until": pa.array([until] * len(ids), TIME)})


def run(log: Log, until: datetime = END, keep: int = 3) -> list[dict[str, Any]]:
    tables = [ibis.memtable(table) for table in (wanted(log, until), log.impressions, log.events)]
    rows: list[dict[str, Any]] = stage_rows(*tables, keep).order_by("query_id", "item_id").to_pyarrow().to_pylist()
    return rows


def oracle(log: Log, until: datetime, keep: int) -> list[dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for row in log.impressions.to_pylist() + log.events.to_pylist():
        if row["query_id"] is None or row["known_at"] >= until:
            continue
        empty = {"clicked": False, "carted": False, "ordered": False, "position": None}
        pair = found.setdefault((row["query_id"], row["item_id"]), empty)
        if "action" in row:
            pair["clicked"] = True
            pair["carted"] |= row["action"] == "cart"
            pair["ordered"] |= row["action"] == "order"
        else:
            pair["position"] = row["position"]
    rows = []
    for (query, item), pair in sorted(found.items()):
        stage = next((s for s in ("ordered", "carted", "clicked") if pair[s]), "unclicked")
        before = [
            p["position"] for (q, _), p in found.items() if q == query and not p["clicked"] and not pair["clicked"]
        ]
        if pair["clicked"] or sorted(before).index(pair["position"]) < keep:
            rows.append({"query_id": query, "item_id": item} | pair | {"stage": stage})
    return rows


@pytest.mark.parametrize("until", [END, midnight(START) + timedelta(days=2, hours=13)])
def test_equals_a_slow_oracle(until: datetime) -> None:
    log = small_log(1)
    assert run(log, until) == oracle(log, until, 3)


def test_ordered_and_carted_are_within_clicked() -> None:
    rows = run(small_log(2))
    assert {row["stage"] for row in rows} == {"ordered", "carted", "clicked", "unclicked"}
    assert all(row["clicked"] for row in rows if row["ordered"] or row["carted"])


def test_an_item_clicked_without_being_shown_has_no_position() -> None:
    log = small_log(3)
    shown = set(zip(log.impressions["query_id"].to_pylist(), log.impressions["item_id"].to_pylist(), strict=True))
    unseen = [row for row in run(log) if (row["query_id"], row["item_id"]) not in shown]
    assert unseen and all(row["position"] is None and row["clicked"] for row in unseen)


def test_a_label_known_after_the_window_is_not_in_it() -> None:
    log = small_log(4)
    until = midnight(START) + timedelta(days=2)
    assert run(log, until) == run(log.until(until), until)
    assert run(log, until) != run(log)


def test_an_item_shown_before_its_date_was_available_from_then() -> None:
    log = small_log(5)
    items = available_items(ibis.memtable(log.catalog), ibis.memtable(log.impressions)).to_pyarrow()
    first: dict[str, datetime] = {}
    for row in log.impressions.to_pylist():
        first[row["item_id"]] = min(row["time"], first.get(row["item_id"], row["time"]))
    given = {row["item_id"]: row["available_from"] for row in log.catalog.to_pylist()}
    earlier = [item for item in given if first.get(item, given[item]) < given[item]]
    assert earlier
    assert {r["item_id"]: r["available_from"] for r in items.to_pylist()} == {
        item: min(since, first.get(item, since)) for item, since in given.items()
    }


def test_the_order_of_the_rows_does_not_matter() -> None:
    log = small_log(6)
    turned = Log(
        log.catalog, *(t.take(list(range(t.num_rows))[::-1]) for t in (log.requests, log.impressions, log.events))
    )
    assert run(log) == run(turned)


@pytest.mark.spark
def test_the_engines_agree(
    duckdb_engine: Any, spark_engine: Any, load: Callable[..., Any], assert_same_rows: Callable[..., None]
) -> None:
    log = small_log(2)
    tables = {
        "stage_requests": wanted(log, midnight(START) + timedelta(days=3)),
        "stage_impressions": log.impressions,
        "stage_events": log.events,
    }

    def rows(engine: Any) -> pa.Table:
        return engine.to_pyarrow(stage_rows(*(load(engine, *named) for named in tables.items()), 2))

    def items(engine: Any) -> pa.Table:
        loaded = [load(engine, "stage_catalog", log.catalog), load(engine, "stage_impressions", log.impressions)]
        found = engine.to_pyarrow(available_items(*loaded))
        return found.set_column(1, "available_from", found["available_from"].cast(TIME))

    assert_same_rows(rows(duckdb_engine), rows(spark_engine))
    assert_same_rows(items(duckdb_engine), items(spark_engine))
