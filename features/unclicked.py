"""How many of a day's requests led to nothing: no click, cart or order."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from pathlib import Path

from features.day_report import read_report
from features.engine import open_engine, view_days
from infra.contract.partitions import write_json
from infra.contract.tables import EVENTS, REQUESTS
from infra.settings import Settings

logger = logging.getLogger("shelfwise.figures")

_COUNTS = """
SELECT landed, count(*), count(*) FILTER (query_id NOT IN (SELECT query_id FROM events WHERE query_id IS NOT NULL))
FROM requests GROUP BY landed
"""


@dataclass(frozen=True)
class DayClicks:
    """The accepted requests of a day."""

    requests: int
    unclicked: int
    """Of these, the ones to which no event is attributed that landed on the day or on the next: a session goes on past
    midnight."""
    key: tuple[str, str]
    """Hashes of the tables of the two days."""


def unclicked_requests(settings: Settings, days: Sequence[date]) -> dict[date, DayClicks]:
    """Count the days, in order; a day whose tables, and the next one's, are those of the last count is read off it."""
    known, keys = _known(settings), {day: _key(settings, day) for day in sorted(days)}
    counted = {day: known[day] for day, key in keys.items() if day in known and known[day].key == key}
    if new := [day for day in keys if day not in counted]:
        counted |= _count(settings, new, keys)
        write_json(_file(settings), {str(day): asdict(counted[day]) for day in sorted(counted)})
    return {day: counted[day] for day in keys}


def _count(settings: Settings, days: Sequence[date], keys: dict[date, tuple[str, str]]) -> dict[date, DayClicks]:
    with open_engine(settings) as engine:
        view_days(engine, "requests", settings.paths.sessions / "requests", days, REQUESTS)
        beside = {day + timedelta(days=after) for day in days for after in (0, 1)}
        view_days(engine, "events", settings.paths.sessions / "events", beside, EVENTS)
        found = {landed: (all_, unclicked) for landed, all_, unclicked in engine.con.execute(_COUNTS).fetchall()}
    counts = {day: found.get(day, (0, 0)) for day in days}
    return {day: DayClicks(all_, unclicked, keys[day]) for day, (all_, unclicked) in counts.items()}


def _key(settings: Settings, day: date) -> tuple[str, str]:
    reports = (read_report(settings, of) for of in (day, day + timedelta(days=1)))
    first, second = ((report and report.output) or "" for report in reports)
    return first, second


def _known(settings: Settings) -> dict[date, DayClicks]:
    try:
        stored = json.loads(_file(settings).read_text(encoding="utf-8"))
        return {
            date.fromisoformat(day): DayClicks(**(counts | {"key": tuple(counts["key"])}))
            for day, counts in stored.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, LookupError) as error:
        logger.warning("requests without a click are counted anew: %s", error)
        return {}


def _file(settings: Settings) -> Path:
    return settings.paths.reports / "unclicked.json"
