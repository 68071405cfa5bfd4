"""Where a run would stop: its own rules, and what to do about each that is broken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from features.day_report import DayReport
from features.quality.catalog import check_catalog
from features.quality.remedies import remedy
from features.quality.results import ExpectationOutcome
from features.quality.rules import Absent, Suite
from features.quality.training_set import KEY, SPLITS, training_suite
from features.quality.validation import validate
from features.readiness.report import Joins, Learning, counted
from infra.contract.names import LEAST_CLICKED_REQUESTS
from infra.settings import Settings

HELD_SHOWN = 5
"""Held days that get a sentence of their own."""


def catalog_stops(settings: Settings) -> list[str]:
    """The blocking rules that the built catalogue breaks."""
    return [f"Catalogue: {_broken(outcome)}" for outcome in check_catalog(settings).failed]


def session_stops(reports: Sequence[DayReport]) -> list[str]:
    """Why days are held: a sentence for each of the first, the others counted."""
    held = [report for report in reports if report.held]
    stops = [report.message for report in held[:HELD_SHOWN]]
    if len(held) > HELD_SHOWN:
        more = len(held) - HELD_SHOWN
        stops.append(f"{counted(more, 'day')} more {'is' if more == 1 else 'are'} held, the last {held[-1].day}")
    return stops


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
            f" {remedy('train_labelled')}"
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
    return f"{outcome.rule}: {seen} (expected: {outcome.expected}); {remedy(outcome.column)}"
