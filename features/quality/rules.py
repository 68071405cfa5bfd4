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
    against: str = ""
    """What the bounds follow from, where that is no setting alone."""


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
    against = f", by {rule.against}" if isinstance(rule, Between) and rule.against else ""
    return _bound(rule) + against


def _bound(rule: Rule) -> str:
    match rule:
        case Between(low=None, high=None):
            raise ValueError(f"rule on {rule.measure!r} has no bound: give it a low or a high end")
        case Between(low=low, high=high) if low == high:
            return _number(low)
        case Between(low=None, high=high):
            return f"at most {_number(high)}"
        case Between(low=low, high=None):
            return f"at least {_number(low)}"
        case Between(low=low, high=high):
            return f"{_number(low)} to {_number(high)}"
        case Absent():
            return "nothing"
        case AtLeast(other=other):
            return f"at least {other}"


def _number(value: float | None) -> str:
    """Thousands apart, four significant digits of a fraction."""
    if value is None:
        return "open"
    return f"{value:,.0f}" if abs(value) >= 1000 or float(value).is_integer() else f"{value:,.4g}"
