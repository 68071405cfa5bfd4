"""Ends a server that nobody uses any more: ``python guard.py FOLDER SECONDS COMMAND...``.

Who uses a server stops it on the way out, unless it is killed: SIGKILL, power, a test runner that loses patience. This
process stays beside the server, looks at the kernel's locks that :mod:`infra.services.supervisor` describes, and runs
COMMAND, which stops the server, where no process has held it in use for SECONDS. It ends with the server.

It is run as a file, without the packages around it: it waits for as long as a server lives, so it imports nothing.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time

LOOKS = 6
"""Looks within the time that a server may be unused."""


def watch(folder: str, seconds: float, command: list[str]) -> None:
    """Watch a server until it is gone. Returns at once where another process watches it already."""
    guard, start, server, users = (_open(f"{folder}/{name}.lock") for name in ("guard", "start", "server", "users"))
    if not _take(guard):
        return
    used_at = time.monotonic()
    while os.path.exists(folder):  # noqa: PTH110 - pathlib takes longer to import than all of this
        # Under start.lock nobody starts a server or begins to use one.
        if _take(start):
            if _take(server):
                return
            if not _take(users):
                used_at = time.monotonic()
            _free(users)
            _free(start)
        if time.monotonic() - used_at >= seconds:
            subprocess.run(command, check=False)  # looks again, and stops nothing that is used
            used_at = time.monotonic()
        time.sleep(seconds / LOOKS)


def _open(path: str) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def _take(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _free(lock: int) -> None:
    fcntl.flock(lock, fcntl.LOCK_UN)


if __name__ == "__main__":
    watch(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
