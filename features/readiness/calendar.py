"""The days of a log as calendar weeks, and what a weekday usually brings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from features.readiness.report import DayLine

WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
READ = ("read", "held", "failed")


@dataclass(frozen=True)
class Cell:
    """A day of the calendar. ``line`` is None where nothing landed, ``inside`` False before the first and after the
    last day."""

    day: date
    line: DayLine | None
    inside: bool
    height: float
    """Requests as a share of the busiest day's."""


def weeks_of(days: Sequence[DayLine]) -> list[list[Cell]]:
    """Weeks from Monday to Sunday that hold the days, none where there are no days."""
    if not days:
        return []
    lines = {line.day: line for line in days}
    first, last = min(lines), max(lines)
    most = max((line.requests for line in days), default=0) or 1
    start = first - timedelta(days=first.weekday())
    return [
        [
            Cell(day, lines.get(day), first <= day <= last, lines[day].requests / most if day in lines else 0.0)
            for day in (monday + timedelta(days=n) for n in range(7))
        ]
        for monday in (start + timedelta(weeks=n) for n in range((last - start).days // 7 + 1))
    ]


def weekday_means(days: Sequence[DayLine]) -> list[float | None]:
    """Mean requests of each weekday from Monday on, over the days read that have any; None where none has."""
    means: list[float | None] = []
    for weekday in range(7):
        of_weekday = [line for line in days if line.day.weekday() == weekday and line.state in READ]
        counts = [line.requests for line in of_weekday if line.requests]
        means.append(sum(counts) / len(counts) if counts else None)
    return means
