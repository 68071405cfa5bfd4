"""Steps of a run as lines on the terminal."""

from __future__ import annotations

import logging
from typing import Any

import dagster as dg

STARTED = dg.DagsterEventType.STEP_START.value
ENDED = {dg.DagsterEventType.STEP_SUCCESS.value: "done", dg.DagsterEventType.STEP_FAILURE.value: "failed"}
logger = logging.getLogger("shelfwise.run")


class StepLines(logging.Handler):
    """Passes the start and end of each step on to our own log; the rest of Dagster's events is in its UI."""

    def emit(self, record: logging.LogRecord) -> None:
        event = getattr(record, "dagster_meta", {}).get("dagster_event")
        if event is None or event.step_key is None:
            return
        if event.event_type_value == STARTED:
            logger.info("%s started", event.step_key)
        elif event.event_type_value in ENDED:
            logger.info("%s %s", event.step_key, ENDED[event.event_type_value])


@dg.logger(config_schema=dg.Noneable(dict), description="The start and end of each step, on the terminal.")
def terminal(_: Any) -> logging.Logger:
    """A Dagster logger that shows steps and nothing else."""
    steps = logging.Logger("dagster.terminal", logging.DEBUG)
    steps.addHandler(StepLines())
    return steps
