"""What a suite found, in words and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ExpectationOutcome:
    """One rule of a suite.

    ``name`` is Great Expectations' type of expectation, ``column`` the measure it judges, ``rule`` says it in words.
    ``rows`` names all rows of the frame that broke it (days, for a suite by day), ``observed`` shows the first few.
    ``error`` is the text of an exception inside Great Expectations; the rule then counts as broken.
    """

    name: str
    column: str
    rule: str
    success: bool
    observed: str
    expected: str
    rows: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class SuiteResult:
    """One suite on one batch: ``scope`` says which rows, ``data_docs`` is the page of this validation,
    within ``settings.paths.data_docs``: a shop's folder may move."""

    suite: str
    scope: str
    success: bool
    outcomes: tuple[ExpectationOutcome, ...]
    data_docs: Path

    @property
    def evaluated(self) -> int:
        """How many expectations were judged."""
        return len(self.outcomes)

    @property
    def failed(self) -> tuple[ExpectationOutcome, ...]:
        """The outcomes that broke their rule."""
        return tuple(outcome for outcome in self.outcomes if not outcome.success)

    @property
    def told(self) -> str:
        """The broken rules and what was seen, in one line; empty where none is broken."""
        return "; ".join(f"{o.rule}: {o.error or o.observed}" for o in self.failed)

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self) | {"data_docs": str(self.data_docs)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> SuiteResult:
        """What ``to_json`` gave, before or after it was written."""
        outcomes = tuple(ExpectationOutcome(**{**o, "rows": tuple(o["rows"])}) for o in stored["outcomes"])
        return cls(**{**stored, "outcomes": outcomes, "data_docs": Path(stored["data_docs"])})


def together(results: Sequence[SuiteResult], scope: str) -> SuiteResult:
    """Results of one suite on several batches as one: a rule is met where it is on all; the page is that of the first
    batch that broke one, else of the last."""
    by_rule: dict[tuple[str, str, str], list[ExpectationOutcome]] = {}
    for outcome in chain.from_iterable(result.outcomes for result in results):
        by_rule.setdefault((outcome.name, outcome.column, outcome.rule), []).append(outcome)
    outcomes = tuple(map(_one_of, by_rule.values()))
    shown = next((result for result in results if not result.success), results[-1])
    return replace(shown, scope=scope, success=all(o.success for o in outcomes), outcomes=outcomes)


def _one_of(outcomes: Sequence[ExpectationOutcome]) -> ExpectationOutcome:
    broken = [outcome for outcome in outcomes if not outcome.success]
    if not broken:
        return outcomes[-1]
    return replace(
        broken[0],
        observed="; ".join(dict.fromkeys(outcome.observed for outcome in broken)),
        expected="; ".join(dict.fromkeys(outcome.expected for outcome in broken)),
        rows=tuple(chain.from_iterable(outcome.rows for outcome in broken)),
        error="; ".join(dict.fromkeys(o.error for o in broken if o.error)) or None,
    )


def as_markdown(result: SuiteResult) -> str:
    """A short table for a UI, broken rules first."""
    kept = result.evaluated - len(result.failed)
    lines = [
        f"**{result.suite}**, {result.scope}: {kept} of {result.evaluated} expectations met",
        "",
        "| | rule | expected | observed |",
        "| --- | --- | --- | --- |",
    ]
    for outcome in sorted(result.outcomes, key=lambda o: o.success):
        observed = f"error: {outcome.error}" if outcome.error else outcome.observed
        cells = ("ok" if outcome.success else "**FAILED**", outcome.rule, outcome.expected, observed)
        lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
    return "\n".join(lines)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
