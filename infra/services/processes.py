"""Other processes, whether or not they are still there: by their id, and by the log of a server."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil

LOG_TAIL_LINES = 20


def send_signal(pid: int, sign: signal.Signals) -> None:
    """Send a signal; nothing happens where there is no such process any more."""
    with suppress(ProcessLookupError):
        os.kill(pid, sign)


def started_at(pid: int) -> float | None:
    """When a process was started, or None if there is no such process; tells a process from a later one of its id."""
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None


def log_tail(folder: Path) -> str:
    """The last lines of the log of a server on ``folder``; empty where it has none."""
    log = folder / "server.log"
    if not log.exists():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_TAIL_LINES:])
