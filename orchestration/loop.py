"""Run the main job in this process and time its steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import uuid4

import dagster as dg

from infra.settings import Settings
from orchestration.dead_runs import fail_dead_runs, process_tag
from orchestration.definitions import defs
from orchestration.disk_room import refuse_without_room
from orchestration.failures import failures
from orchestration.instance import dagster_home
from orchestration.night.ended_run import EndedRun, Step
from orchestration.night.history import steps_of
from orchestration.night.watch import after_crash, after_run
from orchestration.partitions import range_tags
from orchestration.shop import shop_settings


@dataclass(frozen=True)
class LoopOutcome:
    """What became of a run: ``failures`` holds the sentence of each step or check that failed."""

    run_id: str
    success: bool
    days: tuple[date, date] | None
    """The first and the last; None for the catalogue alone."""
    steps: list[Step]
    failures: list[str]


def run_loop(days: tuple[date, date] | None, *, verbose: bool = False) -> LoopOutcome:
    """Run ``retrain`` over the first to the last of ``days``, of None ``release_catalog``, in this process.

    Raises:
        NoRoomError: the disk is so full that Dagster could not record the run.
    """
    settings, began = shop_settings(), datetime.now(UTC)
    name, run_id = "retrain" if days else "release_catalog", str(uuid4())
    try:
        refuse_without_room(settings, name)
        return _run(settings, name, run_id, days, verbose=verbose)
    except Exception as error:
        from orchestration.mendable import sentence  # costs import time

        why = sentence(error) or f"{type(error).__name__}: {error}"
        after_crash(settings, EndedRun(run_id, name, "failure", began, datetime.now(UTC), days, failures=(why,)))
        raise


def _run(settings: Settings, name: str, run_id: str, days: tuple[date, date] | None, *, verbose: bool) -> LoopOutcome:
    dagster_home(settings)
    job = defs.resolve_job_def(name)
    with dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_id=run_id,
            tags=(range_tags(*days) if days else {}) | process_tag(run_id),
            run_config={
                "loggers": {"terminal": {}} | ({"console": {"config": {"log_level": "INFO"}}} if verbose else {})
            },
        )
        steps = steps_of(instance, run_id)
        after_run(settings, instance)
    return LoopOutcome(result.run_id, result.success, days, steps, failures(result.all_events))
