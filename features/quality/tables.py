"""Parquet tables as Ibis expressions on DuckDB, and per-day counts of them as one frame."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow as pa

from features.engine import read_days

DAY = "day"


def read_with_day(backend: Any, table: Path, days: Sequence[date], schema: pa.Schema) -> Any:
    """The rows of those of ``days`` that ``table`` holds, with their partition's day as text in ``day``."""
    rows = read_days(backend, table, days, schema)
    return rows.mutate(**{DAY: rows.landed.cast("string")}).drop("landed")


def per_day(rows: Any, **measures: Any) -> pd.DataFrame:
    """Aggregates of ``rows`` by day, indexed by day."""
    frame: pd.DataFrame = rows.group_by(DAY).agg(**measures).to_pandas()
    return frame.set_index(DAY)


def count_per_day(rows: Any, name: str) -> pd.DataFrame:
    """How many ``rows`` a day has, indexed by day."""
    return per_day(rows, **{name: rows.count()})


def counts(rows: Any, **measures: Any) -> dict[str, Any]:
    """Aggregates over all ``rows``, as one mapping."""
    return dict(rows.agg(**measures).to_pandas().iloc[0])


def any_null(rows: Any, columns: Sequence[str]) -> Any:
    """Whether a row lacks one of ``columns``."""
    return ibis.or_(*(rows[column].isnull() for column in columns))


def repeats(rows: Any, key: Sequence[str], name: str) -> pd.DataFrame:
    """Rows too many for ``key`` to be unique, over all days together, by the latest day of each key."""
    groups = rows.group_by(list(key)).agg(n=rows.count(), latest=rows[DAY].max())
    groups = groups.filter(groups.n > 1)
    return per_day(groups.mutate(**{DAY: groups.latest}), **{name: (groups.n - 1).sum()})


def on_days(days: Sequence[date], frames: Sequence[pd.DataFrame], counted_on: Sequence[date]) -> pd.DataFrame:
    """One row per day with the measures of all frames side by side.

    Aggregates have no row for a day without rows, and "no such row" must not read as "not measured": on the days of
    ``counted_on`` an absent whole number is 0. A share of nothing stays unknown.
    """
    result = pd.DataFrame(index=pd.Index([day.isoformat() for day in days], name=DAY)).join(list(frames))
    keys = [day.isoformat() for day in counted_on]
    for frame in frames:
        for name in frame.select_dtypes("integer").columns:
            result.loc[keys, name] = result.loc[keys, name].fillna(0)
    return result.reset_index()


def start_of(day: Any) -> Any:
    """The first moment of a day given as text, in UTC."""
    return day.cast("date").cast("timestamp('UTC')")


def scope_of(days: Sequence[date]) -> str:
    """Days as a name that a file system takes."""
    if not days:
        raise ValueError("no days to check: give at least one landing day")
    first, last = min(days), max(days)
    return first.isoformat() if first == last else f"{first.isoformat()} to {last.isoformat()} ({len(set(days))} days)"
