"""Where requests come from, from the raw log to the training set, and what becomes of days built without it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from features import build_sessions as building
from features import day_report, freshness
from features.build_sessions import build_sessions, read_report
from features.catalog import build_catalog
from features.day_report import settings_hash
from features.engine import open_engine, read_days
from features.snapshots import build_item_features, build_query_features, build_user_features, days_to_build
from features.training_set import build_training_set
from infra.contract.partitions import partition_file, write_partition, written_days
from infra.contract.tables import LOCATION_NAMES, REQUESTS, TRAINING_REQUESTS
from infra.settings import Settings
from tests.features.raw_log import DAY, event, files_of, land, ndjson, query, shop, stored

DAYS = [DAY + timedelta(days=n) for n in range(3)]
BERLIN = {"country": "DE", "language": "de-DE", "zip": "10115", "latitude": 52.5, "longitude": 13.4}
NOWHERE = dict.fromkeys(LOCATION_NAMES)


def land_days(settings: Settings) -> None:
    """Three days, of each user a request with a place, one with a bad place and one without."""
    for day in DAYS:
        said: list[dict[str, Any]] = [
            {"query_attributes": BERLIN},
            {"query_attributes": {"latitude": 200, "longitude": "east", "zip": []}},
            {},
        ]
        rows = [query(f"{day}-{n}", user=f"u{n}", day=day, **place) for n, place in enumerate(said)]
        clicks = [event("click", "a", user=f"u{n}", day=day, query_id=f"{day}-{n}") for n in range(3)]
        land(settings, rows, clicks, day=day)
    items = [{"item_id": i, "title": i} for i in "abcdefgh"]
    Path(str(settings.landing), "catalog.ndjson").write_text(ndjson(items))


def build_features(settings: Settings) -> None:
    build_catalog(settings)
    for build in (build_user_features, build_item_features, build_query_features):
        build(settings, DAYS)


@pytest.mark.slow
def test_a_place_goes_from_the_log_to_the_training_set(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_days(settings)
    build_sessions(settings, DAYS)
    build_features(settings)
    build_training_set(settings)
    found = {}
    for day in written_days(settings.paths.training_set / "requests"):
        table = pq.ParquetFile(partition_file(settings.paths.training_set / "requests", day)).read()
        assert table.schema == TRAINING_REQUESTS
        found |= {row["query_id"]: {name: row[name] for name in LOCATION_NAMES} for row in table.to_pylist()}
    assert found == {f"{day}-{n}": NOWHERE if n else BERLIN for day in DAYS for n in range(3)}


@pytest.mark.slow
def test_days_of_before_the_columns_are_read_as_null(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_days(settings)
    build_sessions(settings, DAYS)
    table = settings.paths.sessions / "requests"
    for day in DAYS[:2]:
        rows = pq.ParquetFile(partition_file(table, day)).read().drop_columns(list(LOCATION_NAMES))
        write_partition(table, day, rows, rows.schema)
    with open_engine(settings) as engine:
        for days in (DAYS, DAYS[:2]):
            found = engine.to_pyarrow(read_days(engine, table, days, REQUESTS))
            assert found.schema.names == [*REQUESTS.names, "landed"]
            assert found.select(REQUESTS.names).cast(REQUESTS).num_rows == 3 * len(days)
            with_place = {row["landed"] for row in found.to_pylist() if row["zip"]}
            assert with_place == set(days) - set(DAYS[:2])
    build_features(settings)
    build_training_set(settings)


@pytest.mark.slow
def test_other_columns_make_days_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = shop(tmp_path)
    land_days(settings)
    for module in (building, day_report, freshness):
        monkeypatch.setattr(module, "columns_of", lambda schema: schema.names[:3])
    before = build_sessions(settings, DAYS)
    build_features(settings)
    assert before[0].settings == settings_hash(settings)
    monkeypatch.undo()
    assert before[0].settings != settings_hash(settings)
    assert {view: days_to_build(settings, view) for view in ("user", "item", "query")} == dict.fromkeys(
        ("user", "item", "query"), DAYS
    )
    files = files_of(settings)
    build_sessions(settings, DAYS)
    assert read_report(settings, DAY) != before[0]
    assert files_of(settings) == files
    build_features(settings)
    assert [days_to_build(settings, view) for view in ("user", "item", "query")] == [[], [], []]
    assert stored(settings, "requests")[0]["zip"] == "10115"
