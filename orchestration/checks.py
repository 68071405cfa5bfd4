"""Data checks that stop what is downstream."""

from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import dagster as dg
import numpy as np
from numpy.typing import NDArray

from features import quality
from features.build_sessions import days_with_readers
from features.day_report import DayReport, read_report
from features.freshness import last_built
from features.quality.tables import scope_of
from infra.settings import Settings
from orchestration.assets.features import item_features, query_features, user_features
from orchestration.assets.raw import catalog, sessions
from orchestration.assets.serving import item_index
from orchestration.assets.training import release, training_set
from orchestration.night.notices import HELD_SHOWN
from orchestration.partitions import DAYS, landed_days
from orchestration.releases import (
    ann_recall,
    candidate_key,
    completeness,
    recall_gates,
    record,
    servability,
    slices,
)
from orchestration.samples import common_query
from orchestration.shop import candidate_dir, shop_settings
from orchestration.values import CandidateRelease, IndexedRelease
from training.evaluation import read_evaluation
from training.release.gates import Gate
from training.run.candidate import latest_query_vectors


def to_check_result(result: quality.SuiteResult, told: str = "") -> dg.AssetCheckResult:
    """A Great Expectations result as Dagster shows it, with the link to its page in Data Docs.

    The link is to where ``shelfwise ui`` serves it: a browser follows no link from the UI to a file.

    Args:
        told: what is wrong, where somebody can say it better than the rules that were broken.
    """
    settings = shop_settings()
    return dg.AssetCheckResult(
        passed=result.success,
        severity=dg.AssetCheckSeverity.ERROR,
        description=told or result.told or "All as expected.",
        metadata={
            "expectations": result.evaluated,
            "failed": len(result.failed),
            "outcomes": dg.MetadataValue.md(quality.as_markdown(result)),
            "data docs": dg.MetadataValue.url(
                f"http://127.0.0.1:{settings.ui.docs_port}/{quote(str(result.data_docs))}"
            ),
            "data docs file": dg.MetadataValue.path(str(settings.paths.data_docs / result.data_docs)),
        },
    )


def nothing_landed(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """A run none of whose days landed has nothing to go on with."""
    asked = context.partition_key_range
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"No logs landed for {asked.start} to {asked.end}: run again when they have.",
    )


@dg.asset_check(asset=catalog, blocking=True)
def catalog_is_sound() -> dg.AssetCheckResult:
    """Unique ids, bounds of prices and ratings, and how many items say nothing about themselves."""
    return to_check_result(quality.check_catalog(shop_settings()))


