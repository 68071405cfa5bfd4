"""One run at a time on a shop: two would train into one candidate and promote each other's release."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from infra.settings import Settings

FILE = "run.lock"
PATIENCE = 1.0
"""Seconds: :func:`run_in_progress` holds the lock for a moment, which must not turn a run away."""


class RunInProgress(RuntimeError):  # noqa: N818 - named for the state that it reports
    """Another run has the shop; the message says so to a user."""


@contextmanager
def one_run(settings: Settings) -> Iterator[None]:
    """Have the shop to oneself; the kernel lets go of it where the process is killed.

    Raises:
        RunInProgress: another process has it.
    """
    root = settings.paths.root
    root.mkdir(parents=True, exist_ok=True)
    lock = FileLock(root / FILE)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise RunInProgress(f"Another run works on shop {root.name}: wait for it to end, or stop it.") from None
    with lock:
        lock.release()  # held once, by the block
        yield


def run_in_progress(settings: Settings) -> bool:
    """Whether some process has the shop."""
    file = settings.paths.root / FILE
    if not file.exists():
        return False
    try:
        with FileLock(file, timeout=0):
            return False
    except Timeout:
        return True
