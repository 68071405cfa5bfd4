"""``dagster dev`` on the workspace, with Data Docs beside it, as one process group."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import dagster as dg
from rich.console import Console

from infra.settings import Settings
from orchestration.dead_runs import fail_dead_runs
from orchestration.instance import dagster_home
from orchestration.shop import shop_settings

WORKSPACE = Path(__file__).resolve().parent.parent / "workspace.yaml"
LOOK_EVERY = 30.0
"""Seconds between two looks for runs of the command line that were killed: they would hold up the queue."""


def serve_ui(settings: Settings, console: Console) -> int:
    """Serve until Ctrl-C or SIGTERM; code servers that ``dagster dev`` leaves behind end with the group."""
    for port, name in ((settings.ui.docs_port, "DOCS_PORT"), (settings.ui.port, "PORT")):
        if taken(port):
            console.print(f"[red]Port {port} is taken[/], perhaps by a running `shelfwise ui`.")
            console.print(f"Name a free port with SHELFWISE_UI__{name}.")
            return 1
    paths = shop_settings().paths
    home = dagster_home(shop_settings())
    with dg.DagsterInstance.get() as instance:
        fail_dead_runs(instance)
    paths.data_docs.mkdir(parents=True, exist_ok=True)
    python = sys.executable
    log = home / "data_docs.log"
    with log.open("w", encoding="utf-8") as errors:
        docs = subprocess.Popen(
            [
                python,
                "-m",
                "http.server",
                str(settings.ui.docs_port),
                "--bind",
                "127.0.0.1",
                "-d",
                str(paths.data_docs),
            ],
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    # A relative home would move with the code server's working folder.
    environment = os.environ | {"DAGSTER_HOME": str(home), "SHELFWISE_HOME": str(settings.home.expanduser().resolve())}
    dagster = subprocess.Popen(
        [python, "-m", "dagster", "dev", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(settings.ui.port)]
        + (["--log-format", "json"] if settings.log.format == "json" else []),
        env=environment,
        start_new_session=True,
    )
    console.print(f"Dagster http://127.0.0.1:{settings.ui.port}   Data Docs http://127.0.0.1:{settings.ui.docs_port}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return wait(dagster)
    except KeyboardInterrupt:
        return 0
    finally:
        if dagster.poll() is None:
            os.killpg(dagster.pid, signal.SIGTERM)
            try:
                dagster.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(dagster.pid, signal.SIGKILL)
        docs.terminate()
        docs.wait()


def wait(dagster: subprocess.Popen[bytes]) -> int:
    """Wait for ``dagster dev`` to end; until then, report runs whose process was killed as failed."""
    while True:
        try:
            return dagster.wait(timeout=LOOK_EVERY)
        except subprocess.TimeoutExpired:
            with dg.DagsterInstance.get() as instance:
                fail_dead_runs(instance)


def taken(port: int) -> bool:
    """Whether somebody listens on a port of loopback."""
    with socket.socket() as found:
        return found.connect_ex(("127.0.0.1", port)) == 0
