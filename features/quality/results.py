"""What a suite found, in words and figures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


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
    """One suite on one batch: ``scope`` says which rows, ``data_docs`` is the page of this validation."""

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
