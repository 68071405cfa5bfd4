"""Means over days, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.metrics import Values

Floats = NDArray[np.float64]
RESAMPLES = 1_000
QUANTILES = (0.025, 0.975)
CHUNK_DRAWS = 1 << 22
FIGURE = ("value", "low", "high")


def mean_of_days(values: Floats, day: NDArray[np.int64], seed: int) -> tuple[Floats, Floats, Floats]:
    """The mean over days of each day's mean, and its 95% bootstrap interval: value, low and high, [columns] each.

    Requests are resampled within their day, the same draws for every column. Without a request all are NaN.

    Args:
        values: [n, columns]; day: of each request, [n].
    """
    days = [values[day == d] for d in np.unique(day)]
    if not days:
        unknown = np.full(values.shape[1], np.nan)
        return unknown, unknown, unknown
    rng = np.random.default_rng(seed)
    value = np.mean([part.mean(axis=0) for part in days], axis=0)
    drawn = np.mean([_resampled_means(part, rng) for part in days], axis=0)
    low, high = np.quantile(drawn, QUANTILES, axis=0)
    return value, np.minimum(low, value), np.maximum(high, value)


def difference_rows(
    methods: Mapping[str, Values], of: str, measure: str, day: NDArray[np.int64], seed: int
) -> dict[str, dict[str, float]]:
    """``measure`` of the method ``of`` less that of each other, request by request: per method value, low and high.

    Paired, so what is hard for every method widens no interval. Without ``of``, or without a request, nothing.

    Args:
        methods, day, seed: as of :func:`summary_rows`.
    """
    others = [name for name in methods if name != of]
    if of not in methods or not others:
        return {}
    less = np.column_stack([methods[of][measure] - methods[other][measure] for other in others])
    wanting = ~np.isnan(less).any(axis=1)
    if not wanting.any():
        return {}
    figures = np.stack(mean_of_days(less[wanting], day[wanting], seed), axis=1)
    return {other: dict(zip(FIGURE, map(float, f), strict=True)) for other, f in zip(others, figures, strict=True)}


def _resampled_means(values: Floats, rng: np.random.Generator) -> Floats:
    """Means of resampled rows, [RESAMPLES, columns]."""
    n = len(values)
    step = max(1, CHUNK_DRAWS // n)
    means = []
    for done in range(0, RESAMPLES, step):
        times = min(step, RESAMPLES - done)
        drawn = rng.integers(0, n, (times, n)) + np.arange(times)[:, None] * n
        means.append(np.bincount(drawn.ravel(), minlength=times * n).reshape(times, n) @ values / n)
    return np.concatenate(means)


def summary_rows(methods: Mapping[str, Values], day: NDArray[np.int64], seed: int) -> list[dict[str, Any]]:
    """Per method ``{"method", <measure>: {"value", "low", "high"}}``.

    Args:
        methods: per method the same measures of each request; a request of NaN wants nothing and does not count;
        day: of each request, [n].
    """
    if not methods:
        return []
    names = list(next(iter(methods.values())))
    columns = np.column_stack([values[name] for values in methods.values() for name in names])
    wanting = ~np.isnan(columns).any(axis=1)
    figures = np.stack(mean_of_days(columns[wanting], day[wanting], seed), axis=1).reshape(len(methods), len(names), 3)
    return [
        {"method": method} | {n: dict(zip(FIGURE, map(float, f), strict=True)) for n, f in zip(names, row, strict=True)}
        for method, row in zip(methods, figures, strict=True)
    ]
