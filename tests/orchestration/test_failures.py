"""What is said of a run that failed: the sentence alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import pytest
from filelock import FileLock

from orchestration import run_lock
from orchestration.failures import failures
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
