"""What Dagster is told of versions: that of each step's code, and that of the data which it wrote.

Both are those by which the steps themselves decide what is current, so that the UI calls stale what a run would build.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_IS_USER_PROVIDED_TAG, DATA_VERSION_TAG

import demoshop.landing
import features.day_report
import features.freshness
import features.training_set
import training.data.array_builder
import training.release.manifest
import training.text.pretraining
from infra.contract.content import step_key
from orchestration.partitions import DAYS

CODE_VERSIONS: Mapping[str, tuple[int, ...]] = {
    "landing": (demoshop.landing.VERSION,),
    "catalog": (2,),
    "sessions": (features.day_report.VERSION,),
    "user_features": (features.freshness.VERSION,),
    "item_features": (features.freshness.VERSION,),
    "query_features": (features.freshness.VERSION,),
    "accepted_days": (1,),
    "online_features": (1,),
    "training_set": (features.training_set.VERSION,),
    "text_encoder": (training.text.pretraining.VERSION,),
    "towers": (training.data.array_builder.FORMAT, 2),
    "quality_prior": (1,),
    "ranker": (5,),
    "index_tuning": (1,),
    "evaluation": (6,),
    "catalog_release": (3,),
    "release": (training.release.manifest.SCHEMA_VERSION, 3),
    "item_index": (1,),
    "live": (1,),
    "sample_results": (1,),
}
"""By asset: raised when the same input gives another output. A step that keeps what is current has its version beside
its code and uses it in its own key; one that runs whenever it is asked has it here."""


def code_version(asset: str) -> str:
    """The version of an asset's code, as Dagster has it."""
    return ".".join(map(str, CODE_VERSIONS[asset]))


def data_version(*content: object) -> dg.DataVersion:
    """A data version that changes where ``content`` (keys, ids, JSON) does."""
    return dg.DataVersion(step_key(0, content))


def by_day(
    context: dg.AssetExecutionContext,
    result: dg.MaterializeResult,
    versions: Mapping[date, dg.DataVersion],
    rows: Mapping[date, int] | None = None,
) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
    """The result of a step over days, then each day with a data version of its own.

    Dagster gives all days of a run the one version of its result, and knows of no day that the step built beside them.

    Args:
        versions: what each day holds, of the run's days and of the others that were built.
        rows: of the days that were built.
    """
    yield result
    event = context.instance.get_latest_materialization_event(context.asset_key)
    assert event is not None and event.asset_materialization is not None
    tags = {**(event.asset_materialization.tags or {}), DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
    known, counts = set(DAYS.get_partition_keys()), rows or {}
    for day in sorted(day for day in versions if str(day) in known):
        yield dg.AssetMaterialization(
            context.asset_key,
            partition=str(day),
            metadata={"dagster/row_count": counts[day]} if day in counts else None,
            tags={**tags, DATA_VERSION_TAG: versions[day].value},
        )
