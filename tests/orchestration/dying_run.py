"""The main job from one step on, in a process that kills itself once a function returned for the n-th time.

``python -m tests.orchestration.dying_run STEP [N TARGET...]``, a target being ``module:name`` or ``module:Class.name``.
"""

from __future__ import annotations

import functools
import importlib
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import dagster as dg

from orchestration.definitions import defs
from orchestration.failures import failures
from orchestration.instance import dagster_home
from orchestration.shop import shop_settings


def die_after(calls: int, targets: list[str]) -> None:
    """Let the process end as by ``kill -9`` when the functions ``targets`` returned ``calls`` times in all."""
    returned = 0

    def dying(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapped(*given: Any, **named: Any) -> Any:
            nonlocal returned
            result = function(*given, **named)
            returned += 1
            if returned == calls:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapped

    for target in targets:
        module, _, path = target.partition(":")
        *holders, name = path.split(".")
        holder = functools.reduce(getattr, holders, importlib.import_module(module))
        setattr(holder, name, dying(getattr(holder, name)))


def main(step: str, calls: str = "0", *targets: str) -> int:
    """Run ``step`` and all that follows from it, with the checks."""
    die_after(int(calls), list(targets))
    dagster_home(shop_settings())
    job = dg.define_asset_job("rest", selection=dg.AssetSelection.assets(step).downstream())
    with dg.DagsterInstance.get() as instance:
        result = (
            dg.Definitions.merge(defs, dg.Definitions(jobs=[job]))
            .resolve_job_def("rest")
            .execute_in_process(instance=instance, raise_on_error=False)
        )
    sys.stdout.write("\n".join(failures(result.all_events)))
    return 0 if result.success else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
