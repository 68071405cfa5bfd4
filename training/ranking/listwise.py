"""Weights of a linear ranker by the listwise softmax of what was ordered and clicked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
SPREAD = 1.0
"""Standard deviation of a weight around what it begins at, per standard deviation of its feature: few requests move
weights little, many as far as they ask."""


@dataclass(frozen=True)
class Lists:
    """Pairs of requests with something to find, by request."""

    values: F64
    """Features without unknowns, [m, features]."""
    begin: I64
    """Where each request's pairs begin, [n]."""
    gain: F64
    """What each pair is worth: shares of its request that add up to 1, [m]."""

    @classmethod
    def of(cls, values: F64, row: I64, gain: F64) -> Lists:
        """Of pairs [m] in the order of their ``row``; requests without a gain are left out."""
        total = np.bincount(row, weights=gain)
        kept = total[row] > 0
        rows = row[kept]
        begin = np.flatnonzero(np.diff(rows, prepend=-1)) if len(rows) else np.zeros(0, dtype=np.int64)
        return cls(values[kept], begin, gain[kept] / total[rows])

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def lengths(self) -> I64:
        """Pairs of each request, [n]."""
        return np.diff(self.begin, append=len(self.gain))

    def of_requests(self, kept: NDArray[np.bool_]) -> Lists:
        """The requests that are marked, [n]."""
        return self._where(np.repeat(kept, self.lengths), self.lengths[kept])

    def sampled(self, pairs: int, seed: int) -> Lists:
        """What was chosen, and of the other pairs of each request so many, drawn uniformly."""
        row = np.repeat(np.arange(len(self)), self.lengths)
        draw = np.where(self.gain > 0, -1.0, np.random.default_rng(seed).random(len(row)))
        order = np.lexsort((draw, row))
        place = np.empty(len(row), dtype=np.int64)
        place[order] = np.arange(len(row)) - np.repeat(self.begin, self.lengths)
        kept = (self.gain > 0) | (place < pairs)
        return self._where(kept, np.bincount(row[kept], minlength=len(self)))

    def _where(self, kept: NDArray[np.bool_], lengths: I64) -> Lists:
        begin = np.concatenate([[0], np.cumsum(lengths)])[:-1].astype(np.int64)
        return Lists(self.values[kept], begin, self.gain[kept])


def fit_listwise(lists: Lists, start: F64) -> F64:
    """Weights [features] of least cross-entropy of the gains against the softmax of a request's scores, with a Gaussian
    prior around ``start``: ListNet's top-one loss (Cao et al., ICML 2007, Section 4.3), which is convex here."""
    scale = _scale(lists.values)
    values = lists.values / scale
    found = minimize(
        lambda weights: _loss(weights, values, lists, start * scale),
        start * scale,
        jac=True,
        hess=lambda weights: _curvature(weights, values, lists),
        method="trust-exact",
        options={"maxiter": 100, "gtol": 1e-6},
    )
    return np.asarray(found.x / scale)


def fit_scale(lists: Lists, direction: F64) -> tuple[F64, float]:
    """``direction`` times the factor of least cross-entropy, and that cross-entropy: how sharp an order is."""
    score = (lists.values @ direction)[:, None]
    one = Lists(score, lists.begin, lists.gain)
    factor = fit_listwise(one, np.ones(1))
    loss, _ = _loss(factor, score, one, factor)
    return direction * factor[0], loss


def _shares(weights: F64, values: F64, lists: Lists) -> tuple[F64, F64]:
    """Softmax of the scores within each request, and its logarithm, [m] each."""
    lengths = lists.lengths
    score = values @ weights
    score -= np.repeat(np.maximum.reduceat(score, lists.begin), lengths)
    power = np.exp(score)
    total = np.repeat(np.add.reduceat(power, lists.begin), lengths)
    return power / total, score - np.log(total)


def _loss(weights: F64, values: F64, lists: Lists, start: F64) -> tuple[float, F64]:
    n, off = len(lists), weights - start
    share, log_share = _shares(weights, values, lists)
    loss = -(lists.gain @ log_share) / n + off @ off / (2 * SPREAD**2 * n)
    return float(loss), values.T @ (share - lists.gain) / n + off / (SPREAD**2 * n)


def _curvature(weights: F64, values: F64, lists: Lists) -> F64:
    """Second derivatives of the loss, [features, features]."""
    share, _ = _shares(weights, values, lists)
    weighted = values * share[:, None]
    mean = np.add.reduceat(weighted, lists.begin, axis=0)
    n = len(lists)
    return np.asarray((values.T @ weighted - mean.T @ mean + np.eye(len(weights)) / SPREAD**2) / n)


def _scale(values: F64) -> F64:
    """Standard deviation of each feature; of one that does not vary, 1."""
    deviation = values.std(axis=0)
    return np.where(deviation > 1e-9, deviation, 1.0)
