"""Watch the landing folder, and what became of the night."""

import hashlib
import json
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from features.day_report import read_report
from features.landing import LandingError
from infra.run_lock import run_in_progress
from infra.settings import Settings
from orchestration.jobs import refresh_features
from orchestration.night.history import newest_ended
from orchestration.night.watch import look, measure
from orchestration.partitions import RANGE_TAGS, landed_files, range_tags, unbuilt, within_partitions
from orchestration.shop import shop_settings

ON = shop_settings().night.scheduled
LANDED = "shelfwise/landed"
"""Tag of a run that the sensor asked for: the hash of the files that it asked for it on."""
AGAIN_AFTER = timedelta(minutes=15)
"""Between two runs on the same files."""


@dg.sensor(
    job=refresh_features,
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING if ON else dg.DefaultSensorStatus.STOPPED,
)
def new_landing_days(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
    """One run over the days that landed, or whose files changed, since they were built, and over those of a run that
    failed. No run key: Dagster never runs a key again, whatever became of its run."""
    settings = shop_settings()
    records = context.instance.get_run_records(
        dg.RunsFilter(tags=dg.DagsterRun.tags_for_sensor(new_landing_days)), limit=1
    )
    run = records[0].dagster_run if records else None
    if run_in_progress(settings) or (run and not run.is_finished):
        return dg.SkipReason("A run on this shop is in progress.")
    try:
        landed = landed_files(settings)
    except LandingError as error:
        return dg.SkipReason(str(error))
    left = left_by(settings, run, landed) if run and run.is_failure else []
    days = within_partitions({*unbuilt(settings, landed), *left})
    if not days:
        return dg.SkipReason("Every day that landed is built.")
    files = hashlib.sha256(json.dumps([(str(day), landed[day].stamps) for day in days]).encode()).hexdigest()
    if run and run.tags.get(LANDED) == files and datetime.now(UTC) - records[0].create_timestamp < AGAIN_AFTER:
        return dg.SkipReason(f"Asked for less than {AGAIN_AFTER} ago.")
    return dg.RunRequest(tags=range_tags(days[0], days[-1]) | {LANDED: files})


def left_by(settings: Settings, run: dg.DagsterRun, landed: Collection[date]) -> list[date]:
    """The days of a failed run that may go through the next time: a day that is held, and with it those before, fails
    again until its files change."""
    held = [day for day in landed if (report := read_report(settings, day)) and report.held]
    first, last = (run.tags.get(tag, "") for tag in RANGE_TAGS)
    return [day for day in landed if first <= str(day) <= last and day > max(held, default=date.min)]


@dg.sensor(
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Runs that ended: their figures for Prometheus. What went wrong: to the webhook, if one is set.",
)
def night_watch(context: dg.SensorEvaluationContext) -> dg.SkipReason:
    """Its cursor is the last run that ended of which the figures were written; what was told is the outbox's."""
    settings = shop_settings()
    waiting = look(settings, context.instance, datetime.now(UTC))
    newest = newest_ended(context.instance)
    if newest and newest != context.cursor:
        measure(settings, context.instance)
        context.update_cursor(newest)
    return dg.SkipReason(f"{waiting} notices wait for the webhook." if waiting else "Everything is told.")
