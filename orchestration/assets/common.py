"""What the assets share: owners, retries, progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from orchestration.run_lock import KEY

OWNERS = ["team:search"]

LOCKED = {KEY}
"""Every step needs the shop to itself."""

RETRY = dg.RetryPolicy(max_retries=2, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)
"""For steps that read or write what may be away for a moment: a landing URL, Redis, Milvus."""

SINGLE_RUN = dg.BackfillPolicy.single_run()


@contextmanager
def not_retried(*errors: type[Exception]) -> Iterator[None]:
    """Fail at once on errors that trying again does not mend, with their own sentence."""
    try:
        yield
    except errors as error:
        raise dg.Failure(description=str(error), allow_retries=False) from error


def progress_to(step: str) -> Callable[[str, float], None]:
    """A progress callback that logs, to the terminal and the Dagster UI."""
    logger = logging.getLogger(f"shelfwise.{step}")

    def report(message: str, share: float) -> None:
        logger.info("%3.0f%%  %s", share * 100, message)

    return report
