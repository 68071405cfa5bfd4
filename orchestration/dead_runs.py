"""Runs of the command line whose process is gone: Dagster, which did not start it, would wait for them for ever."""

from __future__ import annotations

import os
import socket

import dagster as dg

from infra.services.processes import started_at

PROCESS = "shelfwise/process"
"""Tag of a run in the process of a command: host, process id, start in seconds since 1970, and the run's own id."""
CLOCK_SECONDS = 60.0
"""The system reports a process's start by its clock, so that moves when the clock is set."""
IN_PROGRESS = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]


def process_tag(run_id: str) -> dict[str, str]:
    """The tag by which :func:`fail_dead_runs` finds this process."""
    return {PROCESS: f"{socket.gethostname()} {os.getpid()} {started_at(os.getpid())} {run_id}"}


def fail_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report the runs in progress as failed whose process was one of this host and is gone; return their ids."""
    dead = [run for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)) if _is_dead(run)]
    for run in dead:
        instance.report_run_failed(run, "The process of this run was killed.")
    return [run.run_id for run in dead]


def _is_dead(run: dg.DagsterRun) -> bool:
    host, pid, start, run_id = run.tags[PROCESS].split() if PROCESS in run.tags else ("", "", "", "")
    # Dagster gives a run that is executed again the tags of the first one.
    if run_id != run.run_id or host != socket.gethostname():
        return False
    started = started_at(int(pid))
    return started is None or abs(started - float(start)) > CLOCK_SECONDS
