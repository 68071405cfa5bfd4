"""The lock of a shop as a resource that every step asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from features.publishing import settle
from infra.run_lock import RunInProgress, one_run
from orchestration.shop import shop_settings

KEY = "run_lock"


class RunLock(dg.ConfigurableResource):
    """Held from the first step of a run to its last; before it, what a killed run left half published is finished."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunLock"]:
        try:
            with one_run(shop_settings()):
                settle(shop_settings())
                yield self
        except RunInProgress as error:
            raise dg.Failure(description=str(error), allow_retries=False) from error
