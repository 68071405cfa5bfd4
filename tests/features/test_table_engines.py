"""The demo shop's feature tables by either engine: the same rows, and the same of all that reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from demoshop.landing import make_landing
from features.active_users import active_users
from features.build_sessions import build_sessions
from features.catalog import build_catalog
from features.engines import open_tables
from features.engines.errors import SparkUnavailable
from features.landing import landing_days
from features.quality import check_features
from features.snapshots import build_item_features, build_query_features, build_user_features, days_to_build
from features.store.definitions import views
from features.store.progress import read_files
from features.training_set import build_training_set
from infra.contract.partitions import part_files, partition_file, table_files, written_days
from infra.contract.tables import EVENT_TIME, FEATURE_TABLES, TIME
from infra.settings import DemoSettings, Settings, TableSettings

BUILDERS = {"user": build_user_features, "item": build_item_features, "query": build_query_features}
DEMO = DemoSettings(days=4, users=100, items=150, new_items_per_day=4)
SMALL_PARTS = {
    "spark.sql.adaptive.advisoryPartitionSizeInBytes": "4kB",
    "spark.sql.adaptive.coalescePartitions.enabled": "false",
}


def shop(home: Path, engine: str = "duckdb") -> Settings:
    return Settings(home=home, demo=DEMO, tables=TableSettings(engine=engine))  # type: ignore[arg-type]


def build(settings: Settings) -> None:
    for view, builder in BUILDERS.items():
        builder(settings, days_to_build(settings, view))


def rows_of(settings: Settings, view: str, day: date) -> pa.Table:
    """A day's rows in order of their key, from however many parts."""
    schema = FEATURE_TABLES[view]  # type: ignore[index]
    files = [str(file) for file in part_files(settings.paths.features / view, day)]
    keys = [(schema.names[0], "ascending"), (EVENT_TIME, "ascending")]
    return ds.dataset(files, schema=schema).to_table().sort_by(keys)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo shop whose sessions are built."""
    settings = shop(tmp_path_factory.mktemp("sessions"))
    make_landing(settings)
    build_catalog(settings)
    build_sessions(settings, landing_days(settings))
    return settings.home


@pytest.fixture(scope="module")
def by_duckdb(sessions: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    settings = shop(tmp_path_factory.mktemp("duckdb") / "home")
    shutil.copytree(sessions, settings.home)
    build(settings)
    return settings


@pytest.fixture(scope="module")
def by_spark(spark_engine: Any, sessions: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Built in parts of a few kilobytes, as a large shop has them of megabytes."""
    settings = shop(tmp_path_factory.mktemp("spark") / "home", "spark")
    shutil.copytree(sessions, settings.home)
    options = spark_engine._session.conf
    for name, value in SMALL_PARTS.items():
        options.set(name, value)
    build(settings)
    for name in SMALL_PARTS:
        options.unset(name)
    return settings


@pytest.mark.spark
@pytest.mark.parametrize("view", list(BUILDERS))
def test_spark_writes_the_rows_that_duckdb_writes(by_duckdb: Settings, by_spark: Settings, view: str) -> None:
    days = written_days(by_duckdb.paths.features / view)
    assert written_days(by_spark.paths.features / view) == days and len(days) == DEMO.days
    assert days_to_build(by_spark, view) == []
    for day in days:
        rows = rows_of(by_duckdb, view, day)
        assert rows.num_rows > 50, f"{view} of {day} is too small to tell"
        assert rows_of(by_spark, view, day).equals(rows)
    files = table_files(by_spark.paths.features / view)
    # a part is what one task or several made: so few items are one task's
    assert len(files) > len(days) or view == "item", "no day came in parts"
    for file in files:
        table = pq.read_table(file, partitioning=None)
        assert table.schema.field(EVENT_TIME).type == TIME
        keys = list(zip(table.column(0).to_pylist(), table[EVENT_TIME].to_pylist(), strict=True))
        assert keys == sorted(keys)
    assert [path.name for path in by_spark.paths.features.iterdir() if path.name.startswith(".")] == []


@pytest.mark.spark
def test_readers_take_the_parts_of_a_day_together(by_duckdb: Settings, by_spark: Settings) -> None:
    assert active_users(by_spark, 5) == active_users(by_duckdb, 5)
    days = written_days(by_spark.paths.features / "user")
    assert check_features(by_spark, days).success
    users = views(by_spark)["user"]
    assert len(read_files(users, None)) == len(users.files()) > len(days), "the online store would miss a part"
    build_training_set(by_duckdb)
    build_training_set(by_spark)
    for name in ("requests", "rows"):
        pairs = zip(*(table_files(s.paths.training_set / name) for s in (by_duckdb, by_spark)), strict=True)
        for left, right in pairs:
            assert pq.read_table(left, partitioning=None).equals(pq.read_table(right, partitioning=None))


@pytest.mark.spark
def test_a_day_without_rows_gets_a_partition_without_any(spark_engine: Any, sessions: Path, tmp_path: Path) -> None:
    settings = shop(tmp_path / "home", "spark")
    shutil.copytree(sessions, settings.home)
    for name in ("requests", "impressions", "events"):
        shutil.rmtree(settings.paths.sessions / name)
    (count,) = build_query_features(settings, [DEMO.start])
    assert count.rows == 0
    assert pq.read_table(partition_file(settings.paths.features / "query", DEMO.start), partitioning=None).num_rows == 0


@pytest.mark.spark
def test_duckdb_after_spark_leaves_what_duckdb_alone_would(
    by_duckdb: Settings, by_spark: Settings, tmp_path: Path
) -> None:
    settings = shop(tmp_path / "home")
    shutil.copytree(by_spark.home, settings.home)
    days = written_days(settings.paths.features / "query")
    build_query_features(settings, days)
    table, alone = settings.paths.features / "query", by_duckdb.paths.features / "query"
    assert table_files(table) == [partition_file(table, day) for day in days]
    assert all(partition_file(table, d).read_bytes() == partition_file(alone, d).read_bytes() for d in days)


def test_without_pyspark_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark.sql", None)
    with pytest.raises(SparkUnavailable, match=r"pip install .*spark"), open_tables(shop(tmp_path, "spark")):
        pass


def test_without_java_the_error_says_what_is_needed(tmp_path: Path) -> None:
    pytest.importorskip("pyspark")
    program = f"""
from pathlib import Path
from features.engines import open_tables
from infra.settings import Settings, TableSettings
with open_tables(Settings(home=Path({str(tmp_path)!r}), tables=TableSettings(engine="spark"))):
    pass
"""
    without = os.environ | {"JAVA_HOME": str(tmp_path)}
    said = subprocess.run([sys.executable, "-c", program], env=without, capture_output=True, text=True, check=False)
    assert said.returncode == 1
    assert "SparkUnavailable: Spark does not start" in said.stderr and "Java 17" in said.stderr
