"""A bounded queue and a thread that writes it: an answer never waits for the disk."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from infra.settings import Settings, UbiLogSettings
from serving.ubi_log.day_files import DayFiles, bytes_of_day, mend_torn_files
from serving.ubi_log.rows import Source, line_of

log = logging.getLogger(__name__)

RETRY_S = 1.0
REMIND_S = 60.0
"""Between two log lines while rows cannot be written."""
CLOSE_S = 10.0
"""Longest that a server that stops waits for its rows to be written."""
QUEUE_FULL, DAY_FULL = "queue_full", "day_full"


class UbiLogError(ValueError):
    """There is no folder that the log can be written to; the message says which setting to set."""


def log_folder(settings: Settings) -> Path | None:
    """Where the log is written; None where the settings say that none is.

    Raises:
        UbiLogError: no folder is named, or it is not one of this machine.
    """
    if not settings.ubi_log.enabled:
        return None
    if settings.ubi_log.folder is not None:
        folder = settings.ubi_log.folder.expanduser()
    elif settings.landing is None:
        raise UbiLogError(
            "the demo shop makes its own logs: name your shop's folder with --data (SHELFWISE_LANDING), which the log"
            " is written to and read from, or leave SHELFWISE_UBI_LOG__ENABLED off"
        )
    elif "://" in settings.landing:
        raise UbiLogError(
            f"{settings.landing} is no folder of this machine, and rows are appended as they come: set"
            " SHELFWISE_UBI_LOG__FOLDER to a folder that is brought there once its day is over (UTC)"
        )
    else:
        folder = Path(settings.landing).expanduser()
    if not folder.is_dir():
        raise UbiLogError(f"there is no folder {folder} to write the log to: make it, or set SHELFWISE_UBI_LOG__FOLDER")
    return folder


@dataclass(frozen=True)
class Waiting:
    """A line that is not on disk yet."""

    source: Source
    line: bytes


class UbiLog:
    """The log of one server; safe to share between threads. Close it.

    What is appended is on disk within ``settings.flush_seconds`` and the time of one fsync. Where the folder cannot be
    written to, rows wait in memory, up to ``settings.max_waiting_bytes``, and are written once it can be; what comes
    beyond is dropped and counted.
    """

    def __init__(
        self, folder: Path, settings: UbiLogSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Mend what a killed server left in the folder, and begin to write.

        Args:
            folder: the landing folder.
            now: the clock that says which day it is.
        """
        self._settings = settings
        self._now = now
        self._files = DayFiles(folder, settings.max_file_bytes, settings.min_free_bytes)
        self._folder = folder
        self._wake = threading.Condition()
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        self._closing = False
        self._rows: dict[Source, int] = {"ubi_queries": 0, "ubi_events": 0}
        self._dropped = {QUEUE_FULL: 0, DAY_FULL: 0}
        self._bytes = 0
        self._day = now().date()
        self._day_bytes = bytes_of_day(folder, self._day)
        self._problem: str | None = None
        self._said = float("-inf")
        mend_torn_files(folder, [self._day - timedelta(days=1), self._day])
        self._thread = threading.Thread(target=self._keep_writing, name="shelfwise-ubi-log", daemon=True)
        self._thread.start()

    @property
    def problem(self) -> str | None:
        """Why rows cannot be written now; None where they can."""
        return self._problem

    def append_all(self, source: Source, rows: Sequence[Mapping[str, Any]]) -> int:
        """Queue rows; how many: the others were dropped, because the queue or the day is full.

        Raises:
            ValueError: one of them is no JSON, see :func:`line_of`; none is queued then.
        """
        lines = [line_of(row) for row in rows]
        return sum(self._append(source, line) for line in lines)

    def _append(self, source: Source, line: bytes) -> bool:
        with self._wake:
            if self._closing or self._waiting_bytes + len(line) > self._settings.max_waiting_bytes:
                self._dropped[QUEUE_FULL] += 1
                return False
            if self._today_bytes() + self._waiting_bytes + len(line) > self._settings.max_day_bytes:
                self._dropped[DAY_FULL] += 1
                return False
            self._waiting.append(Waiting(source, line))
            self._waiting_bytes += len(line)
            if len(self._waiting) == 1:
                self._wake.notify()
        return True

    def statistics(self) -> dict[str, Any]:
        """What was written, what waits and what was dropped since the start."""
        with self._wake:
            return {
                "rows": dict(self._rows),
                "dropped": dict(self._dropped),
                "bytes": self._bytes,
                "waiting_bytes": self._waiting_bytes,
                "failing": self._problem is not None,
            }

    def close(self) -> None:
        """Write what waits, for at most ``CLOSE_S`` seconds."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(CLOSE_S)
        if left := self._waiting:
            log.error("%d rows of the log are lost: %s", len(left), self._problem or "the disk is too slow")
        if not self._thread.is_alive():
            self._files.close()

    def _today_bytes(self) -> int:
        return self._day_bytes if self._now().date() == self._day else 0

    def _keep_writing(self) -> None:
        gave_up_at: float | None = None
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._closing, timeout=self._seconds_to_midnight())
                # Lines that come together are brought to the disk together.
                self._wake.wait_for(
                    lambda: self._closing, timeout=self._settings.flush_seconds if self._waiting else 0.0
                )
                batch, closing = list(self._waiting), self._closing
            written = self._write(batch)
            if closing:
                gave_up_at = gave_up_at or time.monotonic() + CLOSE_S - 2 * RETRY_S
                if (written and not self._waiting) or time.monotonic() > gave_up_at:
                    return
            if not written:
                time.sleep(RETRY_S)

    def _seconds_to_midnight(self) -> float:
        now = self._now()
        tomorrow = datetime.combine(now.date() + timedelta(days=1), datetime.min.time(), now.tzinfo)
        return max(0.01, (tomorrow - now).total_seconds())

    def _write(self, batch: list[Waiting]) -> bool:
        """Write the rows of a batch into the folder of this moment's day: a day gets nothing once it is over. Whether
        all of them are on disk."""
        try:
            day = self._now().date()
            if day != self._day:
                self._day, self._day_bytes = day, 0
                self._files.end_days_before(day)
            # Queries first: an event that is on disk names a query that is.
            for source in self._rows:
                lines = [one.line for one in batch if one.source == source]
                if lines:
                    self._files.append(source, day, b"".join(lines))
                    self._wrote(source, len(lines), sum(map(len, lines)))
        except OSError as error:
            self._fails(error)
            return False
        except Exception:
            # The thread must live: without it nothing is written until the server starts again.
            log.exception("the log could not be written")
            return False
        if self._problem is not None and batch:
            log.warning("the log is written again; %d rows were dropped so far", sum(self._dropped.values()))
            self._problem, self._said = None, float("-inf")
        return True

    def _wrote(self, source: Source, rows: int, size: int) -> None:
        with self._wake:
            left = rows
            kept = []
            for one in self._waiting:
                if one.source == source and left:
                    left -= 1
                else:
                    kept.append(one)
            self._waiting = kept
            self._waiting_bytes -= size
            self._rows[source] += rows
            self._bytes += size
            self._day_bytes += size

    def _fails(self, error: OSError) -> None:
        self._problem = f"{self._folder} cannot be written to: {error.strerror or error}"
        if time.monotonic() - self._said >= REMIND_S:
            self._said = time.monotonic()
            log.error(
                "the log waits in memory, searches are answered: %s (%d bytes wait, %d rows were dropped)",
                self._problem,
                self._waiting_bytes,
                sum(self._dropped.values()),
            )
