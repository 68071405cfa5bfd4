"""Settings of the engine that computes tables."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, field_validator

from infra.settings.base import Group

SPARK_URL = re.compile(r"local(\[[\d*]+(,\d+)?\])?|spark://[^\s/:]+:\d+(,[^\s/:]+:\d+)*")
"""``local``, ``local[4]``, ``local[*]``, or a standalone cluster's masters."""


class TableSettings(Group):
    """Where the feature tables are computed."""

    engine: Literal["duckdb", "spark"] = "duckdb"
    """What computes user, item and query features: DuckDB in the step's own process, or Spark (the extra ``spark``, and
    Java 17 or later). The rows are the same. Sessions, the training set and checks are DuckDB's with either, and read
    what Spark wrote."""
    spark_url: str = "local[*]"
    """Of Spark: ``local[*]`` (on this machine, by all its cores), or ``spark://HOST:7077``, a standalone cluster's
    master, whose workers see the shop's folder under the same path."""
    spark_options: dict[str, str] = Field(default_factory=dict)
    """Options of Spark by their names there: ``{"spark.executor.memory": "8g", "spark.driver.memory": "2g"}``."""

    @field_validator("spark_url")
    @classmethod
    def _is_of_a_known_form(cls, value: str) -> str:
        if not SPARK_URL.fullmatch(value):
            raise ValueError("it is neither local, local[N], local[*] nor spark://HOST:PORT")
        return value

    @field_validator("spark_options")
    @classmethod
    def _are_options_of_spark(cls, value: dict[str, str]) -> dict[str, str]:
        if others := [name for name in value if not name.startswith("spark.")]:
            raise ValueError(f"no option of Spark is called {', '.join(others)}: their names begin with spark.")
        return value
