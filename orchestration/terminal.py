"""A run on the terminal: the start and end of each step, and how far it is."""

from __future__ import annotations

import logging
import time
from typing import Any

import dagster as dg
from rich.console import Console
from rich.markup import escape

from infra.logs import JsonLines
from infra.settings import get_settings
from orchestration.plain_console import PlainConsole

STARTED = dg.DagsterEventType.STEP_START.value
ENDED = {
    dg.DagsterEventType.STEP_SUCCESS.value: "[green]done[/]",
    dg.DagsterEventType.STEP_FAILURE.value: "[red]failed[/]",
}
EVERY_SECONDS = 5.0
"""Progress of one step is shown at most this often; warnings are, always."""


class StepLines(logging.Handler):
    """Prints steps (from Dagster's events) and progress (from our own log, which reaches Dagster as messages)."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._began = time.monotonic()
        self._started: dict[str, float] = {}
        self._shown = 0.0

    def emit(self, record: logging.LogRecord) -> None:
        meta = getattr(record, "dagster_meta", {})
        event = meta.get("dagster_event")
        now = time.monotonic()
        if event is None:
            if record.levelno >= logging.WARNING or (
                record.levelno >= logging.INFO and now - self._shown >= EVERY_SECONDS
            ):
                self._shown = now
                self._line(f"  [dim]{escape(meta.get('orig_message', record.getMessage()))}[/]")
        elif event.event_type_value == STARTED:
            self._started[event.step_key] = self._shown = now
            self._line(f"{event.step_key} started")
        elif event.event_type_value in ENDED:
            seconds = now - self._started.pop(event.step_key, now)
            self._line(f"{event.step_key} {ENDED[event.event_type_value]} in {seconds:.1f} s")

    def _line(self, text: str) -> None:
        elapsed = int(time.monotonic() - self._began)
        self._console.print(f"[dim]{elapsed // 60:02d}:{elapsed % 60:02d}[/] {text}", highlight=False, soft_wrap=True)


@dg.logger(config_schema=dg.Noneable(dict), description="Steps and their progress on the terminal.")
def terminal(_: Any) -> logging.Logger:
    """A Dagster logger that prints what a person waits for; everything else is in the UI."""
    settings = get_settings()
    steps = logging.Logger("dagster.terminal", logging.INFO if settings.log.format == "json" else logging.DEBUG)
    if settings.log.format == "json":
        lines = logging.StreamHandler()
        lines.setFormatter(JsonLines(settings.shop_name))
        steps.addHandler(lines)
    else:
        steps.addHandler(StepLines(PlainConsole()))
    return steps
