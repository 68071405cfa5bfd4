"""The days of the landing folder as Dagster partitions."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from datetime import UTC, date, datetime, timedelta

import dagster as dg
from dagster._core.storage.tags import ASSET_PARTITION_RANGE_END_TAG, ASSET_PARTITION_RANGE_START_TAG

from features.catalog import find_catalog
from features.day_report import read_report, settings_hash
from features.landing import DayFiles, LandingError, NoLogError, day_files, landing_days
from infra.settings import Settings, get_settings
from orchestration.shop import Source, shop_settings, source

logger = logging.getLogger("shelfwise.landing")

RANGE_TAGS = (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
STILL_ARRIVING = timedelta(days=7)


def day_range(settings: Settings) -> tuple[date, date]:
    """First and last day of the logs, made ones included whether or not they are made yet; today where there are none
    beside a catalogue."""
    if source(get_settings()) is Source.GIVEN:
        try:
            days = landing_days(settings)
        except NoLogError:
            find_catalog(settings)
            days = [datetime.now(UTC).date()]
        return days[0], days[-1]
    return settings.demo.start, settings.demo.start + timedelta(days=settings.demo.days - 1)


def daily_partitions(settings: Settings) -> dg.DailyPartitionsDefinition:
    """A partition per day of the logs. A log whose last day is over a week old is history and ends there."""
    first, last = day_range(settings)
    ended = datetime.now(UTC).date() - last > STILL_ARRIVING
    return dg.DailyPartitionsDefinition(
        start_date=first.isoformat(), end_date=(last + timedelta(days=1)).isoformat() if ended else None
    )


def landed_files(settings: Settings, among: Collection[date] | None = None) -> dict[date, DayFiles]:
    """The days that have landed, each with its files. A folder without queries is still landing.

    Args:
        among: look at no other days than these; behind a URL each costs a listing.
    """
    found = {}
    for day in landing_days(settings):
        if among is not None and day not in among:
            continue
        try:
            found[day] = day_files(settings, day)
        except LandingError as error:
            logger.warning("%s is left out: %s", day, error)
    return found


def is_built(settings: Settings, files: DayFiles) -> bool:
    """Whether the sessions of a day were built (or held) from what its files hold, under these settings."""
    report = read_report(settings, files.day)
    if report is None or report.settings != settings_hash(settings):
        return False
    return report.stamps == files.stamps or report.fingerprint == files.fingerprint


def unbuilt(settings: Settings, landed: Mapping[date, DayFiles]) -> list[date]:
    """Those of the days that are new or changed, in order."""
    return sorted(day for day, files in landed.items() if not is_built(settings, files))


def within_partitions(days: Iterable[date]) -> list[date]:
    """The days that are partitions, in order; the others, such as today's, are named in the log."""
    known, ordered = set(DAYS.get_partition_keys()), sorted(days)
    beyond = [str(day) for day in ordered if str(day) not in known]
    if beyond:
        logger.warning(
            "%s: not over yet, or landed after Dagster was started (then reload its code location).", ", ".join(beyond)
        )
    return [day for day in ordered if str(day) in known]


def choose_days(asked: tuple[date, date] | None) -> tuple[date, date] | None:
    """The days to run: those asked for, else from the first new or changed day to the last; None where there is a
    catalogue, and no day that is over.

    With nothing new, the last day alone: the towers are trained again on what is there.

    Raises:
        LandingError: the days asked for are not in the logs, or no day of them is over.
        CatalogError: the logs are given, and no catalogue is with them.
    """
    settings = shop_settings()
    first, last = day_range(settings)
    given = source(get_settings()) is Source.GIVEN
    if given:
        find_catalog(settings)
        if asked is None and not has_log(settings):
            return None
    if asked is not None:
        if asked[0] > asked[1] or asked[0] < first or asked[1] > last:
            raise LandingError(
                f"--days {asked[0]}:{asked[1]} is not within the logs, which run from {first} to {last}."
            )
        return asked
    if not given:
        return first, last  # other demo settings make other days; unchanged ones are left as they are
    landed = landed_files(settings)
    days = within_partitions(landed)
    if not days:
        raise LandingError(f"no day of the logs, {first} to {last}, is over and has its queries")
    new = unbuilt(settings, {day: landed[day] for day in days})
    if not new:
        logger.warning("No day is new or changed: the towers are trained again, on what there is, and judged anew.")
    return (new or days[-1:])[0], days[-1]


def has_log(settings: Settings) -> bool:
    """Whether the landing folder holds a day that is over.

    Raises:
        LandingError: no such folder, or none of its days is named as one.
    """
    try:
        return landing_days(settings)[0] < datetime.now(UTC).date()
    except NoLogError:
        return False


def range_tags(first: date, last: date) -> dict[str, str]:
    """Tags of one run over the days ``first`` to ``last``."""
    return dict(zip(RANGE_TAGS, (first.isoformat(), last.isoformat()), strict=True))


def landed_days(settings: Settings, keys: Iterable[str]) -> list[date]:
    """Those of the partition keys that have logs: a backfill may run over days on which nothing landed."""
    return sorted(landed_files(settings, set(map(date.fromisoformat, keys))))


DAYS = daily_partitions(shop_settings())
