"""One run at a time on a shop: two would train into one candidate and promote each other's release."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg
from filelock import FileLock, Timeout

from orchestration.shop import shop_settings

KEY = "run_lock"


class RunLock(dg.ConfigurableResource):
    """Held from the first step of a run to its last; the kernel lets go of it where the run is killed."""

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator["RunLock"]:
        root = shop_settings().paths.root
        root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(root / "run.lock", timeout=0):
                yield self
        except Timeout:
            raise dg.Failure(
                description=f"Another run works on shop {root.name}: wait for it to end, or stop it.",
                allow_retries=False,
            ) from None  # the lock's own error says less
