"""Runs that have ended, and whether the night's schedule is on, as Dagster recorded them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime

import dagster as dg

from orchestration.failures import failed_checks, failures
from orchestration.night.ended_run import NIGHTLY, EndedRun, Outcome, Step
from orchestration.partitions import RANGE_TAGS

OUTCOMES: dict[dg.DagsterRunStatus, Outcome] = {
    dg.DagsterRunStatus.SUCCESS: "success",
    dg.DagsterRunStatus.FAILURE: "failure",
    dg.DagsterRunStatus.CANCELED: "canceled",
}
WILL_RETRY = "dagster/will_retry"
"""Tag of a failed run that Dagster is to run again; see ``run_retries`` in ``orchestration.instance``."""
WHY = {
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.RUN_FAILURE,
    dg.DagsterEventType.ENGINE_EVENT,
}
"""Events that say why a run failed."""
SCHEDULE = "nightly_retrain"


def ended_since(instance: dg.DagsterInstance, since: datetime) -> list[EndedRun]:
    """The runs that ended since, in the order in which they did; none that Dagster is going to run again."""
    records = instance.get_run_records(dg.RunsFilter(statuses=list(OUTCOMES), updated_after=since.astimezone(UTC)))
    found = [_ended(instance, record) for record in records if not _runs_again(record.dagster_run)]
    return sorted((run for run in found if run.ended >= since), key=lambda run: run.ended)


def last_ended(instance: dg.DagsterInstance, job: str, *, successful: bool = False) -> EndedRun | None:
    """The newest run of a job that has ended; of those that succeeded alone, if asked."""
    statuses = [dg.DagsterRunStatus.SUCCESS] if successful else list(OUTCOMES)
    records = instance.get_run_records(dg.RunsFilter(job_name=job, statuses=statuses), limit=1)
    return _ended(instance, records[0]) if records else None


def newest_ended(instance: dg.DagsterInstance) -> str | None:
    """The id of the run that ended last and when it did, as one text; None before the first."""
    records = instance.get_run_records(
        dg.RunsFilter(statuses=list(OUTCOMES)), limit=1, order_by="update_timestamp", ascending=False
    )
    return f"{records[0].dagster_run.run_id} {records[0].end_time}" if records else None


def nights_since(instance: dg.DagsterInstance, since: datetime) -> tuple[bool, bool]:
    """Whether a nightly run that was asked for since then has ended, and whether one is there that has not."""
    records = [
        record
        for job in NIGHTLY
        for record in instance.get_run_records(dg.RunsFilter(job_name=job, created_after=since.astimezone(UTC)))
    ]
    finished = [record.dagster_run.is_finished for record in records]
    return any(finished), not all(finished)


def scheduled_since(instance: dg.DagsterInstance, otherwise: datetime | None) -> datetime | None:
    """Since when the night's schedule is on; None: it is off.

    Args:
        otherwise: where nobody switched it in the UI, and it is by the settings that it is on or off.
    """
    for state in instance.all_instigator_state():
        if state.instigator_name != SCHEDULE:
            continue
        if state.status.value == "STOPPED":
            return None
        begun = getattr(state.instigator_data, "start_timestamp", None)
        return datetime.fromtimestamp(begun, UTC) if begun else otherwise
    return otherwise


def steps_of(instance: dg.DagsterInstance, run_id: str) -> list[Step]:
    """The steps of a run that began."""
    return [
        Step(s.step_key, s.status.value.lower(), max(0.0, (s.end_time or 0) - (s.start_time or 0)))
        for s in instance.get_run_step_stats(run_id)
        if s.start_time and s.status
    ]


def _runs_again(run: dg.DagsterRun) -> bool:
    """Dagster marks every run that it should retry, and cannot retry one that a command ran in its own process."""
    return run.tags.get(WILL_RETRY) == "true" and run.remote_job_origin is not None


def _ended(instance: dg.DagsterInstance, record: dg.RunRecord) -> EndedRun:
    run = record.dagster_run
    ended = _time(record.end_time) or record.update_timestamp.astimezone(UTC)
    events: Sequence[dg.DagsterEvent] = (
        [entry.dagster_event for entry in instance.all_logs(run.run_id, of_type=WHY) if entry.dagster_event]
        if run.is_failure
        else []
    )
    first, last = (run.tags.get(tag) for tag in RANGE_TAGS)
    return EndedRun(
        id=run.run_id,
        job=run.job_name,
        outcome=OUTCOMES[run.status],
        started=_time(record.start_time) or min(record.create_timestamp.astimezone(UTC), ended),
        ended=ended,
        days=(date.fromisoformat(first), date.fromisoformat(last)) if first and last else None,
        steps=tuple(steps_of(instance, run.run_id)),
        failed_checks=tuple(failed_checks(events)),
        failures=tuple(failures(events)),
    )


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None
