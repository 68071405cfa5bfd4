"""What a run takes of the disk at its most, remembered for the next one of its job.

Two checkpoints of a training lie beside each other for a while, and are gone when the run ends: what a run leaves says
little of what it needs.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from infra.contract.partitions import write_json
from infra.settings import Settings

logger = logging.getLogger("shelfwise.disk")

EVERY_S = 1.0
"""Between two looks at the shop's folder: what lies there for a moment counts."""
LONGEST_SHARE = 0.02
"""Of a run's time, at most, goes into looking: where the folder has many files, looks are rarer."""
BLOCK = 512
"""Bytes of one of ``st_blocks``."""


@dataclass(frozen=True)
class DiskUse:
    """What a run took beyond what was there when it began, in bytes."""

    run: str
    most: int
    """At its most."""
    days: int
    """Over how many days it was."""
    a_day: int
    """Mean size of what is kept by day, of one day."""

    def of(self, days: int) -> int:
        """What a run over so many days takes: a first one over a month does not stand for every night."""
        return max(self.most - self.days * self.a_day, 0) + days * self.a_day


@contextmanager
def measured_use(settings: Settings, job: str, run: str, days: int) -> Iterator[None]:
    """Watch the shop's folder during a run; what it took is kept where :func:`keep_use` says that it went through."""
    began, _ = _size(settings.paths.root)
    most, ended = began, threading.Event()

    def watch() -> None:
        nonlocal most
        wait = EVERY_S
        while not ended.wait(wait):
            looked = time.perf_counter()
            most = max(most, _size(settings.paths.root)[0])
            wait = max(EVERY_S, (time.perf_counter() - looked) / LONGEST_SHARE)

    thread = threading.Thread(target=watch, name="shelfwise-disk-use", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        size, a_day = _size(settings.paths.root)
        try:
            write_json(_of_last(settings, job), asdict(DiskUse(run, max(most, size) - began, days, a_day)))
        except OSError as error:
            logger.warning("what the run took of the disk is not remembered: %s", error.strerror or error)


def keep_use(settings: Settings, job: str, run: str) -> None:
    """What a run took is what the next one needs: it went through."""
    last = _of_last(settings, job)
    found = _read(last)
    if found and found.run == run:
        last.replace(_kept(settings, job))


def known_use(settings: Settings, job: str) -> DiskUse | None:
    """What the last run of a job took that went through; None before one did."""
    return _read(_kept(settings, job))


def _size(root: Path) -> tuple[int, int]:
    """Bytes on the disk under a folder, and the mean of a day of what is kept by day."""
    total, of_days, days = 0, 0, set[str]()
    for folder, _, names in os.walk(root):
        day = next((part for part in Path(folder).parts if part.startswith("dt=")), None)
        size = sum(map(_blocks, (os.path.join(folder, name) for name in names))) * BLOCK  # noqa: PTH118 - in a hurry
        total += size
        if day:
            days.add(day)
            of_days += size
    return total, of_days // max(len(days), 1)


def _blocks(file: str) -> int:
    try:
        return os.lstat(file).st_blocks
    except FileNotFoundError:
        return 0


def _read(file: Path) -> DiskUse | None:
    try:
        return DiskUse(**json.loads(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        logger.warning("what a run needs of the disk is not known, %s: %s", file, error)
        return None


def _kept(settings: Settings, job: str) -> Path:
    return settings.paths.reports / "disk" / f"{job}.json"


def _of_last(settings: Settings, job: str) -> Path:
    return settings.paths.reports / "disk" / f"{job}.last.json"
