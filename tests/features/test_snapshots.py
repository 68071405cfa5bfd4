from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from features.snapshots import build_item_features, build_query_features, build_user_features, days_to_build
from infra.contract.partitions import drop_partition, partition_file, written_days
from infra.contract.tables import ITEM_FEATURES, QUERY_FEATURES, USER_FEATURES
from infra.settings import FeatureSettings, Settings
from tests.features.small_log import START, Log, small_log

BUILDERS = {"user": build_user_features, "item": build_item_features, "query": build_query_features}
SCHEMAS = {"user": USER_FEATURES, "item": ITEM_FEATURES, "query": QUERY_FEATURES}
DAYS = [START + timedelta(days=n) for n in range(5)]


def shop(home: Path, **features: int) -> Settings:
    return Settings(home=home, shop="toy", features=FeatureSettings(**features))


def build(settings: Settings, days: Iterable[date]) -> None:
    for builder in BUILDERS.values():
        builder(settings, days)


def content(settings: Settings) -> dict[tuple[str, date], pa.Table]:
    return {
        (view, day): pq.read_table(partition_file(settings.paths.features / view, day))
        for view in BUILDERS
        for day in written_days(settings.paths.features / view)
    }


def build_stale(settings: Settings) -> None:
    for view, builder in BUILDERS.items():
        builder(settings, days_to_build(settings, view))


def built(home: Path, log: Log, **features: int) -> dict[tuple[str, date], pa.Table]:
    """The features of all days, built together."""
    settings = shop(home, **features)
    log.write(settings)
    build(settings, DAYS)
    return content(settings)


def test_each_day_holds_what_it_says(tmp_path: Path) -> None:
    tables = built(tmp_path, small_log())
    assert set(tables) == {(view, day) for view in BUILDERS for day in DAYS}
    for (view, day), table in tables.items():
        start = datetime.combine(day, time(), UTC)
        stamps = table["event_timestamp"].to_pylist()
        assert table.schema == SCHEMAS[view]
        assert table.num_rows
        assert all(start < stamp <= start + timedelta(days=1) for stamp in stamps)
        keys = list(zip(table.column(0).to_pylist(), stamps, strict=True))
        assert keys == sorted(set(keys))


@pytest.mark.slow
@pytest.mark.parametrize("days_at_once", [1, 2])
def test_a_day_is_the_same_however_many_are_built_with_it(tmp_path: Path, days_at_once: int) -> None:
    log = small_log(1)
    chunked = built(tmp_path / "chunked", log, history_days=2, build_days=days_at_once)
    assert chunked == built(tmp_path / "whole", log, history_days=2)


@pytest.mark.slow
def test_days_that_come_one_by_one_end_as_if_they_came_together(tmp_path: Path) -> None:
    log = small_log(2)
    settings = shop(tmp_path / "daily")
    for n in range(len(DAYS)):
        log.write(settings, DAYS[: n + 1])
        build_stale(settings)
    assert content(settings) == built(tmp_path / "together", log)


@pytest.mark.slow
@pytest.mark.parametrize("held", [0, 2, 4])
def test_a_day_that_comes_late_leaves_the_same_as_in_order(tmp_path: Path, held: int) -> None:
    log = small_log(3)
    settings = shop(tmp_path / "late")
    log.write(settings, [day for day in DAYS if day != DAYS[held]])
    build(settings, DAYS)
    broken = content(settings)
    log.write(settings)
    build_stale(settings)
    assert content(settings) == built(tmp_path / "in order", log)
    assert content(settings) != broken


