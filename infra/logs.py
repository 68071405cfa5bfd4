"""One line of JSON per record of the log, where ``log.format`` asks for it.

By the standard library: uvicorn, Dagster and the other libraries log through it, so that one formatter is all it takes.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any

from infra.settings import Settings

ROOMS = ("shelfwise", "serving", "orchestration", "features", "training", "infra", "demoshop")
"""Loggers of ours, of which information is logged too; of others, warnings."""
Ids = Mapping[str, Any]

_ids: ContextVar[Ids] = ContextVar("shelfwise_log_ids", default=MappingProxyType({}))


@contextmanager
def logged_with(**ids: Any) -> Iterator[None]:
    """Ids that every record of the block carries, in this thread and in tasks that it begins."""
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def current_ids() -> Ids:
    """The ids of the blocks that this is in, for another process that goes on with it."""
    return _ids.get()


class JsonLines(logging.Formatter):
    """Time, level, logger, message; the shop, and the run, step, release and request where the record is of one.

    A record brings fields of its own as ``extra={"fields": {...}}``.
    """

    def __init__(self, shop: str, ids: Callable[[], Ids] = dict) -> None:
        """``ids`` is asked at each record for what changes while the process runs."""
        super().__init__()
        self._shop = shop
        self._now = ids

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        dagster: Mapping[str, Any] = getattr(record, "dagster_meta", None) or {}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": dagster.get("orig_message") or record.getMessage(),
            "shop": self._shop,
            **self._now(),
            **{ours: dagster[theirs] for ours, theirs in _OF_DAGSTER.items() if dagster.get(theirs)},
            **_ids.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0]:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: value for name, value in line.items() if value is not None}, default=str)


_OF_DAGSTER = {"run": "run_id", "job": "job_name", "step": "step_key"}


def log_as_json(settings: Settings, ids: Callable[[], Ids] = dict) -> None:
    """Write the records of this process as lines of JSON on standard error, uncaught errors and warnings included."""
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(JsonLines(settings.shop_name, ids))
    lines.setLevel(logging.INFO)  # whatever level a library gives its own logger
    root = logging.getLogger()
    root.handlers = [lines]
    root.setLevel(logging.WARNING)
    for room in ROOMS:
        logging.getLogger(room).setLevel(logging.INFO)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
        return
    logging.getLogger("shelfwise").critical("stopped by %s", kind.__name__, exc_info=(kind, error, trace))
