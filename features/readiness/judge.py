"""Where a run would stop: its own rules, and what to do about each that is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date

import pandas as pd

from features.day_report import DayReport
from features.quality.catalog import check_catalog
from features.quality.results import ExpectationOutcome
from features.quality.rules import Absent, Suite
from features.quality.sessions import check_sessions
from features.quality.training_set import KEY, SPLITS, training_suite
from features.quality.validation import validate
from features.readiness.report import Joins, Learning
from infra.contract.names import LEAST_CLICKED_REQUESTS
from infra.settings import Settings

TOLD_BY_REPORT = ("held", "not_built", "bad_share")
"""Measures of a day whose own report says it better."""
VOLUME = "volume_ratio"
UNKNOWN_ITEMS = (
    "bring a catalogue that has them, name items by its ids, or raise SHELFWISE_CHECKS__MAX_UNKNOWN_ITEM_SHARE"
)
REMEDIES = {
    VOLUME: "land the day whole, or set SHELFWISE_CHECKS__MIN_VOLUME_SHARE or MAX_VOLUME_RATIO if it is right",
    "unknown_shown_share": UNKNOWN_ITEMS,
    "unknown_event_share": UNKNOWN_ITEMS,
    "anonymous_share": "log a user or client id, or raise SHELFWISE_CHECKS__MAX_ANONYMOUS_SHARE",
    "requests": "remove the day's folder if the shop was closed, or land it again",
    "negative_share": "mend these prices or ratings, or raise SHELFWISE_CHECKS__MAX_ODD_ITEM_SHARE",
    "bare_share": "bring titles, categories or prices for them, or raise SHELFWISE_CHECKS__MAX_ODD_ITEM_SHARE",
    "train_labelled": "log clicks and orders with the query id of their search, or bring more days",
    "validation_labelled": "log clicks and orders with the query id of their search, or bring more days",
    "train_unclicked_share": "log all items that were shown, or lower SHELFWISE_CHECKS__MIN_UNCLICKED_SHARE",
    "validation_unclicked_share": "log all items that were shown, or lower SHELFWISE_CHECKS__MIN_UNCLICKED_SHARE",
}
"""Measure -> what to do where its rule is broken."""
ANY_REMEDY = "mend the files, or the bound under [checks] in shelfwise.toml"


def catalog_stops(settings: Settings) -> list[str]:
    """The blocking rules that the built catalogue breaks."""
    return [f"Catalogue: {_broken(outcome)}" for outcome in check_catalog(settings).failed]


def session_stops(
    settings: Settings, reports: Sequence[DayReport], *, sampled: bool
) -> tuple[list[str], dict[date, str]]:
    """The held days, and the blocking rules that days break.

    Of a sample no day is held against the days before it: they may be weeks before.

    Returns:
        A sentence each, and day -> rules for the days whose tables break one.
    """
    stops = [report.message for report in reports if report.held]
    passed_over = (VOLUME,) if sampled else ()
    failed: dict[date, list[str]] = {}
    if reports and settings.paths.catalog.exists():
        for outcome in check_sessions(settings, [report.day for report in reports]).failed:
            told = outcome.column in TOLD_BY_REPORT and any(report.held for report in reports)
            if told or outcome.column in passed_over:
                continue
            stops.append(_broken(outcome))
            for day in outcome.rows:
                failed.setdefault(date.fromisoformat(day), []).append(outcome.rule)
    return stops, {day: "; ".join(rules) for day, rules in failed.items()}


def learning_stops(settings: Settings, learning: Learning, joins: Joins) -> list[str]:
    """The blocking rules that the training set would break, of those that need no features."""
    measures = learning_measures(learning, shown=bool(joins.impressions))
    suite = training_suite(settings.checks)
    rules = tuple(rule for rule in suite.rules if not isinstance(rule, Absent) and rule.measure in measures)
    frame = pd.DataFrame([{KEY: "training set", **measures}])
    result = validate(settings, Suite(suite.name, KEY, rules), frame, "as it would be")
    stops = [f"Training set: {_broken(outcome)}" for outcome in result.failed]
    if not stops and learning.clicked["train"] < LEAST_CLICKED_REQUESTS:
        stops.append(
            f"Fewer than {LEAST_CLICKED_REQUESTS} requests to train on have a click: there is nothing to learn;"
            f" {REMEDIES['train_labelled']}"
        )
    return stops


def learning_measures(learning: Learning, *, shown: bool) -> Mapping[str, float]:
    """The measures of ``training_suite`` that follow from the stages; ``shown``: the log has impressions."""
    measures: dict[str, float] = {}
    for split in SPLITS:
        rows = learning.rows[split]
        everything = sum(rows.values())
        measures |= {
            f"{split}_requests": learning.requests[split],
            f"{split}_labelled": everything - rows["unclicked"],
            f"{split}_unclicked_share": rows["unclicked"] / everything if shown and everything else float("nan"),
        }
    return measures


def _broken(outcome: ExpectationOutcome) -> str:
    seen = outcome.error or outcome.observed
    return f"{outcome.rule}: {seen} (expected: {outcome.expected}); {REMEDIES.get(outcome.column, ANY_REMEDY)}"
