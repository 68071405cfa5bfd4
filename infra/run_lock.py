"""One run at a time on a shop: two would train into one candidate and promote each other's release."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from infra.services.locks import is_held, open_lock, take_exclusive
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
    descriptor = open_lock(root / FILE)
    try:
        if not take_exclusive(descriptor, PATIENCE):
            raise RunInProgress(f"Another run works on shop {root.name}: wait for it to end, or stop it.")
        yield
    finally:
        os.close(descriptor)


def run_in_progress(settings: Settings) -> bool:
    """Whether some process has the shop."""
    return is_held(settings.paths.root / FILE)
