"""Group features: user, item and query features by day, and the online store."""

from collections.abc import Callable, Iterable, Iterator
from datetime import date
from pathlib import Path

import dagster as dg

from features.data_end import data_end
from features.snapshots import (
    DayCount,
    build_item_features,
    build_query_features,
    build_user_features,
    days_to_build,
)
from features.store import materialize
from infra.contract.content import content_key
from infra.contract.partitions import part_files, table_files, written_days
from infra.contract.tables import FEATURE_TABLES, SESSION_TABLES
from infra.settings import Settings
from orchestration.assets.common import LOCKED, OWNERS, RETRY, SINGLE_RUN, progress_to
from orchestration.assets.raw import catalog, sessions
from orchestration.metadata import rounded, table
from orchestration.partitions import DAYS
from orchestration.shop import shop_settings
from orchestration.versions import by_day, code_version, data_version

Build = Callable[[Settings, list[date], Callable[[str, float], None] | None], list[DayCount]]


Days = Iterator[dg.MaterializeResult | dg.AssetMaterialization]


def daily(name: str) -> Callable[[Callable[[dg.AssetExecutionContext], Days]], dg.AssetsDefinition]:
    """Decorator of a feature view, built by day."""
    return dg.asset(
        group_name="features",
        kinds={"duckdb", "parquet"},
        owners=OWNERS,
        code_version=code_version(name),
        required_resource_keys=LOCKED,
        retry_policy=RETRY,
        deps=[sessions, catalog],
        partitions_def=DAYS,
        backfill_policy=SINGLE_RUN,
    )


def build(context: dg.AssetExecutionContext, builder: Build) -> Days:
    """Build every day that does not follow from the sessions in place: those of the run, those that read a day which
    came late or again, and those that a stopped run left out."""
    settings = shop_settings()
    name = context.asset_key.to_user_string()
    view = name.removesuffix("_features")
    counts = builder(settings, days_to_build(settings, view), progress_to(name))
    rows = {count.day: count.rows for count in counts}
    result: dg.MaterializeResult = dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(rows.values()),
            "days built": len(counts),
            "rows by day": table([{"day": str(day), "rows": n} for day, n in rows.items()]),
        }
    )
    asked = map(date.fromisoformat, context.partition_keys)
    files = {day: part_files(settings.paths.features / view, day) for day in {*rows, *asked}}
    versions = {day: data_version(content_key(held, settings.paths.root)) for day, held in files.items()}
    yield from by_day(context, result, versions, rows)


@daily("user_features")
def user_features(context: dg.AssetExecutionContext) -> Days:
    """Each user's history after each moment at which something of theirs became known."""
    yield from build(context, build_user_features)


@daily("item_features")
def item_features(context: dg.AssetExecutionContext) -> Days:
    """Behaviour of each item over the windows that end at the snapshot."""
    yield from build(context, build_item_features)


@daily("query_features")
def query_features(context: dg.AssetExecutionContext) -> Days:
    """How often each query comes and what it leads to."""
    yield from build(context, build_query_features)


@dg.asset(
    group_name="features",
    kinds={"parquet"},
    owners=OWNERS,
    code_version=code_version("accepted_days"),
    required_resource_keys=LOCKED,
    deps=[sessions, user_features, item_features, query_features],
)
def accepted_days() -> dg.MaterializeResult:
    """Sessions and features of all accepted days as one version: what reads more than a day depends on it.

    Dagster follows no data version from the days of an asset to one that has none.
    """
    paths = shop_settings().paths
    days = written_days(paths.sessions / "requests")
    return dg.MaterializeResult(
        metadata={"days": len(days)} | ({"first day": str(days[0]), "last day": str(days[-1])} if days else {}),
        data_version=data_version(all_days(paths.sessions, SESSION_TABLES), all_days(paths.features, FEATURE_TABLES)),
    )


@dg.asset(
    group_name="features",
    kinds={"redis", "feast"},
    owners=OWNERS,
    code_version=code_version("online_features"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[accepted_days],
)
def online_features() -> dg.MaterializeResult:
    """The newest state of each user, item and query in Redis, through Feast: what changed since the last time."""
    settings = shop_settings()
    report = materialize(settings, until=data_end(settings))
    return dg.MaterializeResult(
        data_version=data_version(report.until.isoformat(), all_days(settings.paths.features, FEATURE_TABLES)),
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
        },
    )


def all_days(folder: Path, tables: Iterable[str]) -> str:
    """Key of what tables hold."""
    return content_key((file for name in tables for file in table_files(folder / name)), folder)
