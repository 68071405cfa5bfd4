"""How much memory a server may have, and has."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
"""Of a container, by version 2 and version 1."""


def memory_limit(cgroup: Path = CGROUP) -> int:
    """Bytes: the container's limit, where it has one below the machine's memory; else the machine's memory."""
    of_machine = int(psutil.virtual_memory().total)
    for name in LIMITS:
        file = cgroup / name
        text = file.read_text(encoding="ascii").strip() if file.is_file() else ""
        if text.isdigit():
            return min(int(text), of_machine)
    return of_machine


def used_memory(processes: Iterable[int]) -> int:
    """Bytes in memory of some processes of ours; what several of them share counts once, where the system tells that
    (Linux), else once each."""
    used = 0
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            used += _used(psutil.Process(process))
    return used


def _used(process: psutil.Process) -> int:
    try:
        told = process.memory_full_info()
    except psutil.AccessDenied:  # as macOS does of other processes
        return int(process.memory_info().rss)
    return int(getattr(told, "pss", told.rss))
