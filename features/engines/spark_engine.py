"""Tables by Spark: read, computed and written by its executors, in parts; no table passes through this process.

A worker that is lost has its tasks done again by the others, and what is written lies aside until all of it is there.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from features.engines.errors import SparkUnavailable
from features.engines.port import Told
from infra.contract.partitions import day_folder, partition_rows, replace_partition, write_partition
from infra.contract.tables import EVENT_TIME
from infra.settings import Settings, TableSettings

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

OPTIONS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "64",
}
"""What ``tables.spark_options`` may set otherwise. Partitions of a shuffle that come out small are joined by Spark."""
ON_THIS_MACHINE = {"spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
"""Local mode asks for nobody else's connections."""
REQUIRED = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
}
"""What the tables' times rest on."""


@contextmanager
def open_spark(settings: Settings) -> Iterator[SparkTables]:
    """Spark at ``tables.spark_url``: the session that this process has, else one that ends with the step, so that a
    cluster's cores are free for others.

    Raises:
        SparkUnavailable: PySpark or Java is absent, or nobody answers at the URL.
    """
    try:
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise SparkUnavailable(
            "tables.engine=spark needs PySpark: pip install -c constraints.txt -e '.[spark]'; or set it to duckdb"
        ) from error
    running = SparkSession.getActiveSession()
    session = running or _started(settings.tables)
    try:
        yield SparkTables(session)
    finally:
        if running is None:
            session.stop()


def _started(tables: TableSettings) -> SparkSession:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.sql import SparkSession

    local = ON_THIS_MACHINE if tables.spark_url.startswith("local") else {}
    builder = SparkSession.builder.master(tables.spark_url).appName("shelfwise")
    for name, value in (OPTIONS | local | tables.spark_options).items():
        builder = builder.config(name, value)
    try:
        session = builder.getOrCreate()
    except PySparkException as error:
        raise SparkUnavailable(
            f"Spark does not start ({error}): it needs Java 17 or later, by JAVA_HOME or on the PATH; or set"
            " tables.engine=duckdb"
        ) from error
    except Py4JError as error:  # what Java raises, with its own traceback; why it did stands in Spark's log above it
        raise SparkUnavailable(
            f"Spark at {tables.spark_url} does not answer or refuses tables.spark_options: see that its master runs and"
            " that this machine and its workers reach one another, or set tables.engine=duckdb"
        ) from error
    session.sparkContext.setLogLevel("ERROR")
    return session


class SparkTables:
    """See ``TableEngine``."""

    def __init__(self, session: SparkSession) -> None:
        import ibis

        self._session, self._ibis = session, ibis.pyspark.connect(session, **REQUIRED)

    def read_days(self, table: Path, days: Iterable[date], schema: pa.Schema) -> Any:
        folders = [str(folder) for day in sorted(days) if (folder := day_folder(table, day)).exists()]
        none = self._session.createDataFrame(schema.append(pa.field("dt", pa.date32())).empty_table())
        if not folders:
            return self._named(none.withColumnRenamed("dt", "landed"))
        rows = self._session.read.schema(none.schema).option("basePath", str(table)).parquet(*folders)
        return self._named(rows.withColumnRenamed("dt", "landed"))

    def read_file(self, file: Path) -> Any:
        return self._named(self._session.read.parquet(str(file)))

    def from_arrow(self, rows: pa.Table) -> Any:
        return self._named(self._session.createDataFrame(rows))

    def chunks_of_users(self, requests: Any, events: Any) -> list[tuple[Any, Any]]:
        return [(requests, events)]

    def write_days(
        self, table: Path, days: Sequence[date], rows: Sequence[Any], schema: pa.Schema, told: Told
    ) -> dict[date, int]:
        written = table.with_name(f".{table.name}.written")
        shutil.rmtree(written, ignore_errors=True)
        # Rebalanced, a large day comes in several parts of about a size and a small one in one.
        content = self._in_schema(reduce(lambda a, b: a.union(b), rows), schema).hint("rebalance", "dt")
        in_order = content.sortWithinPartitions("dt", schema.names[0], EVENT_TIME)
        in_order.write.partitionBy("dt").parquet(str(written))
        for day in days:
            if (folder := day_folder(written, day)).exists():
                _number_parts(folder)
                replace_partition(table, day, folder)
            else:
                write_partition(table, day, schema.empty_table(), schema)
        shutil.rmtree(written)
        counts = {day: partition_rows(table, day) for day in days}
        told(sum(counts.values()), 1.0)
        return counts

    def _named(self, rows: DataFrame) -> Any:
        name = f"rows_{uuid.uuid4().hex}"
        rows.createOrReplaceTempView(name)
        return self._ibis.table(name)

    def _in_schema(self, rows: Any, schema: pa.Schema) -> DataFrame:
        """An expression in the types of ``schema`` as Spark has them, and ``dt``."""
        found = self._session.sql(self._ibis.compile(rows))
        kinds = self._session.createDataFrame(schema.empty_table()).schema
        columns = [found[field.name].cast(field.dataType).alias(field.name) for field in kinds]
        return found.select(*columns, found["day"].alias("dt"))


def _number_parts(folder: Path) -> None:
    """Leave in the folder of a day the parts alone, their names by their order: Spark's hold the id of a run."""
    parts = sorted(folder.glob("part-*.parquet"))
    for other in set(folder.iterdir()) - set(parts):
        other.unlink()
    for number, part in enumerate(parts):
        part.rename(folder / f"part-{number:05}.parquet")