def test_only_days_that_read_what_changed_are_built_again(tmp_path: Path) -> None:
    settings = shop(tmp_path, history_days=30)
    log = small_log(days=5)
    log.write(settings)
    assert all(days_to_build(settings, view) == DAYS for view in BUILDERS)
    build_stale(settings)
    assert all(days_to_build(settings, view) == [] for view in BUILDERS)
    log.write(settings, [DAYS[2]])
    assert all(days_to_build(settings, view) == [] for view in BUILDERS), "the same rows again"
    mended = replace(log, impressions=log.impressions.filter(pc.not_equal(log.impressions["position"], 1)))
    mended.write(settings, [DAYS[2]])
    assert all(days_to_build(settings, view) == DAYS[2:] for view in BUILDERS)


def test_a_new_catalogue_or_other_settings_make_every_day_stale(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    log = small_log(days=5)
    log.write(settings)
    build_stale(settings)
    other = settings.model_copy(update={"features": settings.features.model_copy(update={"recent_items": 3})})
    assert days_to_build(other, "user") == DAYS
    machine = settings.features.model_copy(update={"build_memory": "1GB", "build_days": 2})
    assert days_to_build(settings.model_copy(update={"features": machine}), "user") == []
    catalog = pq.read_table(settings.paths.catalog)
    pq.write_table(catalog.slice(1), settings.paths.catalog)
    assert days_to_build(settings, "user") == DAYS
    assert days_to_build(settings, "item") == DAYS
    assert days_to_build(settings, "query") == [], "query features do not read the catalogue"


@pytest.mark.slow
def test_a_build_cut_off_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    settings = shop(tmp_path / "cut")
    log = small_log(5)
    log.write(settings)
    build_user_features(settings, DAYS[3:])
    assert days_to_build(settings, "user") == DAYS[:3]
    build_stale(settings)
    assert content(settings) == built(tmp_path / "whole", log)


def test_a_day_without_sessions_still_has_its_snapshots(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    small_log(4).write(settings)
    for name in ("requests", "impressions", "events"):
        drop_partition(settings.paths.sessions / name, DAYS[4])
    build(settings, DAYS)
    tables = content(settings)
    assert tables["item", DAYS[4]].num_rows and tables["query", DAYS[4]].num_rows
    counts = tables["item", DAYS[4]]["impressions_30d"].to_pylist()
    assert counts == tables["item", DAYS[3]]["impressions_30d"].to_pylist()


@pytest.mark.parametrize(
    ("hours", "days", "per_day"), [(None, 1, 24), (None, 2, 24), (None, 3, 1), (6, 3, 4), (24, 1, 1)]
)
def test_short_logs_are_stamped_hourly(tmp_path: Path, hours: int | None, days: int, per_day: int) -> None:
    settings = Settings(home=tmp_path, shop="toy", features=FeatureSettings(snapshot_hours=hours))
    small_log(days=days, requests_per_day=200).write(settings)
    build_item_features(settings, DAYS[:days])
    stamps = pq.read_table(partition_file(settings.paths.features / "item", START))["event_timestamp"].unique()
    assert len(stamps) == per_day
    assert max(stamps.to_pylist()) == datetime.combine(DAYS[1], time(), UTC)


def test_nothing_of_a_day_depends_on_later_landings(tmp_path: Path) -> None:
    log = small_log(5)
    whole = built(tmp_path / "whole", log)
    settings = shop(tmp_path / "cut")
    log.write(settings, DAYS[:3])
    build(settings, DAYS[:3])
    assert content(settings) == {key: table for key, table in whole.items() if key[1] in DAYS[:3]}


def test_progress_and_counts(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    small_log().write(settings)
    said: list[float] = []
    counts = build_user_features(settings, DAYS, lambda _, share: said.append(share))
    assert [count.day for count in counts] == DAYS
    assert math.isclose(said[-1], 1.0)
    assert sum(count.rows for count in counts) == sum(
        table.num_rows for (view, _), table in content(settings).items() if view == "user"
    )


def test_without_a_catalogue_the_error_says_what_to_do(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    small_log(days=1).write(settings)
    settings.paths.catalog.unlink()
    with pytest.raises(FileNotFoundError, match="build the catalogue first"):
        build_user_features(settings, DAYS[:1])
