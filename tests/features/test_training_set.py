from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features import request_chunks, training_rows, training_set
from features.snapshots import build_item_features, build_query_features, build_user_features
from features.training_set import TrainingSetReport, build_training_set
from infra.contract.errors import TrainingSetError
from infra.contract.partitions import partition_file, table_files, write_partition, written_days
from infra.contract.tables import (
    ITEM_FEATURES,
    TRAINING_ITEM_FEATURES,
    TRAINING_ITEMS,
    TRAINING_REQUESTS,
    TRAINING_ROWS,
)
from infra.settings import FeatureSettings, Settings, TrainingSettings
from tests.features.small_log import START, UNKNOWN_ITEM, Log, midnight, small_log

Rows = list[dict[str, Any]]
DAYS = [START + timedelta(days=n) for n in range(5)]
LISTS = ("recent_queries", "recent_items", "recent_brands", "recent_orders", "order_history", "ordered_tags")


def prepared(home: Path, log: Log, days: list[date] | None = None, **training: Any) -> Settings:
    """A shop with sessions and features on disk."""
    settings = Settings(home=home, shop="toy", training=TrainingSettings(**training))
    log.write(settings, days)
    present = written_days(settings.paths.sessions / "requests")
    for builder in (build_user_features, build_item_features, build_query_features):
        builder(settings, present)
    return settings


def read(settings: Settings) -> tuple[Rows, Rows]:
    """Requests and rows in the order in which they lie."""

    def table(name: str) -> Rows:
        folder = settings.paths.training_set / name
        files = [folder / f"dt={day}" / "part.parquet" for day in written_days(folder)]
        return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]

    return table("requests"), table("rows")


@pytest.fixture(scope="module")
def log() -> Log:
    return small_log(11, days=5, requests_per_day=30, items=40)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, log: Log) -> Settings:
    return prepared(tmp_path_factory.mktemp("shop"), log)


@pytest.fixture(scope="module")
def report(settings: Settings) -> TrainingSetReport:
    return build_training_set(settings)


@pytest.fixture(scope="module")
def made(settings: Settings, report: TrainingSetReport) -> tuple[Rows, Rows]:
    return read(settings)


def latest(features: Rows, key: str, value: str, moment: datetime) -> dict[str, Any] | None:
    """The newest feature row of a key at or before a moment: what a point-in-time join gives."""
    found = [row for row in features if row[key] == value and row["event_timestamp"] <= moment]
    return max(found, key=lambda row: row["event_timestamp"], default=None)


def features_of(settings: Settings, view: str) -> Rows:
    files = sorted((settings.paths.features / view).glob("dt=*/part.parquet"))
    return [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]


def test_features_are_as_of_the_request(settings: Settings, made: tuple[Rows, Rows]) -> None:
    users, queries, items = (features_of(settings, view) for view in ("user", "query", "item"))
    cold = 0
    for request in made[0]:
        user = latest(users, "user_id", request["user_id"], request["time"])
        query = latest(queries, "query", request["query"], request["time"])
        cold += user is None
        for name in (*LISTS, "requests_7d", "clicks_7d", "orders_30d"):
            assert request[name] == (user[name] if user else [] if name in LISTS else None)
        for name in ("query_requests_30d", "query_clicks_30d", "query_orders_30d"):
            assert request[name] == (query[name] if query else None)
    assert cold
    for row in made[1]:
        item = latest(items, "item_id", row["item_id"], row["time"])
        for name in ("impressions_30d", "click_rate", "price", "age_days"):
            assert row[name] == (item[name] if item else None)


def test_what_the_catalogue_says_of_a_quiet_item_stays_known(tmp_path: Path, log: Log) -> None:
    """Counts become unknown by the TTL; price and rating are the last known, and never a later one."""
    hour = timedelta(hours=1)
    settings = prepared(tmp_path, log).model_copy(update={"features": FeatureSettings(item_ttl=6 * hour)})
    written = write_prices_by_day(settings)
    split = build_training_set(settings).split
    file = settings.paths.training_set / "item_features.parquet"
    snapshots = pq.read_table(file)
    assert snapshots.schema == TRAINING_ITEM_FEATURES
    asked = [(row, row["time"]) for row in read(settings)[1]]
    asked += [(row, row["event_timestamp"]) for row in snapshots.to_pylist()]
    seen: Counter[str] = Counter()
    for row, time in asked:
        last = latest(written, "item_id", row["item_id"], time)
        fresh = last is not None and last["event_timestamp"] >= time - 6 * hour
        for name in ("price", "rating"):
            assert row[name] == (last[name] if last else None)
        for name in ("impressions_30d", "click_rate", "age_days"):
            assert row[name] == (last[name] if last and fresh else None)
        seen["new" if last is None else "fresh" if fresh else "quiet"] += 1
    assert all(seen[kind] for kind in ("new", "fresh", "quiet"))
    items = pq.read_table(settings.paths.training_set / "items.parquet")["item_id"].to_pylist()
    moments = [(row["item_id"], row["event_timestamp"]) for row in snapshots.to_pylist()]
    assert moments == [(item, moment) for moment in (split.cut, split.end) for item in items]


