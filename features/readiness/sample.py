"""Which landing days a check reads: all, or the first, the last and some between."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

LEAST = 2
"""The first and the last day are always read."""


def parse_sample(text: str) -> float | int:
    """``0.1``, ``10%`` (a share of the days) or ``12`` (so many days).

    Raises:
        ValueError: it is neither.
    """
    plain = text.strip()
    try:
        if plain.endswith("%"):
            return _share(float(plain[:-1]) / 100, text)
        return _share(float(plain), text) if "." in plain else _days(int(plain), text)
    except ValueError as error:
        raise ValueError(f"{text!r}: write a share of the days (0.1 or 10%) or how many days (12)") from error


def _share(value: float, text: str) -> float:
    if not 0 < value <= 1:
        raise ValueError(text)
    return value


def _days(value: int, text: str) -> int:
    if value < 1:
        raise ValueError(text)
    return value


def sampled_days(days: Sequence[date], sample: float | int | None) -> list[date]:
    """``days``, or the first, the last and evenly spaced ones between, at least two.

    Args:
        days: in order.
        sample: what ``parse_sample`` gives: a share (float) or a number of days (int); None: all.
    """
    if sample is None:
        return list(days)
    count = round(len(days) * sample) if isinstance(sample, float) else sample
    count = max(LEAST, count)
    if count >= len(days):
        return list(days)
    return [days[round(place * (len(days) - 1) / (count - 1))] for place in range(count)]
