"""Daily retraining."""

from __future__ import annotations

import dagster as dg

from orchestration.jobs import retrain

nightly_retrain = dg.build_schedule_from_partitioned_job(
    retrain,
    name="nightly_retrain",
    description="Every night the day before: a held day stops before training, and live stays as it is.",
    hour_of_day=2,
    minute_of_hour=30,
)