def write_prices_by_day(settings: Settings) -> Rows:
    """Item features whose price and rating change every day, and that only every third item has on all days."""
    written: Rows = []
    for number, day in enumerate(DAYS):
        path = partition_file(settings.paths.features / "item", day)
        rows = pq.read_table(path, partitioning=None).to_pylist()
        kept = [row for row in rows if int(row["item_id"][1:]) % 3 in (0, min(number, 2))]
        kept = [row | {"price": row["price"] + number / 10, "rating": number / 5} for row in kept]
        write_partition(settings.paths.features / "item", day, pa.Table.from_pylist(kept, ITEM_FEATURES), ITEM_FEATURES)
        written += kept
    return written


def test_the_schemas_and_the_order_hold(settings: Settings, made: tuple[Rows, Rows]) -> None:
    for name, schema in (("requests", TRAINING_REQUESTS), ("rows", TRAINING_ROWS)):
        for file in (settings.paths.training_set / name).glob("dt=*/part.parquet"):
            table = pq.read_table(file, partitioning=None)
            assert table.schema == schema
            keys = ["time", "query_id"] + (["item_id"] if name == "rows" else [])
            assert table.equals(table.sort_by([(key, "ascending") for key in keys]))
    assert all(request[name] is not None for request in made[0] for name in LISTS)
    pairs = [(row["query_id"], row["item_id"]) for row in made[1]]
    assert len(pairs) == len(set(pairs))


def test_the_split_is_in_time_and_labels_end_with_their_window(
    log: Log, report: TrainingSetReport, made: tuple[Rows, Rows]
) -> None:
    split = report.split
    ends = {"train": split.cut, "validation": split.end}
    starts = {"train": split.train_start, "validation": split.cut}
    events = log.events.to_pylist()
    for row in made[1]:
        assert starts[row["split"]] <= row["time"] < ends[row["split"]]
        known = {
            event["action"]
            for event in events
            if (event["query_id"], event["item_id"]) == (row["query_id"], row["item_id"])
            and event["known_at"] < ends[row["split"]]
        }
        assert row["clicked"] == bool(known)
        assert (row["carted"], row["ordered"]) == ("cart" in known, "order" in known)
        assert row["clicked"] or not (row["ordered"] or row["carted"])


def test_random_items_are_no_positives_and_were_there(settings: Settings, log: Log, made: tuple[Rows, Rows]) -> None:
    shown_or_clicked = {
        (row["query_id"], row["item_id"]) for row in log.impressions.to_pylist() + log.events.to_pylist()
    }
    since = {row["item_id"]: row["available_from"] for row in log.catalog.to_pylist()}
    for row in log.impressions.to_pylist():
        if row["item_id"] in since:
            since[row["item_id"]] = min(since[row["item_id"]], row["time"])
    drawn = [row for row in made[1] if row["stage"] == "random"]
    assert len(drawn) == settings.training.random_per_request * len(made[0])
    for row in drawn:
        assert (row["query_id"], row["item_id"]) not in shown_or_clicked
        assert since[row["item_id"]] <= row["time"]


def test_the_set_says_from_when_on_each_item_could_be_found(
    settings: Settings, log: Log, report: TrainingSetReport
) -> None:
    since = {row["item_id"]: row["available_from"] for row in log.catalog.to_pylist()}
    catalogued = dict(since)
    for row in log.impressions.to_pylist():
        if row["item_id"] in since:
            since[row["item_id"]] = min(since[row["item_id"]], row["time"])
    table = pq.read_table(settings.paths.training_set / "items.parquet")
    assert table.schema == TRAINING_ITEMS
    assert since != catalogued
    assert dict(zip(*(column.to_pylist() for column in table.columns), strict=True)) == since


