"""Group raw: logs by day, catalogue, clean sessions."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import dagster as dg

from demoshop.judged import judged_catalog, make_judged_landing
from demoshop.landing import make_landing
from features import quality
from features.bots import largest
from features.build_sessions import build_sessions, days_of_other_aliases, days_with_readers
from features.catalog import CatalogError, build_catalog
from features.day_report import DayReport, totals
from features.landing import LandingError, landing_days, unread_in_landing
from features.publishing import forget_other_days
from features.rebuilt_requests import rebuilt_told
from infra.contract.content import content_key, file_hash
from infra.contract.names import INTERACTIONS
from infra.contract.partitions import part_files
from infra.contract.tables import SESSION_TABLES
from infra.settings import Settings, get_settings
from orchestration.assets.common import LOCKED, OWNERS, RETRY, SINGLE_RUN, not_retried, progress_to
from orchestration.metadata import bar_plot, table
from orchestration.partitions import DAYS, landed_days, landed_files
from orchestration.shop import Source, claim_shop, shop_settings, source
from orchestration.versions import by_day, code_version, data_version


@dg.asset(
    group_name="raw",
    kinds={"parquet"},
    owners=OWNERS,
    code_version=code_version("landing"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
)
def landing(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
    """Raw logs by day: the landing folder that is set, else what the demo shop makes."""
    settings = shop_settings()
    given = get_settings().landing
    kind = source(get_settings())
    with not_retried(LandingError):
        claim_shop(settings, given)
        if kind is Source.DEMO:
            make_landing(settings, progress_to("landing"))
        elif kind is Source.JUDGED and given is not None:
            make_judged_landing(settings, judged_catalog(given), Path(given) / "qrels.tsv", progress_to("landing"))
        days = landing_days(settings)
        if kind is not Source.GIVEN:
            forget_other_days(settings, days)
        asked = set(map(date.fromisoformat, context.partition_keys))
        landed = landed_files(settings, asked)
    versions = {day: data_version(landed[day].fingerprint if day in landed else None) for day in asked}
    result: dg.MaterializeResult = dg.MaterializeResult(
        metadata={
            "source": kind.value,
            "folder": given if kind is Source.GIVEN and given else str(settings.paths.landing),
            "days": len(days),
            "first day": days[0].isoformat(),
            "last day": days[-1].isoformat(),
            "not read": "; ".join(f"{name}: {why}" for name, why in unread_in_landing(settings).items()) or "none",
        },
    )
    yield from by_day(context, result, versions)


@dg.asset(
    group_name="raw",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    code_version=code_version("catalog"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[landing],
)
def catalog() -> dg.MaterializeResult:
    """The items, one row each, and from when each was there to be found."""
    settings = shop_settings()
    with not_retried(CatalogError, LandingError):
        claim_shop(settings, get_settings().landing)
        report = build_catalog(settings)
    version = data_version(file_hash(settings.paths.catalog))
    return dg.MaterializeResult(metadata=report.metadata(), data_version=version)


@dg.asset(
    group_name="raw",
    kinds={"duckdb", "parquet"},
    owners=OWNERS,
    code_version=code_version("sessions"),
    required_resource_keys=LOCKED,
    retry_policy=RETRY,
    deps=[landing, catalog],
    partitions_def=DAYS,
    backfill_policy=SINGLE_RUN,
)
def sessions(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult | dg.AssetMaterialization]:
    """Requests, impressions and events of a day, orders attributed; what is refused goes to quarantine with a reason.

    A day is judged before it takes the place of its last accepted version; the check shows the verdict.
    A day that runs again takes the following days that read it along.
    """
    settings = shop_settings()
    with not_retried(LandingError):
        readdressed = map(str, days_of_other_aliases(settings))
        asked = landed_days(settings, [*context.partition_keys, *readdressed])
        built = days_with_readers(settings, asked)
        judge = quality.SessionJudge(explained_until=quality.first_run_until(settings, built))
        reports = build_sessions(settings, built, progress_to("sessions"), judge)
    days = {report.day: report.clean for report in reports}
    asked_keys = map(date.fromisoformat, context.partition_keys)
    versions = {day: sessions_version(settings, day) for day in {*days, *asked_keys}}
    yield from by_day(context, dg.MaterializeResult(metadata=sessions_metadata(reports)), versions, days)


def sessions_version(settings: Settings, day: date) -> dg.DataVersion:
    """By what the tables of a day hold; a day without any has a version, too."""
    files = [file for name in SESSION_TABLES for file in part_files(settings.paths.sessions / name, day)]
    return data_version(content_key(files, settings.paths.root))


def sessions_metadata(reports: Sequence[DayReport]) -> dict[str, Any]:
    """Counts, funnel and refusals of the days that were built."""
    reasons, ignored = totals(r.reasons for r in reports), totals(r.ignored_reasons for r in reports)
    out, rebuilt = totals(r.rows_out for r in reports), totals(r.rebuilt_requests for r in reports)
    attributed = totals({action: sum(how.values()) for action, how in r.attribution.items()} for r in reports)
    funnel = {"requests": out["requests"], "impressions": out["impressions"]}
    funnel |= dict.fromkeys(INTERACTIONS, 0) | attributed
    return {
        "dagster/row_count": sum(report.clean for report in reports),
        "rows in": sum(report.rows_in for report in reports),
        "refused": sum(reasons.values()),
        "refused by reason": table([{"reason": reason, "rows": n} for reason, n in reasons.most_common()]),
        "ignored": sum(ignored.values()),
        "ignored by reason": table([{"reason": reason, "rows": n} for reason, n in ignored.most_common()]),
        "bots": table([asdict(bot) for bot in largest(bot for report in reports for bot in report.bots)]),
        "bots spared": "; ".join(dict.fromkeys(why for report in reports for why in report.spared)) or "none",
        "rebuilt requests": rebuilt_told(rebuilt) or "none",
        "events named by their text": sum(report.named_by_text for report in reports),
        "not read": "; ".join(f"{r.day}: {name}: {why}" for r in reports for name, why in r.unread.items()) or "none",
        "fields": "; ".join(f"{r.day}: {told}" for r in reports for told in r.wrong_fields) or "as expected",
        "unusual": "; ".join(f"{r.day}: {warning}" for r in reports for warning in r.warnings) or "nothing",
        "held days": "; ".join(report.message for report in reports if report.held) or "none",
        "funnel": bar_plot("Funnel", funnel),
        "days": table(
            [
                {
                    "day": str(r.day),
                    "rows in": r.rows_in,
                    "refused": f"{r.bad_share:.2%}",
                    "rebuilt requests": sum(r.rebuilt_requests.values()),
                    "held": "yes" if r.held else "",
                }
                for r in reports
            ]
        ),
    }
