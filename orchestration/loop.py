"""Run the main job in this process and time its steps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from uuid import uuid4

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from orchestration.dead_runs import fail_dead_runs, process_tag
from orchestration.definitions import defs
from orchestration.instance import dagster_home
from orchestration.partitions import range_tags
from orchestration.shop import shop_settings


@dataclass(frozen=True)
class Step:
    """A step of a run."""

    name: str
    status: str
    seconds: float


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
        steps = [
            Step(s.step_key, s.status.value.lower(), (s.end_time or 0) - (s.start_time or 0))
            for s in instance.get_run_step_stats(result.run_id)
            if s.start_time and s.status
        ]
    return LoopOutcome(result.run_id, result.success, days, steps, failures(result))


def failures(result: dg.ExecuteInProcessResult) -> list[str]:
    """One sentence per failed check, else per failed step."""
    checks = [
        f"check {check.check_name} of {check.asset_key.to_user_string()}: {check.description}"
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity is dg.AssetCheckSeverity.ERROR
    ]
    if checks:
        return checks
    sentences = []
    for event in result.all_events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            sentence = told.description if told else None
            sentences.append(f"{event.step_key}: {sentence or innermost(event.step_failure_data.error)}")
    if not sentences:  # the run ended before its first step
        sentences = [innermost(event.job_failure_data.error) for event in result.all_events if event.is_run_failure]
    return sentences


def innermost(error: SerializableErrorInfo | None) -> str:
    """The sentence of the error that began it, or of the ``Failure`` that says it for people."""
    while error is not None and error.cls_name != "Failure" and error.cause is not None:
        error = error.cause
    if error is None:
        return "failed without an error"
    if error.cls_name == "Failure":
        return error.message.partition(": ")[2].strip()
    return "interrupted" if error.cls_name == "DagsterExecutionInterruptedError" else error.message.strip()
