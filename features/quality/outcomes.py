"""A Great Expectations result as outcomes: figures as a person reads them, internal exceptions said plainly."""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from features.quality.results import ExpectationOutcome

SHOWN_ROWS = 5
"""Rows named in an outcome; the rest are counted."""


def figure(value: Any) -> str:
    """A measure as text: thousands apart, four significant digits of a fraction."""
    if value is None or value is pd.NaT or (isinstance(value, float) and pd.isna(value)):
        return "unknown"
    if isinstance(value, numbers.Real):
        number = float(value)
        return f"{number:,.0f}" if number.is_integer() else f"{number:,.4g}"
    return str(value)


def value_range(values: pd.Series[Any]) -> str:
    """The span of a measure over the rows that know it."""
    known = values.dropna()
    if known.empty:
        return "not measured"
    if not pd.api.types.is_numeric_dtype(known):
        return f"{len(known)} values"
    low, high = figure(known.min()), figure(known.max())
    return low if low == high else f"{low} to {high}"


def outcomes_of(results: Iterable[Any]) -> tuple[ExpectationOutcome, ...]:
    """Outcomes of ``ExpectationValidationResult`` objects, in the order of the suite."""
    return tuple(_outcome(result) for result in sorted(results, key=_place))


def _place(result: Any) -> int:
    """Great Expectations returns results in an order of its own; a page keeps the suite's."""
    return int((result.expectation_config.meta or {}).get("place", 0))


def _outcome(result: Any) -> ExpectationOutcome:
    config = result.expectation_config
    kwargs: Mapping[str, Any] = config.kwargs
    notes: Mapping[str, Any] = config.meta or {}
    column = str(kwargs.get("column") or kwargs.get("column_A") or "table")
    error = exception_text(result.exception_info)
    broken = _broken_rows(result.result, [c for c in (column, kwargs.get("column_B")) if c])
    return ExpectationOutcome(
        name=config.type,
        column=column,
        rule=str(notes.get("rule", config.type)),
        success=bool(result.success) and error is None,
        observed="not judged" if error else _first(broken) or str(notes.get("observed", "")),
        expected=str(notes.get("expected", "")),
        rows=tuple(broken),
        error=error,
    )


def exception_text(info: Mapping[str, Any] | None) -> str | None:
    """The exceptions that Great Expectations caught while it judged a rule, or None.

    It gives either one exception (``raised_exception``, ``exception_message``) or one such mapping per metric.
    """
    if not info:
        return None
    parts = [info] if "raised_exception" in info else [part for part in info.values() if isinstance(part, Mapping)]
    texts = [str(part.get("exception_message")) for part in parts if part.get("raised_exception")]
    return "; ".join(dict.fromkeys(texts)) or None


def _broken_rows(result: Mapping[str, Any], measures: list[str]) -> dict[str, str]:
    """The rows that broke a rule, each with its figures."""
    key = (result.get("unexpected_index_column_names") or [None])[0]
    rows: list[Mapping[str, Any]] = result.get("unexpected_index_list") or []
    return {_row_name(row, key, measures): _row_figures(row, measures) for row in rows}


def _first(broken: Mapping[str, str]) -> str:
    """``2026-03-05: 0.31; 2026-03-06: 0.4``: the first few rows, the others counted."""
    named = [f"{name}: {figures}" for name, figures in list(broken.items())[:SHOWN_ROWS]]
    if len(broken) > SHOWN_ROWS:
        named.append(f"and {len(broken) - SHOWN_ROWS} more")
    return "; ".join(named)


def _row_name(row: Mapping[str, Any], key: str | None, measures: list[str]) -> str:
    # GX leaves the names of the key columns out of the result of the null expectations.
    return str(row[key]) if key else ", ".join(str(v) for name, v in row.items() if name not in measures)


def _row_figures(row: Mapping[str, Any], measures: list[str]) -> str:
    if len(measures) == 1:
        return figure(row.get(measures[0]))
    return ", ".join(f"{name} {figure(row.get(name))}" for name in measures)
