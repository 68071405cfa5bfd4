"""The files of one server in the landing folder: appended to by whole lines, on disk after each append, rotated.

A file's name is its process's alone (``dt=2026-11-28/ubi_events-20261128T093000Z-5f0c1b7e-0001.ndjson``), so that
servers write side by side without a lock. A file is in its place from its first line on: a killed server leaves
nothing to be gathered, and the day that is written now is no finished day to the nightly run in any case.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import secrets
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path

from infra.services import locks
from serving.ubi_log.rows import Source

log = logging.getLogger(__name__)

_NAME = re.compile(r"(ubi_queries|ubi_events)-\d{8}T\d{6}Z-[0-9a-f]{8}-\d{4,}\.ndjson")
BLOCK = 65_536


class DayFile:
    """An append-only file of lines. Close it."""

    def __init__(self, path: Path) -> None:
        """Make it.

        Raises:
            OSError: it exists, or cannot be made.
        """
        # The day's folder alone: a landing folder that went away (a mount) must not come back as an empty one.
        path.parent.mkdir(exist_ok=True)
        self.path = path
        self.size = 0
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        try:
            if locks.AVAILABLE:
                locks.take_exclusive(self._descriptor)  # says that its server lives; see mend_torn_files
            _sync_folder(path.parent)
        except OSError:
            self.close()
            raise

    def append(self, lines: bytes) -> None:
        """Append whole lines and bring them to the disk; all of them, or none.

        Raises:
            OSError: the disk is full, or fails.
        """
        rest = memoryview(lines)
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
            os.fsync(self._descriptor)
        except OSError:
            os.ftruncate(self._descriptor, self.size)
            raise
        self.size += len(lines)

    def moved(self) -> bool:
        """Whether the file is no longer what its path names: it or its folder was taken away or replaced."""
        try:
            named = self.path.stat()
        except OSError:
            return True
        mine = os.fstat(self._descriptor)
        return (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino)

    def close(self) -> None:
        """Close it; where nothing was written, it goes.

        Raises:
            OSError: the folder cannot be written to.
        """
        try:
            if not self.size and not self.moved():
                self.path.unlink()
        finally:
            os.close(self._descriptor)


class DayFiles:
    """The files that a server writes, one per source and day at a time."""

    def __init__(self, folder: Path, max_file_bytes: int, min_free_bytes: int) -> None:
        """``folder``: the landing folder."""
        self._folder = folder
        self._max_file_bytes = max_file_bytes
        self._min_free_bytes = min_free_bytes
        self._server = f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        self._number = 0
        self._open: dict[Source, tuple[date, DayFile]] = {}

    def append(self, source: Source, day: date, lines: bytes) -> None:
        """Append whole lines to the day's file; all of them, or none.

        Raises:
            OSError: the folder cannot be written to, or the disk is full.
        """
        try:
            self._check_room(len(lines))
            self._file(source, day).append(lines)
        except OSError:
            self._close(source)
            raise

    def end_days_before(self, day: date) -> None:
        """Close the files of earlier days: nothing is added to them."""
        for source in [source for source, (of, _) in self._open.items() if of < day]:
            self._close(source)

    def close(self) -> None:
        for source in list(self._open):
            self._close(source)

    def _check_room(self, size: int) -> None:
        free = _free_bytes(self._folder)
        if free is not None and free - size < self._min_free_bytes:
            raise OSError(errno.ENOSPC, f"{free:,} bytes are free, ubi_log.min_free_bytes is {self._min_free_bytes:,}")

    def _file(self, source: Source, day: date) -> DayFile:
        open_now = self._open.get(source)
        if open_now and (open_now[0] != day or open_now[1].size >= self._max_file_bytes or open_now[1].moved()):
            self._close(source)
        if source not in self._open:
            self._number += 1
            name = f"{source}-{self._server}-{self._number:04d}.ndjson"
            self._open[source] = day, DayFile(self._folder / f"dt={day.isoformat()}" / name)
        return self._open[source][1]

    def _close(self, source: Source) -> None:
        if source in self._open:
            self._open.pop(source)[1].close()


def bytes_of_day(folder: Path, day: date) -> int:
    """Size of what servers wrote of a day."""
    return sum(path.stat().st_size for path in _written(folder, day))


def mend_torn_files(folder: Path, days: Iterable[date]) -> list[Path]:
    """Cut a last line without its end off the files of servers that were killed in the middle of a write; those files.

    A file whose server lives is locked, and left alone.
    """
    mended = []
    for day in days:
        for path in _written(folder, day):
            if _mend(path):
                log.warning("%s ended in half a line, which was cut off: its server was killed", path)
                mended.append(path)
    return mended


def _written(folder: Path, day: date) -> list[Path]:
    return sorted(p for p in (folder / f"dt={day.isoformat()}").glob("*.ndjson") if _NAME.fullmatch(p.name))


def _mend(path: Path) -> bool:
    if not locks.AVAILABLE:
        return False
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        if not locks.take_exclusive(descriptor):
            return False
        size = os.fstat(descriptor).st_size
        whole = _end_of_lines(descriptor, size)
        if whole != size:
            os.ftruncate(descriptor, whole)
            os.fsync(descriptor)
        return whole != size
    finally:
        os.close(descriptor)


def _end_of_lines(descriptor: int, size: int) -> int:
    """Where the last whole line ends."""
    end = size
    while end > 0:
        start = max(0, end - BLOCK)
        if (found := os.pread(descriptor, end - start, start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0


def _free_bytes(folder: Path) -> int | None:
    """Free bytes on the folder's disk; None where the system does not say."""
    if not hasattr(os, "statvfs"):
        return None
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize


def _sync_folder(folder: Path) -> None:
    """A file's name is on disk where its folder is."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return  # Windows opens no folders
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
