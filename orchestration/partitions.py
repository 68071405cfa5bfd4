"""The days of the landing folder as Dagster partitions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from features.landing import landing_days
from infra.settings import Settings, get_settings
from orchestration.shop import Source, shop_settings, source

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


def landed_days(settings: Settings, keys: Iterable[str]) -> list[date]:
    """Those of the partition keys that have logs: a backfill may run over days on which nothing landed."""
    landed = set(landing_days(settings))
    return sorted(day for day in map(date.fromisoformat, keys) if day in landed)


DAYS = daily_partitions(shop_settings())
