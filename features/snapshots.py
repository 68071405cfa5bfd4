"""User, item and query features on disk, a partition per day of what they hold.

A row belongs to the day ``d`` whose last moment it may know: user rows of moments in ``[d, d + 1)``, snapshots taken
in ``(d, d + 1]``. Every day that is asked for gets a partition. A day whose sessions are held or missing brings no
user rows of its own, but its item and query snapshots are taken all the same, over the days that there are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import ibis
import pyarrow as pa

from features.engine import built_catalog
from features.engines import TableEngine, open_tables
from features.engines.port import Told
from features.freshness import record_built, stale_days
from features.item_features import item_features
from features.query_features import query_features
from features.user_features import user_features
from infra.contract.names import LONG
from infra.contract.partitions import written_days
from infra.contract.tables import EVENTS, IMPRESSIONS, ITEM_FEATURES, QUERY_FEATURES, REQUESTS, TIME, USER_FEATURES
from infra.progress import Progress
from infra.settings import FeatureSettings, RawSettings, Settings

DAY = timedelta(days=1)
SHORT_LOG = 3
"""A log of fewer days gets hourly snapshots, or its rows would have no item and query features at all."""


@dataclass(frozen=True)
class DayCount:
    """How many rows a day's partition got."""

    day: date
    rows: int


@dataclass(frozen=True)
class _Range:
    """Days that one query builds, the landing days that it reads, and its snapshots."""

    days: list[date]
    read: list[date]
    stamps: list[datetime]
    hourly: bool


@dataclass(frozen=True)
class _View:
    """A feature table: its folder, its schema, and how far back its rows look."""

    name: str
    schema: pa.Schema
    history: timedelta


def build_user_features(settings: Settings, days: Iterable[date], progress: Progress | None = None) -> list[DayCount]:
    """Replace ``features/user`` of ``days``; see ``user_features``.

    Raises:
        FileNotFoundError: the catalogue was not built yet.
    """

    def expressions(engine: TableEngine, part: _Range) -> list[Any]:
        catalog = engine.read_file(built_catalog(settings))
        chunks = engine.chunks_of_users(*_sessions(engine, settings, part, ("requests", "events")))
        return [user_features(requests, events, catalog, settings.features) for requests, events in chunks]

    return _build(settings, days, _View("user", USER_FEATURES, _user_history(settings.features)), expressions, progress)


def build_item_features(settings: Settings, days: Iterable[date], progress: Progress | None = None) -> list[DayCount]:
    """Replace ``features/item`` of ``days``; see ``item_features``.

    Raises:
        FileNotFoundError: the catalogue was not built yet.
    """

    def expressions(engine: TableEngine, part: _Range) -> list[Any]:
        impressions, events = _sessions(engine, settings, part, ("impressions", "events"))
        catalog = engine.read_file(built_catalog(settings))
        stamps = _stamps(engine, part)
        return [item_features(impressions, events, catalog, stamps, settings.features, hourly=part.hourly)]

    return _build(settings, days, _View("item", ITEM_FEATURES, LONG), expressions, progress)


def build_query_features(settings: Settings, days: Iterable[date], progress: Progress | None = None) -> list[DayCount]:
    """Replace ``features/query`` of ``days``; see ``query_features``."""

    def expressions(engine: TableEngine, part: _Range) -> list[Any]:
        requests, events = _sessions(engine, settings, part, ("requests", "events"))
        return [query_features(requests, events, _stamps(engine, part))]

    return _build(settings, days, _View("query", QUERY_FEATURES, LONG), expressions, progress)


def days_to_build(settings: Settings, view: str) -> list[date]:
    """The accepted days whose ``view`` (user, item or query) has to be built, or built again, in order.

    With these built, days that landed late, were run again or were cut off by a kill leave the features as if all days
    had come in order. A run that does not build them trains on holes.

    Raises:
        FileNotFoundError: the catalogue was not built yet.
    """
    return stale_days(settings, view, _reach(settings, view), _step_hours(settings))


def _reach(settings: Settings, view: str) -> timedelta:
    """How far before a day lie the landing days that a view of that day reads."""
    return (_user_history(settings.features) if view == "user" else LONG) + _ahead(settings.raw)


def _user_history(features: FeatureSettings) -> timedelta:
    return max(timedelta(days=features.history_days), LONG)


def _ahead(raw: RawSettings) -> timedelta:
    """Days by which a row may be known after the day it landed in has begun."""
    return DAY * (1 + math.ceil(raw.ahead_window / DAY))


def _step_hours(settings: Settings) -> int:
    if settings.features.snapshot_hours is not None:
        return settings.features.snapshot_hours
    return 1 if len(written_days(settings.paths.sessions / "requests")) < SHORT_LOG else 24


def _ranges(settings: Settings, days: Iterable[date], history: timedelta) -> Iterator[_Range]:
    """Cut ``days`` into ranges of at most ``build_days``, each with what it reads and when it is stamped."""
    accepted = written_days(settings.paths.sessions / "requests")
    step, left = _step_hours(settings), sorted(set(days))
    while left:
        taken = [day for day in left if day < left[0] + DAY * settings.features.build_days]
        left = left[len(taken) :]
        first = taken[0] - history - _ahead(settings.raw)
        stamps = [
            datetime.combine(day, time(), UTC) + timedelta(hours=hours)
            for day in taken
            for hours in (*range(step, 24, step), 24)
        ]
        yield _Range(taken, [day for day in accepted if first <= day <= taken[-1]], stamps, hourly=step < 24)


def _stamps(engine: TableEngine, part: _Range) -> Any:
    return engine.from_arrow(pa.table({"event_timestamp": pa.array(part.stamps, TIME)}))


def _sessions(engine: TableEngine, settings: Settings, part: _Range, names: Sequence[str]) -> list[Any]:
    schemas = {"requests": REQUESTS, "impressions": IMPRESSIONS, "events": EVENTS}
    return [engine.read_days(settings.paths.sessions / name, part.read, schemas[name]) for name in names]


def _build(
    settings: Settings,
    days: Iterable[date],
    view: _View,
    expressions: Callable[[TableEngine, _Range], list[Any]],
    progress: Progress | None,
) -> list[DayCount]:
    """Build ``days`` by range from the tables that ``expressions`` makes of it, whose rows follow each other by key."""
    asked = sorted(set(days))
    counts: list[DayCount] = []
    table = settings.paths.features / view.name
    if asked:
        with open_tables(settings) as engine:
            for part in _ranges(settings, asked, view.history):
                rows = [_on_days(content, part.days) for content in expressions(engine, part)]
                told = _told(view, part, len(counts), len(asked), progress)
                written = engine.write_days(table, part.days, rows, view.schema, told)
                counts += [DayCount(day, written[day]) for day in part.days]
    record_built(settings, view.name, asked, _reach(settings, view.name), _step_hours(settings))
    return counts


def _on_days(rows: Any, days: list[date]) -> Any:
    """Those rows that belong to ``days``, with their ``day``."""
    rows = rows.mutate(day=(rows.event_timestamp - ibis.interval(microseconds=1)).date())
    return rows.filter(rows.day.isin(days))


def _told(view: _View, part: _Range, done: int, asked: int, progress: Progress | None) -> Told:
    """``progress`` of a range; ``done`` of ``asked`` days were built before it."""

    def told(rows: int, share: float) -> None:
        if progress:
            text = f"{view.name} features of {part.days[0]} to {part.days[-1]}: {rows:,} rows"
            progress(text, (done + len(part.days) * share) / asked)

    return told