def test_the_report_counts_what_is_there(
    settings: Settings, log: Log, report: TrainingSetReport, made: tuple[Rows, Rows]
) -> None:
    requests, rows = made
    for split in ("train", "validation"):
        assert report.requests[split] == sum(request["split"] == split for request in requests)
        assert report.cold_start[split] == sum(r["split"] == split and r["requests_7d"] is None for r in requests)
        for stage, count in report.rows[split].items():
            assert count == sum((row["split"], row["stage"]) == (split, stage) for row in rows)
    assert report.first_request == min(request["time"] for request in requests)
    inside = [r for r in log.requests.to_pylist() if report.split.train_start <= r["time"] < report.split.end]
    assert report.dropped["empty_query"] == sum(not row["query"] for row in inside) > 0
    kept_out = sum(report.dropped[why] for why in ("empty_query", "late_requests", "repeated_ids", "without_items"))
    assert len(inside) == len(requests) + kept_out
    assert report.dropped["unknown_item_rows"] > 0
    assert all(row["item_id"] != UNKNOWN_ITEM for row in rows)
    logged = [row for row in rows if row["stage"] != "random"]
    assert report.share_unclicked == sum(row["stage"] == "unclicked" for row in logged) / len(logged)
    written = json.loads((settings.paths.training_set / "split.json").read_text())
    assert written["cut"].startswith(str(report.split.cut)) and written["rows"] == report.rows


@pytest.mark.slow
def test_nothing_from_after_a_moment_changes_the_rows_before_it(tmp_path: Path, log: Log) -> None:
    """What is known of a request, labels apart, is the same whether or not the log goes on."""
    moment = midnight(DAYS[3])
    whole, cut = prepared(tmp_path / "whole", log), prepared(tmp_path / "cut", log.until(moment), DAYS[:3])
    for settings in (whole, cut):
        build_training_set(settings)

    labels = ("split", "stage", "clicked", "carted", "ordered")

    in_time = {row["query_id"] for row in log.requests.to_pylist() if row["known_at"] < midnight(DAYS[2])}

    def as_known(rows: Rows) -> Rows:
        early = [row for row in rows if row["query_id"] in in_time and row.get("position", 0) is not None]
        return [{name: value for name, value in row.items() if name not in labels} for row in early]

    for known, all_of_it in zip(read(cut), read(whole), strict=True):
        assert as_known(known) == as_known(all_of_it) != []


def forget(settings: Settings) -> None:
    """Let the next call build the set again."""
    (settings.paths.training_set / training_set.REPORT).unlink()


def test_a_rebuild_gives_the_same_files(settings: Settings, report: TrainingSetReport, made: tuple[Rows, Rows]) -> None:
    forget(settings)
    again = build_training_set(settings)
    assert again == report and not again.reused
    assert read(settings) == made


def test_what_is_current_is_not_built_again(settings: Settings, report: TrainingSetReport) -> None:
    for file in settings.paths.root.rglob("*.parquet"):
        os.utime(file, (1e9, 1e9))
    again = build_training_set(settings)
    assert again == report and again.reused
    machine = settings.features.model_copy(update={"build_memory": "1GB"})
    assert build_training_set(settings.model_copy(update={"features": machine})).reused


