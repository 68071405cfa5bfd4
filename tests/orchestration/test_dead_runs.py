"""Runs whose process was killed are reported as failed, and no others."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import dagster as dg
import pytest

from orchestration.dead_runs import PROCESS, fail_dead_runs, process_tag
from orchestration.instance import dagster_home
from orchestration.ui import LOOK_EVERY, wait
from tests.orchestration.conftest import SmallShop

pytestmark = pytest.mark.kill

KILLED = """
import os, signal, sys
import dagster as dg
from orchestration.dead_runs import process_tag

@dg.op
def die():
    os.kill(os.getpid(), signal.SIGKILL)

@dg.job
def dying():
    die()

with dg.DagsterInstance.get() as instance:
    dying.execute_in_process(instance=instance, run_id=sys.argv[1], tags=process_tag(sys.argv[1]))
"""


@dg.op
def nothing() -> None:
    pass


@dg.job
def idle() -> None:
    nothing()


@pytest.fixture
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dg.DagsterInstance]:
    """The instance of a new shop."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    dagster_home(SmallShop(tmp_path).settings())
    with dg.DagsterInstance.get() as made:
        yield made


def started_run(instance: dg.DagsterInstance, tags: dict[str, str], run_id: str | None = None) -> str:
    """A run in progress; return its id."""
    run = instance.create_run_for_job(idle, run_id=run_id, tags=tags, status=dg.DagsterRunStatus.STARTED)
    return run.run_id


def killed_run(instance: dg.DagsterInstance) -> str:
    """A run whose process ends as by ``kill -9``; return its id."""
    run_id = str(uuid4())
    process = subprocess.run([sys.executable, "-c", KILLED, run_id], check=False, capture_output=True)
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    run = instance.get_run_by_id(run_id)
    assert run is not None and run.status is dg.DagsterRunStatus.STARTED
    return run_id


def test_a_killed_run_is_failed_and_none_that_may_live(instance: dg.DagsterInstance) -> None:
    killed = killed_run(instance)
    run = instance.get_run_by_id(killed)
    assert run is not None
    _, pid, start, _ = run.tags[PROCESS].split()
    mine = str(uuid4())
    ids = {
        "alive": started_run(instance, process_tag(mine), mine),
        "of Dagster": started_run(instance, {}),
        "executed again by Dagster": started_run(instance, {PROCESS: run.tags[PROCESS]}),
        "of another host": started_run(
            instance, {PROCESS: f"elsewhere {pid} {start} {(other := str(uuid4()))}"}, other
        ),
    }
    assert fail_dead_runs(instance) == [killed]
    run = instance.get_run_by_id(killed)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE
    assert {run.run_id for run in instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED]))} == {
        *ids.values()
    }
    assert fail_dead_runs(instance) == []


def test_another_process_of_the_same_id_is_not_the_run(instance: dg.DagsterInstance) -> None:
    run_id = str(uuid4())
    host, pid, start, _ = process_tag(run_id)[PROCESS].split()
    assert host == socket.gethostname()
    started_run(instance, {PROCESS: f"{host} {pid} {float(start) - 3600} {run_id}"}, run_id)
    assert fail_dead_runs(instance) == [run_id]


def test_the_ui_looks_while_it_is_up(instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    assert LOOK_EVERY <= 60
    monkeypatch.setattr("orchestration.ui.LOOK_EVERY", 0.1)
    killed = killed_run(instance)
    assert wait(subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3)"])) == 0
    run = instance.get_run_by_id(killed)
    assert run is not None and run.status is dg.DagsterRunStatus.FAILURE
