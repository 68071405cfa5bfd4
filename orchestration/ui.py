"""``dagster dev`` on the workspace, with Data Docs beside it, as one process group."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from infra.settings import Settings
from orchestration.instance import dagster_home
from orchestration.shop import shop_settings

WORKSPACE = Path(__file__).resolve().parent.parent / "workspace.yaml"


def serve_ui(settings: Settings, console: Console) -> int:
    """Serve until Ctrl-C or SIGTERM; code servers that ``dagster dev`` leaves behind end with the group."""
    paths = shop_settings().paths
    home = dagster_home(shop_settings())
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
    time.sleep(1)  # long enough to find the port taken
    if docs.poll() is not None:
        console.print(f"[red]Data Docs cannot be served on port {settings.ui.docs_port}[/]; see {log}.")
        console.print("Name a free port with SHELFWISE_UI__DOCS_PORT.")
        return 1
    # A relative home would move with the code server's working folder.
    environment = os.environ | {"DAGSTER_HOME": str(home), "SHELFWISE_HOME": str(settings.home.expanduser().resolve())}
    dagster = subprocess.Popen(
        [python, "-m", "dagster", "dev", "-w", str(WORKSPACE), "-h", "127.0.0.1", "-p", str(settings.ui.port)],
        env=environment,
        start_new_session=True,
    )
    console.print(f"Dagster http://127.0.0.1:{settings.ui.port}   Data Docs http://127.0.0.1:{settings.ui.docs_port}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return dagster.wait()
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
