"""What is to be told and what was: files in the shop's folder, so that nothing is told twice or lost with a process.

``waiting/KEY.json`` is moved to ``told/KEY.json`` once the receiver took it. A process that is killed between the two
tells it again: a receiver sees the same ``key`` (PagerDuty: ``dedup_key``) then. What a full disk does not take is told
at once, by each process that meets it: of all nights, somebody has to know of that one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import TypeAdapter

from infra.contract.partitions import write_json
from infra.settings import Settings
from orchestration.night.notices import Notice
from orchestration.night.webhook import WebhookDownError, WebhookError

logger = logging.getLogger("shelfwise.notices")

FIRST_LOOK = timedelta(days=1)
"""How far back the first look reaches: whoever sets a webhook in the morning is told of the night before."""
OVERLAP = timedelta(minutes=10)
"""How far each look reaches back before the last one: a run is recorded a moment after it ended."""
FIRST_WAIT, LONGEST_WAIT = timedelta(seconds=30), timedelta(minutes=10)
"""Until a message that was not taken is tried again; doubled each time."""
ROUND_S = 20.0
"""Seconds after which a round begins no other message: Dagster ends a sensor's tick after a minute."""
KEPT = timedelta(days=400)
"""What was told longer ago is forgotten."""
_told_past: set[Path] = set()
"""What this process told that could not be written down, by the file that it would lie in."""


class Outbox:
    """The notices of a shop. Used by one process at a time, under :meth:`locked`."""

    def __init__(self, settings: Settings) -> None:
        self._folder = settings.paths.notices
        self._waiting, self._told = self._folder / "waiting", self._folder / "told"
        self._past: list[Notice] = []
        for folder in (self._waiting, self._told):
            folder.mkdir(parents=True, exist_ok=True)

    def locked(self) -> FileLock:
        """The sensor and a run on the command line may look at once."""
        return FileLock(self._folder / "outbox.lock")

    def looks_from(self, now: datetime) -> datetime:
        """From when on a look has to see what happened."""
        state = self._state()
        return datetime.fromisoformat(state["looked"]) - OVERLAP if state else now - FIRST_LOOK

    def began(self) -> datetime | None:
        """When the first look was; None before it."""
        state = self._state()
        return datetime.fromisoformat(state["began"]) if state else None

    def looked(self, now: datetime) -> None:
        """Note that a look was made, after what it saw was added."""
        began = self.began() or now
        self._write(self._folder / "looks.json", {"began": began.isoformat(), "looked": now.isoformat()})

    def add(self, notices: Iterable[Notice]) -> None:
        """Take what is to be told, but for what waits already or was told."""
        for notice in notices:
            name = _name(notice)
            waiting = self._waiting / name
            if waiting.exists() or (self._told / name).exists() or waiting in _told_past:
                continue
            logger.warning("%s", notice.sentence)
            if not self._write(waiting, {"notice": asdict(notice), "attempts": 0, "next": None}):
                self._past.append(notice)

    def deliver(self, tell: Callable[[Notice], None], now: datetime) -> int:
        """Tell what waits and whose time has come, the oldest first; return how many still wait.

        A receiver that is down ends the round; one that refuses a message alone is given the next.
        """
        self._tell_past(tell)
        waiting = sorted(((self._read(file), file) for file in self._waiting.glob("*.json")), key=_by_time)
        left, until = len(waiting), time.monotonic() + ROUND_S
        for entry, file in waiting:
            if time.monotonic() > until:
                break
            if entry["next"] and datetime.fromisoformat(entry["next"]) > now:
                continue
            notice = TypeAdapter(Notice).validate_python(entry["notice"])
            try:
                tell(notice)
            except WebhookError as error:
                attempts = entry["attempts"] + 1
                wait = min(FIRST_WAIT * 2 ** min(attempts - 1, 10), LONGEST_WAIT)
                logger.warning("%s; told again in %.0f s: %s", error, wait.total_seconds(), notice.key)
                self._write(file, {**entry, "attempts": attempts, "next": (now + wait).isoformat()})
                if isinstance(error, WebhookDownError):
                    break
                continue
            file.replace(self._told / file.name)
            left -= 1
        return left

    def forget_old(self, now: datetime) -> None:
        """Remove what was told long ago."""
        for file in self._told.glob("*.json"):
            if datetime.fromtimestamp(file.stat().st_mtime, UTC) < now - KEPT:
                file.unlink(missing_ok=True)

    def _tell_past(self, tell: Callable[[Notice], None]) -> None:
        """What could not be written down: the next look meets it again, where it is not taken now."""
        while self._past:
            notice = self._past.pop(0)
            try:
                tell(notice)
                _told_past.add(self._waiting / _name(notice))
            except WebhookError as error:
                logger.warning("%s; told again at the next look: %s", error, notice.key)

    @staticmethod
    def _write(file: Path, content: Mapping[str, Any]) -> bool:
        try:
            write_json(file, content)
        except OSError as error:
            logger.warning("%s cannot be written: %s", file, error.strerror or error)
            return False
        return True

    def _state(self) -> dict[str, str]:
        file = self._folder / "looks.json"
        return self._read(file) if file.exists() else {}

    @staticmethod
    def _read(file: Path) -> dict[str, Any]:
        return dict(json.loads(file.read_text(encoding="utf-8")))


def _name(notice: Notice) -> str:
    return f"{notice.kind}-{hashlib.sha256(notice.key.encode()).hexdigest()[:24]}.json"


def _by_time(entry: tuple[dict[str, Any], Path]) -> tuple[str, str]:
    return str(entry[0]["notice"]["at"]), entry[1].name
