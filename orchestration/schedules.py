"""Daily retraining."""

from __future__ import annotations

from datetime import timedelta

import dagster as dg

from orchestration.jobs import CATALOG_ALONE, retrain
from orchestration.partitions import choose_days, range_tags
from orchestration.shop import shop_settings

NIGHT = shop_settings().night


@dg.schedule(
    job=retrain,
    cron_schedule=NIGHT.cron,
    execution_timezone=NIGHT.time_zone,
    default_status=dg.DefaultScheduleStatus.RUNNING if NIGHT.scheduled else dg.DefaultScheduleStatus.STOPPED,
    description="Every night the days that are new or changed, in one run: a held day stops before training, and live"
    " stays as it is.",
)
def nightly_retrain(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """One run from the first day that is not built to the last, so that a day which landed late is not left out; of a
    catalogue without logs it alone."""
    days = choose_days(None)
    if days is None:
        return dg.RunRequest(asset_selection=[dg.AssetKey(name) for name in CATALOG_ALONE])
    first, last = days
    if last < context.scheduled_execution_time.date() - timedelta(days=1):
        context.log.warning("Nothing landed after %s.", last)
    return dg.RunRequest(tags=range_tags(first, last))
