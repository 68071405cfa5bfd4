"""Group features: user, item and query features by day, and the online store."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta

import dagster as dg

from features.snapshots import (
    DayCount,
    build_item_features,
    build_query_features,
    build_user_features,
    days_to_build,
)
from features.store import materialize
from infra.contract.partitions import written_days
from infra.settings import Settings
from orchestration.assets.common import LOCKED, OWNERS, RETRY, SINGLE_RUN, progress_to
from orchestration.assets.raw import catalog, sessions
from orchestration.metadata import rounded, table
from orchestration.partitions import DAYS
from orchestration.shop import shop_settings

daily = dg.asset(
    group_name="features",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[sessions, catalog],
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
)
"""A feature view, built by day."""

Build = Callable[[Settings, list[date], Callable[[str, float], None] | None], list[DayCount]]


def build(context: dg.AssetExecutionContext, builder: Build) -> dg.MaterializeResult:
    """Build every day that does not follow from the sessions in place: those of the run, those that read a day which
    came late or again, and those that a stopped run left out."""
    settings = shop_settings()
    name = context.asset_key.to_user_string()
    counts = builder(settings, days_to_build(settings, name.removesuffix("_features")), progress_to(name))
    rows = sum(count.rows for count in counts)
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": rows,
            "days built": len(counts),
            "rows by day": table([{"day": str(count.day), "rows": count.rows} for count in counts]),
        }
    )


@daily
def user_features(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Each user's history after each moment at which something of theirs became known."""
    return build(context, build_user_features)


@daily
def item_features(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """Behaviour of each item over the windows that end at the snapshot."""
    return build(context, build_item_features)


@daily
def query_features(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
    """How often each query comes and what it leads to."""
    return build(context, build_query_features)


@dg.asset(
    group_name="features",
    kinds={"redis", "feast"},
    owners=OWNERS,
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[user_features, item_features, query_features],
)
def online_features() -> dg.MaterializeResult:
    """The newest state of each user, item and query in Redis, through Feast: what changed since the last time."""
    settings = shop_settings()
    report = materialize(settings, until=data_end(settings))
    return dg.MaterializeResult(
        metadata={
            "until": report.until.isoformat(),
            "seconds": rounded(report.seconds),
            "views": table(
                [
                    {
                        "view": name,
                        "written": view.rows,
                        "removed": view.removed,
                        "since": view.since.isoformat(),
                        "all again": "yes" if view.rebuilt else "no",
                    }
                    for name, view in report.views.items()
                ]
            ),
        }
    )


def data_end(settings: Settings) -> datetime:
    """The end of the last accepted day: what the features in place know up to."""
    last = written_days(settings.paths.sessions / "requests")[-1]
    return datetime.combine(last + timedelta(days=1), time(), UTC)
