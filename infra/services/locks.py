"""Kernel locks on files: released by the kernel however their holder ends, SIGKILL included.

Our own rather than ``filelock``'s, which has no lock that is shared by several holders and turned into one held alone,
and none that a server inherits: the leases of embedded servers need both. Everything else takes ``filelock``.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # Windows: servers by URL are used all the same
    AVAILABLE = False
else:
    AVAILABLE = True


def open_lock(path: Path) -> int:
    """Open (and make) a lock file; the descriptor is not inherited by child processes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def take_exclusive(descriptor: int, timeout: float = 0.0) -> bool:
    """Whether the lock could be taken alone within ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.01)


def take_shared(descriptor: int) -> None:
    """Take the lock together with others; waits for a holder that has it alone."""
    fcntl.flock(descriptor, fcntl.LOCK_SH)


def is_held(path: Path) -> bool:
    """Whether some process holds the lock, shared or alone."""
    if not path.exists():
        return False
    descriptor = open_lock(path)
    try:
        return not take_exclusive(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def mutex(path: Path) -> Iterator[None]:
    """Hold the lock alone, after waiting for whoever has it."""
    descriptor = open_lock(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
