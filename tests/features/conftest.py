"""Two engines for the transforms: DuckDB, and PySpark in local mode where Java 17 is found."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pytest

from infra.contract.tables import TIME

MIN_JAVA = 17


def _java_version(java: str) -> int:
    """Major version of a ``java`` program, 0 where it does not say."""
    text = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(found.group(1)) if found else 0


def _why_no_spark() -> str | None:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        return "pyspark is not installed: pip install -c constraints.txt -e '.[spark]'"
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None or shutil.which(java) is None:
        return f"no Java found: install Java {MIN_JAVA} or set JAVA_HOME"
    if (version := _java_version(java)) < MIN_JAVA:
        return f"Java {version} found, PySpark needs {MIN_JAVA} or later: set JAVA_HOME"
    return None


@pytest.fixture(scope="session")
def duckdb_engine() -> Iterator[Any]:
    """An in-memory DuckDB through Ibis, in UTC."""
    engine = ibis.duckdb.connect(threads=2)
    engine.raw_sql("SET TimeZone = 'UTC'")
    yield engine
    engine.disconnect()


@pytest.fixture(scope="session")
def spark_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """PySpark on two local threads through Ibis, in UTC; skips where it cannot run."""
    if why := _why_no_spark():
        pytest.skip(f"the Spark half of 'one definition, two engines' is not run: {why}")
    from pyspark.sql import SparkSession

    session = (
        SparkSession.builder.master("local[2]")
        .appName("shelfwise-tests")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.shuffle.partitions", "2")
        .config("spark.default.parallelism", "2")
        .config("spark.sql.session.timeZone", "UTC")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.memory", "1g")
        .config("spark.driver.extraJavaOptions", "-Duser.timezone=UTC")
        .config("spark.sql.warehouse.dir", str(tmp_path_factory.mktemp("spark")))
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    yield ibis.pyspark.connect(session)
    session.stop()


@pytest.fixture(scope="session")
def load() -> Callable[[Any, str, pa.Table], Any]:
    """``load(engine, name, table)``: an Arrow table as an Ibis table of the engine, replacing one of that name."""

    def load_table(engine: Any, name: str, table: pa.Table) -> Any:
        if engine.name == "pyspark":
            engine._session.createDataFrame(table).createOrReplaceTempView(name)
            return engine.table(name)
        engine.con.register(f"{name}_arrow", table)
        engine.raw_sql(f"CREATE OR REPLACE TEMP TABLE {name} AS FROM {name}_arrow")
        engine.con.unregister(f"{name}_arrow")
        return engine.table(name)

    return load_table


def _sorted_rows(table: pa.Table) -> list[tuple[Any, ...]]:
    return sorted((tuple(row.values()) for row in table.to_pylist()), key=repr)


@pytest.fixture(scope="session")
def assert_same_rows() -> Callable[..., None]:
    """``assert_same_rows(left, right, rel=1e-9)``: two results have equal columns and, in any order, equal rows.

    Takes Ibis expressions or Arrow tables. Floats may differ by ``rel``; everything else is compared exactly.
    """

    def arrow(value: Any) -> pa.Table:
        table = value if isinstance(value, pa.Table) else value.to_pyarrow()
        # Ibis on Spark hands back times without their zone, which is the session's: UTC.
        utc = [pa.field(f.name, TIME) if pa.types.is_timestamp(f.type) else f for f in table.schema]
        return table.cast(pa.schema(utc))

    def close(left: Any, right: Any, rel: float) -> bool:
        if isinstance(left, float) and isinstance(right, float):
            return left == pytest.approx(right, rel=rel, abs=1e-12, nan_ok=True)
        if isinstance(left, list | tuple) and isinstance(right, list | tuple):
            return len(left) == len(right) and all(close(a, b, rel) for a, b in zip(left, right, strict=True))
        return bool(left == right)

    def compare(left: Any, right: Any, rel: float = 1e-9) -> None:
        a, b = arrow(left), arrow(right)
        assert a.column_names == b.column_names
        rows_a, rows_b = _sorted_rows(a), _sorted_rows(b)
        assert len(rows_a) == len(rows_b)
        for row_a, row_b in zip(rows_a, rows_b, strict=True):
            assert close(row_a, row_b, rel), f"{row_a} != {row_b}"

    return compare
