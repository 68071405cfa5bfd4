"""Run the main job in this process and time its steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import uuid4

import dagster as dg

from orchestration.dead_runs import fail_dead_runs, process_tag
from orchestration.definitions import defs
from orchestration.failures import failures
from orchestration.instance import dagster_home
from orchestration.night.ended_run import Step
from orchestration.night.history import steps_of
from orchestration.night.watch import after_run
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
    """Run ``retrain`` over the first to the last of ``days``, of None ``release_catalog``, in this process."""
    dagster_home(shop_settings())
    job = defs.resolve_job_def("retrain" if days else "release_catalog")
    run_id = str(uuid4())
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
        after_run(shop_settings(), instance)
    return LoopOutcome(result.run_id, result.success, days, steps, failures(result.all_events))
