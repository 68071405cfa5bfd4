"""What every test gets: no telemetry, threads that wait quietly, and no embedded server that outlives the run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from infra.services import supervisor
from infra.telemetry import silence
from infra.threads import wait_quietly

silence()
wait_quietly()

SERVER_PROGRAMS = ("valkey-server", "redis-server", "infra.services.milvus_server")
GONE_S = supervisor.UNUSED_SECONDS + 15
"""A server whose users a test killed ends itself within this; one that is there afterwards would stay."""


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses among the marks
def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Of the cases of a test that is marked ``many(n)``, all but n of them, evenly spread, are slow."""
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    for item in items:
        if item.get_closest_marker("many"):
            cases[item.nodeid.split("[")[0]].append(item)
    for found in cases.values():
        (fast,) = found[0].get_closest_marker("many").args
        kept = {round(n * (len(found) - 1) / max(fast - 1, 1)) for n in range(fast)}
        for n, item in enumerate(found):
            if n not in kept:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Stop what this process uses; at the end of the whole run, name what is left and fail it.

    Here rather than at the process's exit: xdist gives its workers ten seconds for that and kills them then.
    """
    supervisor.leave_all()
    if not hasattr(session.config, "workerinput") and (left := servers_left(session.config)):
        print("\nEmbedded servers that the tests left running:", *left, sep="\n")  # noqa: T201 - the run's report
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def servers_left(config: pytest.Config) -> list[str]:
    """Embedded servers on folders of this run, as ``process id: command line``; they are ended."""
    folder = getattr(getattr(config, "_tmp_path_factory", None), "_basetemp", None)
    if folder is None:
        return []
    left = [process for process in psutil.process_iter(["cmdline", "cwd"]) if _is_server_of(process, Path(folder))]
    psutil.wait_procs(left, timeout=GONE_S)
    left = [process for process in left if process.is_running()]
    for process in left:
        process.kill()
    return [f"{process.pid}: {' '.join(process.info['cmdline'])} (in {process.info['cwd']})" for process in left]


def _is_server_of(process: psutil.Process, folder: Path) -> bool:
    command = " ".join(process.info["cmdline"] or ())
    place = f"{command} {process.info['cwd'] or ''}"
    return any(program in command for program in SERVER_PROGRAMS) and f"{folder}/" in place + "/"
