"""After a run, and every half minute while Dagster is up: write the figures of what ended, and tell what went wrong."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from functools import partial

import dagster as dg

from infra.settings import Settings
from orchestration.disk_use import keep_use
from orchestration.night.ended_run import NIGHTLY, EndedRun
from orchestration.night.figures import write_figures
from orchestration.night.history import ended_since, last_ended, nights_since, scheduled_since
from orchestration.night.notices import Notice, of_missed_night, of_old_live, of_run
from orchestration.night.outbox import Outbox
from orchestration.night.webhook import tell

logger = logging.getLogger("shelfwise.notices")

MEASURED = (*NIGHTLY, "refresh_features")
"""Jobs whose last run has figures."""


def after_run(settings: Settings, instance: dg.DagsterInstance) -> None:
    """What follows a run; whatever goes wrong here is logged, as the run itself is over."""
    for what, follow in (
        ("its figures were not written", lambda: measure(settings, instance)),
        ("nobody was told of it", lambda: look(settings, instance, datetime.now(UTC))),
    ):
        try:
            follow()
        except Exception:
            logger.exception("the run is over, but %s", what)


def measure(settings: Settings, instance: dg.DagsterInstance) -> None:
    """Write the figures of the last run of each job, where there is one."""
    last = [run for job in MEASURED if (run := last_ended(instance, job))]
    succeeded = {run.job: run.ended for job in MEASURED if (run := last_ended(instance, job, successful=True))}
    if last:
        for run in last:
            if run.outcome == "success":
                keep_use(settings, run.job, run.id)
        write_figures(settings, last, succeeded)


def look(settings: Settings, instance: dg.DagsterInstance, now: datetime) -> int:
    """See what happened since the last look and tell it, each thing once; return how many notices still wait."""
    if not settings.webhook.on:
        return 0
    outbox = Outbox(settings)
    with outbox.locked():
        runs = ended_since(instance, outbox.looks_from(now))
        told = [notice for run in runs if (notice := of_run(settings, run))]
        outbox.add([*told, *_late(settings, instance, outbox.began() or now, now)])
        outbox.looked(now)
        outbox.forget_old(now)
        return outbox.deliver(partial(tell, settings.webhook), now)


def after_crash(settings: Settings, run: EndedRun) -> None:
    """Tell of a run that ended Dagster itself, such as by a full disk, and so is not told by its records; whatever goes
    wrong here is logged."""
    notice = of_run(settings, run)
    if not (settings.webhook.on and notice):
        return
    try:
        outbox = Outbox(settings)
        with outbox.locked():
            outbox.add([notice])
            outbox.deliver(partial(tell, settings.webhook), run.ended)
    except Exception:
        logger.exception("nobody was told that the run failed")


def _late(settings: Settings, instance: dg.DagsterInstance, began: datetime, now: datetime) -> list[Notice]:
    """A night that should be over, and a live release that should be younger, while the schedule is on."""
    since = scheduled_since(instance, began if settings.night.scheduled else None)
    if since is None:
        return []
    old = of_old_live(settings, now)
    night = settings.night.latest(now - settings.night.ended_within)
    if night < max(since, began):
        return [old] if old else []
    ended, in_progress = nights_since(instance, night)
    missed = [] if ended else [of_missed_night(settings, night, in_progress=in_progress)]
    return missed + ([old] if old else [])
