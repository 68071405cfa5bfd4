"""What a shop's own accepted days say that a day's figures should be."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from statistics import median

from features.day_report import built_days, read_report
from infra.contract.partitions import write_json
from infra.settings import CheckSettings, Settings

SAME_WEEKDAYS = 2
"""Days of the same weekday from which on a day is compared with them alone."""
RECENT_DAYS = 7
RECENT_LEAST = 3
"""Accepted days from which on a day is compared with the last ones, where it has too few of its weekday."""
SHOWN_DAYS = 4


@dataclass(frozen=True)
class PastDay:
    """The counts of an accepted day: ``DayReport.figures``."""

    day: date
    figures: Mapping[str, float]


Value = Callable[[PastDay], float | None]
"""The figure that is compared; None of a day that does not know it."""


@dataclass(frozen=True)
class Bounds:
    """Where a figure lies by the shop's own days: outside ``low`` and ``high`` it fails, outside the ``usual`` ones it
    is told."""

    low: float | None = None
    high: float | None = None
    usual_low: float | None = None
    usual_high: float | None = None
    against: str = ""
    """The days that the bounds follow from, with their figures."""

    @property
    def told_only(self) -> Bounds:
        """The same, by which nothing fails."""
        return replace(self, low=None, high=None)


@dataclass(frozen=True)
class History:
    """The accepted days before a day, in order."""

    day: date
    past: tuple[PastDay, ...]
    checks: CheckSettings

    @property
    def same(self) -> tuple[PastDay, ...]:
        """Those of the day's weekday."""
        return tuple(p for p in self.past if p.day.weekday() == self.day.weekday())

    @property
    def recent(self) -> tuple[PastDay, ...]:
        """The last ones."""
        return self.past[-RECENT_DAYS:]

    @property
    def peers(self) -> tuple[PastDay, ...]:
        """The days that the day is compared with: the last ones where too few are of its weekday."""
        return self.same if len(self.same) >= SAME_WEEKDAYS else self.recent

    @property
    def judges(self) -> bool:
        """Whether there are enough for a day to fail by them."""
        return len(self.same) >= SAME_WEEKDAYS or len(self.recent) >= RECENT_LEAST

    def requests(self) -> Bounds:
        """Bounds of the day's requests."""

        def value(past: PastDay) -> float:
            return past.figures["requests"]

        values = [value(p) for p in self.peers]
        if not values:
            return Bounds()
        share, low = self.checks.min_volume_share, median(values)
        if len(self.same) >= SAME_WEEKDAYS:
            # A week of holidays is low on all its days.
            low *= min(1.0, median(map(value, self.recent)) / max(1.0, median(map(value, self.past))))
        elif self.same:
            low = min(low, value(self.same[-1]))
        else:
            share = self.checks.min_first_weekday_share
        return self._bounds(low, values, value, share, 1.0, "{:,.0f}")

    def rate(self, value: Value, requests: float) -> Bounds:
        """Bounds of something counted per request, on a day of so many requests."""
        values = [v for v in map(value, self.peers) if v is not None]
        if not values or not requests:
            return Bounds()
        return self._bounds(median(values), values, value, self.checks.min_volume_share, requests, "{:,.3g}")

    def _bounds(
        self, low: float, values: Sequence[float], value: Value, share: float, scale: float, form: str
    ) -> Bounds:
        """``scale``: times a value is a count, whose chance is the square root of it."""
        recent = [v for v in map(value, self.recent) if v is not None]
        high = max(median(values), *recent) if recent else median(values)
        if not median(values):
            return Bounds()
        spread = _deviation(values)

        def chance(usual: float) -> float:
            return self.checks.volume_noise * max(spread, math.sqrt(usual * scale) / scale)

        def least(of: float) -> float | None:
            bound = min(of * low, low - chance(low))
            return bound if bound > 0 else None

        most = max(self.checks.max_volume_ratio * high, high + chance(high))
        told = least(self.checks.min_volume_share)
        against = self._told(value, form)
        if not self.judges:
            return Bounds(usual_low=told, usual_high=most, against=against)
        return Bounds(least(share), most, told, most, against)

    def share(self, value: Value, rows: float) -> Bounds:
        """The highest that a share of so many rows should be."""
        values = [v for v in map(value, self.peers) if v is not None]
        if not values or not rows:
            return Bounds()
        usual = median(values)
        likely = (usual * rows + 1) / (rows + 2)
        chance = self.checks.volume_noise * max(_deviation(values), math.sqrt(likely * (1 - likely) / rows))
        most = usual + max(self.checks.max_share_rise, chance)
        high = most if most < 1 else None
        against = self._told(value, "{:.1%}")
        return Bounds(high=high if self.judges else None, usual_high=high, against=against)

    def _told(self, value: Value, form: str) -> str:
        known = [(p.day, v) for p in self.peers if (v := value(p)) is not None]
        what = f"{self.day:%A}s" if len(self.same) >= SAME_WEEKDAYS else "days"
        shown = ", ".join(f"{day} {form.format(v)}" for day, v in reversed(known[-SHOWN_DAYS:]))
        return f"the last {len(known)} {what}: {shown}{', ...' if len(known) > SHOWN_DAYS else ''}"


def history_of(settings: Settings, day: date) -> History:
    """The accepted days that a day is compared with."""
    first = first_compared(day, settings.checks)
    reports = (read_report(settings, d) for d in built_days(settings) if first <= d < day)
    past = (PastDay(r.day, r.figures) for r in reports if r is not None and r.output is not None and r.figures)
    return History(day, tuple(past), settings.checks)


def first_run_until(settings: Settings, days: Sequence[date]) -> date:
    """The last day of the shop's first run; where no day was read before, that of ``days``, which is noted."""
    noted = settings.paths.reports / "first_run.json"
    if noted.exists():
        return date.fromisoformat(json.loads(noted.read_text(encoding="utf-8"))["until"])
    until = max(built_days(settings) or days, default=None)
    if until is None:
        return date.min
    write_json(noted, {"until": until.isoformat()})
    return until


def first_compared(day: date, checks: CheckSettings) -> date:
    """The first day that a day is compared with."""
    first = day - timedelta(weeks=checks.history_weeks)
    return max(first, checks.history_from) if checks.history_from and checks.history_from <= day else first


def _deviation(values: Sequence[float]) -> float:
    """Median absolute deviation."""
    middle = median(values)
    return median(abs(value - middle) for value in values)
