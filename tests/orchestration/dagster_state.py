"""What Dagster has recorded of a shop, as JSON: ``python -m tests.orchestration.dagster_state [RAISED | FIRST LAST]``.

With a name: as if the code of that asset had a new version. With two days: after a run of ``refresh_features`` on them.
"""

from __future__ import annotations

import json
import sys
from datetime import date
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from orchestration.definitions import defs
from orchestration.instance import dagster_home
from orchestration.partitions import range_tags
from orchestration.shop import shop_settings

WORK = ("built before", "days built")


def state(instance: dg.DagsterInstance, raised: str | None = None) -> dict[str, dict[str, Any]]:
    """By asset, or asset and day: ``version`` of its data, why it is ``stale``, and what the last run of it built."""

    def with_version(spec: dg.AssetSpec) -> dg.AssetSpec:
        return spec.replace_attributes(code_version="raised") if spec.key.to_user_string() == raised else spec

    graph = defs.map_asset_specs(func=with_version).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    found: dict[str, dict[str, Any]] = {}
    for key in graph.get_all_asset_keys():
        name, days = key.to_user_string(), graph.get(key).partitions_def
        for day in days.get_partition_keys() if days else [None]:
            if resolver.get_status(key, day) is not StaleStatus.MISSING:
                found[f"{name} {day}" if day else name] = {
                    "version": resolver.get_current_data_version(key, day).value,
                    "stale": [cause.reason for cause in resolver.get_stale_causes(key, day)],
                }
        records = instance.fetch_materializations(key, limit=100).records
        metadata = [r.asset_materialization.metadata for r in records if r.asset_materialization]
        found[name] = found.get(name, {}) | {
            what: next((m[what].value for m in metadata if what in m), None) for what in WORK
        }
    return found


def main(*arguments: str) -> None:
    """Print the state."""
    dagster_home(shop_settings())
    with dg.DagsterInstance.get() as instance:
        if len(arguments) == 2:
            first, last = map(date.fromisoformat, arguments)
            job = defs.resolve_job_def("refresh_features")
            assert job.execute_in_process(instance=instance, tags=range_tags(first, last)).success
        sys.stdout.write(f"\nSTATE {json.dumps(state(instance, *arguments[:1] if len(arguments) == 1 else ()))}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
