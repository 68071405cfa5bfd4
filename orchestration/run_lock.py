"""The lock of a shop as a resource that every step asks for."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date

import dagster as dg

from features.publishing import settle
from infra.run_lock import RunInProgress, one_run
from orchestration.disk_room import NoRoomError, lacking_room, refuse_without_room
from orchestration.disk_use import measured_use
from orchestration.partitions import RANGE_TAGS
from orchestration.shop import shop_settings

logger = logging.getLogger("shelfwise.disk")

KEY = "run_lock"


class RunLock(dg.ConfigurableResource):
    """Held from the first step of a run to its last; before it, what a killed run left half published is finished."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunLock"]:
        settings, run = shop_settings(), context.run
        job, run_id, days = (run.job_name, run.run_id, days_of(run)) if run else ("", "", 1)
        try:
            refuse_without_room(settings, job)
            with one_run(settings):
                if told := lacking_room(settings, job, days):
                    logger.warning("%s", told)
                settle(settings)
                with measured_use(settings, job, run_id, days):
                    yield self
        except (RunInProgress, NoRoomError) as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error


def days_of(run: dg.DagsterRun) -> int:
    """Over how many days a run is; 1 where it names none."""
    first, last = (run.tags.get(tag) for tag in RANGE_TAGS)
    return (date.fromisoformat(last) - date.fromisoformat(first)).days + 1 if first and last else 1
