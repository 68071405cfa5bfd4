"""The sensor evaluated once on a shop, as Dagster's daemon does: ``python -m tests.orchestration.night.tick``."""

from __future__ import annotations

import sys

import dagster as dg

from orchestration.definitions import defs
from orchestration.instance import dagster_home
from orchestration.sensors import night_watch
from orchestration.shop import shop_settings


def main() -> None:
    """Evaluate it."""
    dagster_home(shop_settings())
    with (
        dg.DagsterInstance.get() as instance,
        dg.build_sensor_context(instance, repository_def=defs.get_repository_def()) as context,
    ):
        sys.stdout.write(f"\nSAID {night_watch.evaluate_tick(context).skip_message}\n")


if __name__ == "__main__":
    main()
