"""Tables of UBI rows by the day folder that each row goes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import duckdb

from features.adapters.base import count

MAX_TOLD = 5
"""Days that a sentence lists."""


@dataclass(frozen=True)
class DayTable:
    """A table whose rows go to day folders."""

    rows: str
    """The rows as a subquery in SQL, their day in a column ``dt``."""
    days: Mapping[date, int]
    """Day -> its rows, of the days to write."""

    @property
    def total(self) -> int:
        """Rows of all days to write."""
        return sum(self.days.values())

    def only(self, wanted: Callable[[date], bool]) -> DayTable:
        """The table with fewer days to write."""
        return replace(self, days={day: rows for day, rows in self.days.items() if wanted(day)})


def columns_of(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Names of a table's columns."""
    return [name for name, *_ in connection.execute(f"DESCRIBE {table}").fetchall()]


def day_table(connection: duckdb.DuckDBPyConnection, table: str) -> DayTable:
    """A table of ``Loaded`` by day: by its column ``dt``, else by the UTC day of its timestamps.

    Raises:
        RuntimeError: a row has no day.
    """
    has_day = "dt" in columns_of(connection, table)
    rows = table if has_day else f"(SELECT *, (timestamp AT TIME ZONE 'UTC')::DATE AS dt FROM {table})"
    return DayTable(rows, _count_days(connection, rows))


def _count_days(connection: duckdb.DuckDBPyConnection, rows: str) -> dict[date, int]:
    days = connection.execute(f"SELECT dt, count(*) FROM {rows} GROUP BY dt ORDER BY dt NULLS FIRST").fetchall()
    if days and days[0][0] is None:
        raise RuntimeError(f"{days[0][1]:,} rows of {rows} have no day: an adapter has to leave them out by name")
    return dict(days)


def join_strays(
    connection: duckdb.DuckDBPyConnection, tables: Mapping[str, DayTable], ahead: timedelta
) -> tuple[Mapping[str, DayTable], list[str]]:
    """Put what is of a last day without a request - a click a few seconds after midnight - into the day before.

    Args:
        connection: DuckDB.
        tables: ``queries``, ``events`` and ``catalog`` by day, of those there are.
        ahead: ``raw.ahead_window``: how far beyond its folder's day the readers take a row.

    Returns:
        The tables, and notes on this and on other days without a request, whose folders a run leaves out.
    """
    asked = {**(tables["queries"].days if "queries" in tables else {}), **_texts_told(connection, tables)}
    events = tables["events"].days if "events" in tables else {}
    lone = sorted({day for table in tables.values() for day in table.days} - set(asked))
    notes = []
    if lone and asked and lone[-1] - max(asked) == timedelta(days=1):
        last, before = lone[-1], max(asked)
        if last not in events or _latest(connection, tables["events"], last) < _end_of(before) + ahead:
            lone.pop()
            tables = {name: _moved(connection, name, table, last, before) for name, table in tables.items()}
            if last in events:
                notes.append(f"{last} has no request: its {events[last]:,} events are in the folder of {before}.")
    if lone:
        told = ", ".join(map(str, lone[:MAX_TOLD])) + (f" and {len(lone) - MAX_TOLD} more" if lone[MAX_TOLD:] else "")
        notes.append(
            f"{told}: no request is of these days, so that a run leaves their folders out, with"
            f" {sum(events.get(day, 0) for day in lone):,} events."
        )
    return tables, notes


def _texts_told(connection: duckdb.DuckDBPyConnection, tables: Mapping[str, DayTable]) -> dict[date, int]:
    """Day -> events that carry the text of their search, of which a run makes requests."""
    if "events" not in tables or "user_query" not in columns_of(connection, f"FROM {tables['events'].rows}"):
        return {}
    rows = f"SELECT dt, count(*) FROM {tables['events'].rows} WHERE user_query IS NOT NULL GROUP BY dt"
    return {day: n for day, n in connection.execute(rows).fetchall() if day in tables["events"].days}


def _moved(connection: duckdb.DuckDBPyConnection, name: str, table: DayTable, day: date, to: date) -> DayTable:
    """The table with the rows of a day in another one, where an item is described once."""
    if day not in table.days:
        return table
    described = f"item_id IN (SELECT item_id FROM {table.rows} WHERE dt = DATE '{to}')"
    kept = f"WHERE dt <> DATE '{day}' OR NOT {described}" if name == "catalog" else ""
    moved = f"CASE WHEN dt = DATE '{day}' THEN DATE '{to}' ELSE dt END"
    rows = f"(SELECT * REPLACE ({moved} AS dt) FROM {table.rows} {kept})"
    return DayTable(rows, {d: n for d, n in _count_days(connection, rows).items() if d in table.days or d == to})


def _latest(connection: duckdb.DuckDBPyConnection, table: DayTable, day: date) -> datetime:
    latest = count(connection, f"SELECT epoch_us(max(timestamp)) FROM {table.rows} WHERE dt = DATE '{day}'")
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=latest)


def _end_of(day: date) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(days=1)
