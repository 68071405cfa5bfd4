"""What an evaluation found: figures with intervals, per method, day and slice."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from training.run.candidate import EVALUATION

MAIN_MEASURE = "recall@100"
PERSONALIZATION_MEASURES = ("recall@10", "recall@100", "ndcg@10")
POSITIONS = "positions"
CONFIDENCE = "confidence"
SAID_POSITIONS = (2, 3, 5, 10, 20)


@dataclass(frozen=True)
class EvaluationReport:
    """Metrics of each method over the same requests.

    ``rows``: per method ``{"method", <measure>: {"value", "low", "high"}}``: the mean of the days' means and its 95%
    bootstrap interval. ``differences``: recall@100 of what the candidate serves less that of each other method, request
    by request: ``{method: {"value", "low", "high"}}``. ``personalization``: what is served, and the towers, less the
    same for people of whom nothing is known, request by request: ``{method: {measure: {"value", "low", "high"}}}``.
    ``slices``: ``{name: {"requests", "users", "rows", "differences"}}``; a slice without a request is left out.
    """

    truth: str
    """``orders``, or ``clicks`` where no validation request has an order."""
    requests: int
    items: int
    rows: list[dict[str, Any]]
    slices: dict[str, dict[str, Any]]
    days: list[dict[str, Any]] = field(default_factory=list)
    """Per day after the cut ``{"day", "requests", "users", "rows", "differences"}``."""
    measured: dict[str, Any] = field(default_factory=dict)
    """How: measures, depth, resamples, seed, the ends of the windows; and under ``positions`` how much each position of
    the log's lists is looked at (:class:`training.data.propensities.Propensities`), or the ``reason`` why that cannot
    be told; under ``confidence`` how the chance of a click that an answer tells came out
    (:mod:`training.evaluation.reliability`), or the ``reason`` why none is told."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Per part of the evaluation."""
    differences: dict[str, dict[str, float]] = field(default_factory=dict)
    personalization: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    serving: str = "towers"
    """The method that the candidate would serve with: ``served``, the ranker's order; of a candidate without one, the
    towers, boosted where it boosts."""
    users: int | None = None
    """Who made the requests, one who is not known counting as somebody else each time; None where an older version
    did not count them."""

    @property
    def methods(self) -> list[str]:
        return [row["method"] for row in self.rows]

    def value(self, method: str, measure: str) -> float:
        """One figure of the table.

        Raises:
            KeyError: the method or the measure was not measured.
        """
        return float(self._figure(method, measure)["value"])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> EvaluationReport:
        return cls(**value)

    def table(self) -> list[dict[str, str]]:
        """The rows as text, for display: ``0.512 [0.498, 0.526]``."""
        return as_text(self.rows)

    def slice_table(self, measure: str = MAIN_MEASURE) -> list[dict[str, str]]:
        """A row per slice, a column per method."""
        return self._by_method([(name, part) for name, part in self.slices.items()], "slice", measure)

    def day_table(self, measure: str = MAIN_MEASURE) -> list[dict[str, str]]:
        """A row per day, a column per method."""
        return self._by_method([(part["day"], part) for part in self.days], "day", measure)

    def personalization_table(self) -> list[dict[str, str]]:
        """A row per method, a column per measure: what it finds of orders only since it knows the user."""
        return as_text([{"method": method} | dict(gains) for method, gains in self.personalization.items()])

    def markdown(self) -> str:
        """Methods, slices and, where there are several, days as Markdown tables."""
        parts = [_markdown_table(self.table())]
        if self.personalization:
            parts += [
                "What knowing the user is worth, request by request:",
                _markdown_table(self.personalization_table()),
            ]
        if self.slices:
            parts += [f"{MAIN_MEASURE} by slice:", _markdown_table(self.slice_table())]
        if len(self.days) > 1:
            parts += [f"{MAIN_MEASURE} by day after the cut:", _markdown_table(self.day_table())]
        return "\n\n".join([*parts, *self._positions(), *self._confidence()])

    def _positions(self) -> list[str]:
        """How much each position of the shop's lists is looked at, or why that is not told, as one sentence."""
        told = self.measured.get(POSITIONS)
        if told is None:
            return []
        if "reason" in told:
            return [f"How much each position of the log's lists is looked at cannot be told: {told['reason']}."]
        looks, error = told["propensities"], told["error"]
        said = ", ".join(
            f"{at}: {_with_error(looks[at - 1], error[at - 1])}" for at in SAID_POSITIONS if at <= len(looks)
        )
        return [
            "How much a position of the log's lists is looked at, of the first as 1 (± standard error), by"
            f" {told['clicks']:,} clicks on items that moved: {said}."
        ]

    def _confidence(self) -> list[str]:
        """How the chance of a click came out, or why none is told, as a sentence and a table."""
        told = self.measured.get(CONFIDENCE)
        if told is None:
            return []
        if "reason" in told:
            return [f"No answer says how likely a click is (`confidence`): {told['reason']}."]
        rows = [
            {"requests": f"{part['requests']:,}"} | {name: f"{part[name]:.3f}" for name in ("predicted", "observed")}
            for part in told["bins"]
        ]
        return [
            f"Chance of a click among the first ten (`confidence`, {told['method']}, fitted on {told['fitted']:,}"
            f" requests) against {told['requests']:,} requests of other people: expected calibration error"
            f" {told['error']:.3f}; Brier score {told['brier']:.3f}, {told['brier_of_mean']:.3f} for always saying"
            f" their mean of {told['observed']:.3f}.",
            _markdown_table(rows),
        ]

    def _figure(self, method: str, measure: str) -> dict[str, float]:
        figures = {row["method"]: row for row in self.rows}
        if method not in figures or measure not in figures[method]:
            raise KeyError(f"{measure} of {method!r} was not measured; there are {self.methods}")
        return dict(figures[method][measure])

    @staticmethod
    def _by_method(parts: Sequence[tuple[str, Mapping[str, Any]]], what: str, measure: str) -> list[dict[str, str]]:
        return [
            {what: name, "requests": f"{part['requests']:,}"}
            | {row["method"]: f"{row[measure]['value']:.3f}" for row in part["rows"]}
            for name, part in parts
        ]


def as_text(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Rows of figures as text: a figure with its interval as ``0.512 [0.498, 0.526]``."""
    return [{name: _text(value) for name, value in row.items()} for row in rows]


def read_evaluation(candidate_dir: Path) -> EvaluationReport:
    """The report that :func:`evaluate` wrote beside a candidate."""
    return EvaluationReport.from_json(json.loads((candidate_dir / EVALUATION).read_text(encoding="utf-8")))


def write_evaluation(report: EvaluationReport, candidate_dir: Path) -> None:
    """Write a report beside a candidate."""
    (candidate_dir / EVALUATION).write_text(json.dumps(report.to_json(), indent=2), encoding="utf-8")


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{value:.3f} [{low:.3f}, {high:.3f}]".format(**value)
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _with_error(value: float, error_of_log: float) -> str:
    return f"{value:.2f} (± {f'{value * error_of_log:.2f}'.removeprefix('0')})"


def _markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    if not rows:
        return "_nothing_"
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + " --- |" * len(names)]
    return "\n".join([*lines, *("| " + " | ".join(row.get(n, "") for n in names) + " |" for row in rows)])
