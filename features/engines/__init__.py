"""Engines of tables: DuckDB in this process, or Spark, by one setting (``tables.engine``)."""

from __future__ import annotations

from contextlib import AbstractContextManager

from features.engines.duckdb_engine import open_duckdb
from features.engines.port import TableEngine
from infra.settings import Settings

__all__ = ["TableEngine", "open_tables"]


def open_tables(settings: Settings) -> AbstractContextManager[TableEngine]:
    """The engine that ``tables.engine`` names.

    Raises:
        SparkUnavailable: on entering, where Spark cannot be used; the message says what to do.
    """
    if settings.tables.engine == "duckdb":
        return open_duckdb(settings)
    from features.engines.spark_engine import open_spark  # without the extra there is no PySpark

    return open_spark(settings)
