"""Dagster's entry: everything that ``workspace.yaml`` loads."""

from __future__ import annotations

import warnings

import dagster as dg

from infra.telemetry import silence
from infra.threads import wait_quietly

silence()
wait_quietly()
# Partitioned checks and single-run backfills are what blocks a bad day; both are pinned by tests on this exact version.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
warnings.filterwarnings("ignore", category=dg.PreviewWarning)

from orchestration import checks, jobs, schedules, sensors  # noqa: E402
from orchestration.assets import features, pretraining, raw, serving, training, tuning  # noqa: E402
from orchestration.run_lock import KEY, RunLock  # noqa: E402
from orchestration.terminal import terminal  # noqa: E402
from orchestration.values import json_values  # noqa: E402

defs = dg.Definitions(
    assets=dg.load_assets_from_modules([raw, features, pretraining, training, tuning, serving]),
    asset_checks=dg.load_asset_checks_from_modules([checks]),
    jobs=[jobs.retrain, jobs.refresh_features, jobs.release_catalog],
    schedules=[schedules.nightly_retrain],
    sensors=[sensors.new_landing_days, sensors.night_watch],
    resources={KEY: RunLock(), "io_manager": json_values},
    loggers={"terminal": terminal, "console": dg.colored_console_logger},
    executor=dg.in_process_executor,
)
