"""Means over days, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.metrics import Values

Floats = NDArray[np.float64]
RESAMPLES = 1_000
QUANTILES = (0.025, 0.975)
CHUNK_DRAWS = 1 << 22
FIGURE = ("value", "low", "high")


def mean_of_days(
    values: Floats, day: NDArray[np.int64], seed: int, user: NDArray[np.int64] | None = None
) -> tuple[Floats, Floats, Floats]:
    """The mean over days of each day's mean, and its 95% bootstrap interval: value, low and high, [columns] each.

    Users are resampled within each day, with all their requests of it, the same draws for every column: what one user
    asks is alike, and as if from as many users it would look surer than it is. Without a request all are NaN.

    Args:
        values: [n, columns]; day, user: of each request, [n]; None: each is of somebody else.
    """
    user = np.arange(len(values)) if user is None else user
    days = [(values[day == d], user[day == d]) for d in np.unique(day)]
    if not days:
        unknown = np.full(values.shape[1], np.nan)
        return unknown, unknown, unknown
    rng = np.random.default_rng(seed)
    value = np.mean([part.mean(axis=0) for part, _ in days], axis=0)
    drawn = np.mean([_resampled_means(part, users, rng) for part, users in days], axis=0)
    low, high = np.quantile(drawn, QUANTILES, axis=0)
    return value, np.minimum(low, value), np.maximum(high, value)


def difference_rows(
    methods: Mapping[str, Values],
    of: str,
    measure: str,
    day: NDArray[np.int64],
    seed: int,
    user: NDArray[np.int64] | None = None,
) -> dict[str, dict[str, float]]:
    """``measure`` of the method ``of`` less that of each other, request by request: per method value, low and high.

    Paired, so what is hard for every method widens no interval. Without ``of``, or without a request, nothing.

    Args:
        methods, day, seed, user: as of :func:`summary_rows`.
    """
    others = [name for name in methods if name != of]
    if of not in methods or not others:
        return {}
    less = np.column_stack([methods[of][measure] - methods[other][measure] for other in others])
    wanting = np.asarray(~np.isnan(less).any(axis=1))
    if not wanting.any():
        return {}
    figures = np.stack(mean_of_days(less[wanting], day[wanting], seed, _of(user, wanting)), axis=1)
    return {other: dict(zip(FIGURE, map(float, f), strict=True)) for other, f in zip(others, figures, strict=True)}


def _of(user: NDArray[np.int64] | None, rows: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    return None if user is None else user[rows]


def _resampled_means(values: Floats, user: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """Means over the rows of resampled users, [RESAMPLES, columns]."""
    number = np.unique(user, return_inverse=True)[1]
    n, rows = int(number.max()) + 1, np.column_stack([values, np.ones(len(values))])
    sums = np.stack([np.bincount(number, weights=column, minlength=n) for column in rows.T], axis=1)
    step = max(1, CHUNK_DRAWS // n)
    means = []
    for done in range(0, RESAMPLES, step):
        times = min(step, RESAMPLES - done)
        drawn = rng.integers(0, n, (times, n)) + np.arange(times)[:, None] * n
        means.append(np.bincount(drawn.ravel(), minlength=times * n).reshape(times, n) @ sums)
    total = np.concatenate(means)
    return np.asarray(total[:, :-1] / total[:, -1:])


def summary_rows(
    methods: Mapping[str, Values], day: NDArray[np.int64], seed: int, user: NDArray[np.int64] | None = None
) -> list[dict[str, Any]]:
    """Per method ``{"method", <measure>: {"value", "low", "high"}}``.

    Args:
        methods: per method the same measures of each request; a request of NaN wants nothing and does not count;
        day, user: of each request, [n]; see :func:`mean_of_days`.
    """
    if not methods:
        return []
    names = list(next(iter(methods.values())))
    columns = np.column_stack([values[name] for values in methods.values() for name in names])
    wanting = np.asarray(~np.isnan(columns).any(axis=1))
    figures = np.stack(mean_of_days(columns[wanting], day[wanting], seed, _of(user, wanting)), axis=1).reshape(
        len(methods), len(names), 3
    )
    return [
        {"method": method} | {n: dict(zip(FIGURE, map(float, f), strict=True)) for n, f in zip(names, row, strict=True)}
        for method, row in zip(methods, figures, strict=True)
    ]