@pytest.mark.slow
def test_another_version_setting_or_file_makes_it_stale(
    settings: Settings, report: TrainingSetReport, made: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = settings.model_copy(update={"training": settings.training.model_copy(update={"seed": 8})})
    drawn = build_training_set(other)
    assert not drawn.reused and drawn.content != report.content
    assert not build_training_set(settings).reused
    with monkeypatch.context() as raised:
        raised.setattr(training_set, "VERSION", training_set.VERSION + 1)
        assert not build_training_set(settings).reused
    assert not build_training_set(settings).reused
    for file in (
        table_files(settings.paths.training_set / "rows")[0],
        settings.paths.training_set / training_set.REPORT,
    ):
        file.write_bytes(b"torn")
        again = build_training_set(settings)
        assert again == report and not again.reused
    assert read(settings) == made
    catalog = pq.read_table(settings.paths.catalog)
    try:
        pq.write_table(catalog.slice(1), settings.paths.catalog)
        assert not build_training_set(settings).reused
    finally:
        pq.write_table(catalog, settings.paths.catalog)
    build_training_set(settings)


def test_days_built_apart_equal_days_built_together(
    settings: Settings, report: TrainingSetReport, made: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_set, "IMPRESSIONS_PER_JOIN", 1)
    forget(settings)
    assert build_training_set(settings) == report
    assert read(settings) == made


def test_chunks_of_few_requests_give_the_same_rows(
    settings: Settings, report: TrainingSetReport, made: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is in memory at a time is of a chunk: no part is larger, however many rows there are."""
    sizes: dict[str, list[int]] = {"item": [], "user": []}
    join = training_rows.as_of_their_time

    def watched(*given: Any) -> Iterator[pa.Table]:
        for part in join(*given):
            sizes[given[2][0]].append(part.num_rows)
            yield part

    monkeypatch.setattr(training_rows, "as_of_their_time", watched)
    monkeypatch.setattr(request_chunks, "CHUNK_ROWS", 100)
    monkeypatch.setattr(training_rows, "REQUESTS_PER_JOIN", 13)
    forget(settings)
    assert replace(build_training_set(settings), content="") == replace(report, content="")
    assert read(settings) == made
    most = max(Counter(row["query_id"] for row in made[1]).values())
    assert sum(sizes["item"]) == len(made[1]) > 5 * max(sizes["item"]) and max(sizes["item"]) < 100 + 2 * most
    assert sum(sizes["user"]) == len(made[0]) > 5 * max(sizes["user"])


def test_chunks_of_requests_that_led_to_nothing_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = small_log(16, days=3, requests_per_day=5)
    named = log.requests.filter(pc.not_equal(log.requests["query"], "")).sort_by("time")
    idle = named["query_id"].slice(5, 2).combine_chunks()
    shown, acted = (
        table.filter(pc.invert(pc.is_in(table["query_id"], idle))) for table in (log.impressions, log.events)
    )
    settings = prepared(tmp_path, Log(log.catalog, log.requests, shown, acted))
    report = build_training_set(settings)
    together = read(settings)
    monkeypatch.setattr(request_chunks, "CHUNK_ROWS", 1)
    forget(settings)
    assert replace(build_training_set(settings), content="") == replace(report, content="")
    assert report.dropped["without_items"] >= 2 and read(settings) == together


def test_a_build_that_dies_leaves_the_old_set_whole(
    settings: Settings, report: TrainingSetReport, made: tuple[Rows, Rows], monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    forget(settings)
    monkeypatch.setattr(training_set, "write_json", die)
    with pytest.raises(KeyboardInterrupt):
        build_training_set(settings)
    assert read(settings) == made
    assert (settings.paths.training_set / "split.json").exists()
    monkeypatch.undo()
    assert build_training_set(settings) == report
    assert [p.name for p in settings.paths.root.iterdir() if "training_set" in p.name] == ["training_set"]


def test_a_join_that_loses_rows_is_an_error(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    join: Callable[..., Iterator[pa.Table]] = training_rows.as_of_their_time

    def lossy(of: str) -> Callable[..., Iterator[pa.Table]]:
        return lambda *given: (part.slice(of in given[2]) for part in join(*given))

    forget(settings)
    for of, named in (("item", "join of item features"), ("user", "join of user and query features")):
        monkeypatch.setattr(training_rows, "as_of_their_time", lossy(of))
        with pytest.raises(TrainingSetError, match=named):
            build_training_set(settings)
    monkeypatch.undo()
    build_training_set(settings)


@pytest.mark.slow
def test_a_log_of_one_day_is_cut_within_it(tmp_path: Path) -> None:
    settings = prepared(tmp_path, small_log(12, days=1, requests_per_day=60, items=30))
    report = build_training_set(settings)
    assert report.requests["train"] > report.requests["validation"] > 0
    assert any(row["click_rate"] is not None for row in read(settings)[1])


def test_a_small_catalogue_gives_fewer_random_items(tmp_path: Path) -> None:
    settings = prepared(tmp_path, small_log(13, items=9), random_per_request=8)
    report = build_training_set(settings)
    assert 0 < sum(report.rows[s]["random"] for s in report.rows) < 8 * sum(report.requests.values())


def test_ids_that_repeat_are_kept_out(tmp_path: Path) -> None:
    log = small_log(14)
    settings = prepared(tmp_path, log)
    before = build_training_set(settings)
    named = log.requests.filter(pc.not_equal(log.requests["query"], "")).sort_by("time")
    twice = Log(log.catalog, pa.concat_tables([log.requests, named.slice(0, 1)]), log.impressions, log.events)
    twice.write(settings)
    after = build_training_set(settings)
    assert after.dropped["repeated_ids"] == 2
    assert sum(after.requests.values()) == sum(before.requests.values()) - 1


def test_an_empty_shop_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TrainingSetError, match="build the sessions first"):
        build_training_set(Settings(home=tmp_path, shop="none"))
    settings = prepared(tmp_path, small_log(15, requests_per_day=1, items=1).until(midnight(DAYS[2])))
    with pytest.raises(TrainingSetError, match=r"too few requests [^{]*bring more days"):
        build_training_set(settings)
