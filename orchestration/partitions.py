"""The days of the landing folder as Dagster partitions."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from features.day_report import read_report, settings_hash
from features.landing import LandingError, day_files, landing_days
from infra.settings import Settings, get_settings
from orchestration.shop import Source, shop_settings, source

logger = logging.getLogger("shelfwise.landing")

STILL_ARRIVING = timedelta(days=7)


def day_range(settings: Settings) -> tuple[date, date]:
    """First and last day of the logs, made ones included whether or not they are made yet."""
    if source(get_settings()) is Source.GIVEN:
        days = landing_days(settings)
        return days[0], days[-1]
    return settings.demo.start, settings.demo.start + timedelta(days=settings.demo.days - 1)


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """A partition per day of the logs. A log whose last day is over a week old is history and ends there."""
    first, last = day_range(settings)
    ended = datetime.now(UTC).date() - last > STILL_ARRIVING
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(), end_date=(last + timedelta(days=1)).isoformat() if ended else None
    )


def fingerprints(settings: Settings) -> dict[date, str]:
    """The days that have landed, each with the fingerprint of its files. A folder without queries is still landing."""
    found = {}
    for day in landing_days(settings):
        try:
            found[day] = day_files(settings, day).fingerprint
        except LandingError as error:
            logger.warning("%s is left out: %s", day, error)
    return found


def is_built(settings: Settings, day: date, fingerprint: str) -> bool:
    """Whether the sessions of a day were built (or held) from the files that are there, under these settings."""
    report = read_report(settings, day)
    return report is not None and (report.fingerprint, report.settings) == (fingerprint, settings_hash(settings))


def landed_days(settings: Settings, keys: Iterable[str]) -> list[date]:
    """Those of the partition keys that have logs: a backfill may run over days on which nothing landed."""
    landed = fingerprints(settings)
    return sorted(day for day in map(date.fromisoformat, keys) if day in landed)


DAYS = daily_partitions(shop_settings())