@dg.asset_check(asset=sessions, additional_deps=[catalog], blocking=True, partitions_def=DAYS)
def sessions_are_sound(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Share of refused rows, rows in = rows out, funnel order, ids, and the shop's own days: the verdict that each day
    had before it was published. A day that fails stops here, and what it had before stays in use."""
    settings = shop_settings()
    asked = landed_days(settings, context.partition_keys)
    if not asked:
        return nothing_landed(context)
    days = days_with_readers(settings, asked)
    reports = [report for report in (read_report(settings, day) for day in days) if report and report.checked]
    if missing := sorted(set(days) - {report.day for report in reports}):
        return dg.AssetCheckResult(
            passed=False,
            severity=dg.AssetCheckSeverity.ERROR,
            description=f"{len(missing)} days are not judged yet, such as {missing[0]}: materialize `sessions` first.",
        )
    results = [quality.SuiteResult.from_json(report.checked) for report in reports]
    shown = to_check_result(quality.together(results, scope_of(days)), held_days(reports))
    warnings = [f"- {report.day}: {warning}" for report in reports for warning in report.warnings]
    return shown.with_metadata({**shown.metadata, "unusual": dg.MetadataValue.md("\n".join(warnings) or "nothing")})


def held_days(reports: Sequence[DayReport]) -> str:
    """Why days are held: a sentence for each of the first, the others counted."""
    held = [report for report in reports if report.held]
    more = [f"{len(held) - HELD_SHOWN} more days are held, the last {held[-1].day}."] if len(held) > HELD_SHOWN else []
    return "\n".join([*(report.message for report in held[:HELD_SHOWN]), *more])


@dg.asset_check(
    asset=query_features, additional_deps=[user_features, item_features], blocking=True, partitions_def=DAYS
)
def features_are_sound(context: dg.AssetCheckExecutionContext) -> dg.AssetCheckResult:
    """Null and range bounds, one row per entity and time, nothing stamped after its day."""
    settings = shop_settings()
    days = {day for view in ("user", "item", "query") for day in last_built(settings, view)}
    return to_check_result(quality.check_features(settings, sorted(days)))


@dg.asset_check(asset=training_set, blocking=True)
def training_set_is_sound() -> dg.AssetCheckResult:
    """Ordered within clicked, shares of the stages, the split in time, item ids in the catalogue."""
    return to_check_result(quality.check_training_set(shop_settings()))


def gated(release_id: str, *gates: Gate) -> dg.AssetCheckResult:
    """Note what gates said of a release, and show it: the reasons, and the figures, which Dagster plots by run."""
    record(shop_settings(), release_id, *gates)
    blocked = [gate.reason for gate in gates if not gate.passed]
    return dg.AssetCheckResult(
        passed=not blocked,
        severity=dg.AssetCheckSeverity.ERROR,
        description=" ".join(blocked or [gate.reason for gate in gates]),
        metadata={
            f"{gate.name}: {name}": round(value, 4) if isinstance(value, float) else value
            for gate in gates
            for name, value in gate.figures.items()
        },
    )


def gated_by_candidate(of: CandidateRelease, judge: Callable[[Settings, Path], Sequence[Gate]]) -> dg.AssetCheckResult:
    """As :func:`gated`, for gates over what lies beside the candidate: nothing is noted of a release of another one."""
    settings = shop_settings()
    if candidate_key(settings) == of.candidate:
        return gated(of.id, *judge(settings, candidate_dir(settings)))
    return dg.AssetCheckResult(
        passed=False,
        severity=dg.AssetCheckSeverity.ERROR,
        description=f"The candidate is not the one that release {of.id} was written from:"
        " it was trained, tuned or evaluated again since. Materialize `release`, then what follows from it.",
    )


@dg.asset_check(asset=release, blocking=True)
def recall_holds(release: CandidateRelease) -> dg.AssetCheckResult:
    """Recall@100 of what is served against live, baselines and its parts on the same later requests (see
    ``training.release.gates``)."""
    return gated_by_candidate(release, lambda settings, folder: recall_gates(settings.gates, read_evaluation(folder)))


@dg.asset_check(asset=release, blocking=True)
def slices_hold(release: CandidateRelease) -> dg.AssetCheckResult:
    """Recall@100 of each slice against live: no part of the shop pays for the rest."""
    return gated_by_candidate(release, lambda settings, folder: [slices(settings.gates, read_evaluation(folder))])


@dg.asset_check(asset=item_index, blocking=True)
def ann_recall_holds(item_index: IndexedRelease) -> dg.AssetCheckResult:
    """What the index loses of exact search, at 100 and at 1,000."""

    def judge(settings: Settings, folder: Path) -> list[Gate]:
        def latest() -> NDArray[np.float32]:
            return latest_query_vectors(settings, folder)

        return [ann_recall(settings, item_index.id, latest)]

    return gated_by_candidate(item_index, judge)


@dg.asset_check(asset=item_index, blocking=True)
def index_is_complete(item_index: IndexedRelease) -> dg.AssetCheckResult:
    """Count and hash of the item ids, read back from the collection."""
    return gated(item_index.id, completeness(shop_settings(), item_index.id, item_index.collection))


@dg.asset_check(asset=item_index, blocking=True)
def release_answers(item_index: IndexedRelease) -> dg.AssetCheckResult:
    """Whether a fresh process can load the new release and find an item with its collection, before it goes live."""
    settings = shop_settings()
    return gated(item_index.id, servability(settings, item_index.id, common_query(settings)))
