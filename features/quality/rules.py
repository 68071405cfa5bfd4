"""A rule on a measure, apart from the library that judges it: importing this loads no Great Expectations."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Between:
    """Every known value of ``measure`` lies in [low, high]; an open end is None, a missing value is not judged."""

    measure: str
    says: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Absent:
    """``measure`` has no value in any row: where it has one, the value says what is wrong."""

    measure: str
    says: str


@dataclass(frozen=True)
class AtLeast:
    """``measure`` is no smaller than ``other`` in every row that knows both."""

    measure: str
    other: str
    says: str


Rule = Between | Absent | AtLeast


@dataclass(frozen=True)
class Suite:
    """A name and its rules over a frame whose rows are named by the column ``key``."""

    name: str
    key: str
    rules: tuple[Rule, ...]


def none_of(measure: str, says: str) -> Between:
    """``measure`` counts the rows that break an integrity rule: there must be none."""
    return Between(measure, says, low=0, high=0)


def expected_of(rule: Rule) -> str:
    """The bound of a rule as a person reads it."""
    match rule:
        case Between(low=None, high=None):
            raise ValueError(f"rule on {rule.measure!r} has no bound: give it a low or a high end")
        case Between(low=low, high=high) if low == high:
            return f"{low:g}"
        case Between(low=None, high=high):
            return f"at most {high:,g}"
        case Between(low=low, high=None):
            return f"at least {low:,g}"
        case Between(low=low, high=high):
            return f"{low:,g} to {high:,g}"
        case Absent():
            return "nothing"
        case AtLeast(other=other):
            return f"at least {other}"
