"""Why a run failed, in sentences, by its events."""

from __future__ import annotations

import re
from collections.abc import Sequence

import dagster as dg
from dagster_shared.error import SerializableErrorInfo

from orchestration.full_disk import says_full, what_to_do
from orchestration.night.ended_run import FailedCheck
from orchestration.shop import shop_settings

EVALUATED = dg.DagsterEventType.ASSET_CHECK_EVALUATION


def failed_checks(events: Sequence[dg.DagsterEvent]) -> list[FailedCheck]:
    """The checks that stopped what comes after them."""
    evaluations = [
        data
        for event in events
        if event.event_type is EVALUATED and isinstance(data := event.event_specific_data, dg.AssetCheckEvaluation)
    ]
    return [
        FailedCheck(one.check_name, one.asset_key.to_user_string(), one.description or "failed")
        for one in evaluations
        if not one.passed and one.severity is dg.AssetCheckSeverity.ERROR
    ]


def failures(events: Sequence[dg.DagsterEvent]) -> list[str]:
    """One sentence per failed check, else per failed step."""
    return [_mendable(sentence) for sentence in _as_told(events)]


def _mendable(sentence: str) -> str:
    """What fails for lack of space is told by what to do about it."""
    if not says_full(sentence):
        return sentence
    step, colon, _ = sentence.partition(": ")
    told = what_to_do(shop_settings(), sentence)
    return f"{step}: {told}" if colon and re.fullmatch(r"\w+", step) else told


def _as_told(events: Sequence[dg.DagsterEvent]) -> list[str]:
    if checks := failed_checks(events):
        return [f"check {check.name} of {check.asset}: {check.sentence}" for check in checks]
    sentences = []
    for event in events:
        if event.is_step_failure:
            told = event.step_failure_data.user_failure_data
            sentence = told.description if told else None
            sentences.append(f"{event.step_key}: {sentence or innermost(event.step_failure_data.error)}")
    if not sentences:  # the run ended before its first step, or never began
        sentences = [_of_the_run(event, events) for event in events if event.is_run_failure]
    return sentences


def _of_the_run(failed: dg.DagsterEvent, events: Sequence[dg.DagsterEvent]) -> str:
    """Why the run itself failed; one that others marked as failed has no error of its own, but theirs."""
    own = failed.job_failure_data.error if failed.event_specific_data else None
    engine = [event.engine_event_data.error for event in events if event.is_engine_event]
    error = next((error for error in [own, *reversed(engine)] if error), None)
    return innermost(error) if error else failed.message or innermost(None)


def innermost(error: SerializableErrorInfo | None) -> str:
    """The sentence of the error that began it, or of the ``Failure`` that says it for people."""
    while error is not None and error.cls_name != "Failure" and error.cause is not None:
        error = error.cause
    if error is None:
        return "failed without an error"
    if error.cls_name == "Failure":
        return error.message.partition(": ")[2].strip()
    return "interrupted" if error.cls_name == "DagsterExecutionInterruptedError" else error.message.strip()
