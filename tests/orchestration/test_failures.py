"""What is said of a run that failed: the sentence alone."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._utils.error import serializable_error_info_from_exc_info
from filelock import FileLock

from orchestration import run_lock
from orchestration.failures import failures
from orchestration.night.history import ended_since
from orchestration.run_lock import KEY, RunLock
from tests.orchestration.conftest import SmallShop


@dg.op(required_resource_keys={KEY})
def locked() -> None:
    pass


@dg.op
def tells() -> None:
    try:
        raise ValueError("deep")
    except ValueError as error:
        raise dg.Failure(description="The file is torn: mend it.") from error


@dg.op
def surprised() -> None:
    try:
        raise ValueError("deep")
    except ValueError as error:
        raise RuntimeError("shallow") from error


class Torn(dg.ConfigurableResource):
    """Fails as a resource may: with a sentence, from an error of its own."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Torn]:
        try:
            raise OSError("deep")
        except OSError as error:
            raise dg.Failure(description="The shop is away: wait.") from error
        yield self


def told(op: dg.OpDefinition, **resources: object) -> list[str]:
    """The sentences of a run of one step."""
    job = dg.JobDefinition(name="one", graph_def=dg.GraphDefinition(name="one", node_defs=[op]))
    return failures(job.execute_in_process(raise_on_error=False, resources=resources).all_events)


def test_another_run_is_told_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SmallShop(tmp_path).settings()
    monkeypatch.setattr(run_lock, "shop_settings", lambda: settings)
    settings.paths.root.mkdir(parents=True)
    with FileLock(settings.paths.root / "run.lock"):
        (sentence,) = told(locked, run_lock=RunLock())
    assert sentence.startswith("Another run works on shop demo")


def test_a_failure_is_told_by_its_sentence_and_a_surprise_by_its_cause() -> None:
    assert told(locked, run_lock=Torn()) == ["The shop is away: wait."]
    assert told(tells) == ["tells: The file is torn: mend it."]
    assert told(surprised) == ["surprised: ValueError: deep"]


@pytest.mark.parametrize("kept", [True, False], ids=["by an error", "by nobody knows what"])
def test_a_run_that_never_began_is_told_too(kept: bool) -> None:
    """Dagster marks it as failed from outside, by an event without an error."""
    job = dg.JobDefinition(name="one", graph_def=dg.GraphDefinition(name="one", node_defs=[tells]))
    with dg.DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTING)
        if kept:
            try:
                raise PermissionError("the engine's socket is closed")
            except PermissionError:
                error = serializable_error_info_from_exc_info(sys.exc_info())
            instance.report_engine_event("not started", run, EngineEventData.engine_error(error))
        instance.report_run_failed(run)
        (ended,) = ended_since(instance, datetime.now(UTC) - timedelta(minutes=1))
    (sentence,) = ended.failures
    assert sentence == "PermissionError: the engine's socket is closed" if kept else "marked as failed" in sentence
