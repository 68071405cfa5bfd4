"""Which days of a feature table do not follow, or no longer follow, from the sessions and the catalogue in place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from infra.contract.content import step_key
from infra.contract.partitions import part_files, write_json, written_days
from infra.contract.tables import FEATURE_TABLES, SESSION_TABLES, columns_of
from infra.settings import Settings

VERSION = 3
"""Raised when the features of the same sessions become other ones."""
OF_THE_CATALOG = ("user", "item")
"""Views that read the catalogue."""


def stale_days(settings: Settings, view: str, reach: timedelta, step_hours: int) -> list[date]:
    """The accepted days whose partition is missing or was built from something else, in order.

    A day that landed late or again, a run that died half way, a new catalogue (where the view reads it), changed
    settings and a table with other columns than before all show here.

    Args:
        view: ``user``, ``item`` or ``query``.
        reach: how far before a day lie the landing days that its features read.
        step_hours: time between snapshots.
    """
    recorded = _read(settings, view)["inputs"]
    current = _inputs(settings, view, reach, step_hours)
    table = settings.paths.features / view
    return [d for d, now in current.items() if recorded.get(str(d)) != now or not part_files(table, d)]


def record_built(settings: Settings, view: str, days: Iterable[date], reach: timedelta, step_hours: int) -> None:
    """Remember from what ``days`` were built, and that they were the last ones built."""
    built = sorted(set(days))
    current = _inputs(settings, view, reach, step_hours)
    inputs = _read(settings, view)["inputs"] | {str(d): current[d] for d in built if d in current}
    last = [str(d) for d in built] or _read(settings, view)["last_built"]
    write_json(_file(settings, view), {"inputs": inputs, "last_built": last})


def last_built(settings: Settings, view: str) -> list[date]:
    """The days that the last build of a view made, of those builds that had anything to do."""
    return [date.fromisoformat(day) for day in _read(settings, view)["last_built"]]


def _inputs(settings: Settings, view: str, reach: timedelta, step_hours: int) -> dict[date, str]:
    shape = [columns_of(FEATURE_TABLES[view]), settings.features.of_the_data(), step_hours]
    accepted = written_days(settings.paths.sessions / "requests")
    # Once per day: the windows of neighbouring days share most of their files.
    sessions = {str(day): _sessions_key(settings, day) for day in accepted}
    catalog = [settings.paths.catalog] if view in OF_THE_CATALOG else []
    return {
        day: step_key(
            VERSION,
            [*shape, {d: key for d, key in sessions.items() if str(day - reach) <= d <= str(day)}],
            catalog,
            settings.paths.root,
        )
        for day in accepted
    }


def _sessions_key(settings: Settings, day: date) -> str:
    files = [file for name in SESSION_TABLES for file in part_files(settings.paths.sessions / name, day)]
    return step_key(VERSION, [], files, settings.paths.root)


def _file(settings: Settings, view: str) -> Path:
    return settings.paths.reports / "features" / f"{view}.json"


def _read(settings: Settings, view: str) -> dict[str, Any]:
    file = _file(settings, view)
    if not file.exists():
        return {"inputs": {}, "last_built": []}
    content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return content
