"""Numbers of any scale to [0, 1] by their quantiles: fitted on the train window, saved with the release, one function
for training and serving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class QuantileTransform:
    """Each feature to the share of the fitted values below it, equal values at the middle of their ranks.

    ``knots[f]`` are values of feature ``f`` in rising order and ``levels[f]`` their mid-ranks in [0, 1]; between two
    knots the level is interpolated, beyond them it is that of the last. A feature of one value is 0.5 everywhere, one
    that was never known has no knot and stays NaN.
    """

    names: tuple[str, ...]
    knots: tuple[NDArray[np.float64], ...]
    levels: tuple[NDArray[np.float64], ...]

    @classmethod
    def fit(cls, raw: NDArray[np.floating[Any]], names: Sequence[str], quantiles: int = 100) -> QuantileTransform:
        """Fit on ``raw`` [n, F], NaN (or infinite) where unknown; a feature of few distinct values is kept exactly.

        Raises:
            ValueError: ``raw`` is not [n, F] with F names that differ.
        """
        values = _checked(raw, names)
        if len(set(names)) < len(names):
            raise ValueError(f"feature names repeat: {list(names)}")
        fitted = [_fit_one(column, quantiles) for column in values.T]
        return cls(tuple(names), tuple(k for k, _ in fitted), tuple(levels for _, levels in fitted))

    def apply(self, raw: NDArray[np.floating[Any]]) -> Floats:
        """Levels in [0, 1] of ``raw`` [n, F], NaN where it is unknown, [n, F] float32.

        Raises:
            ValueError: ``raw`` does not have the fitted features.
        """
        values = _checked(raw, self.names)
        out = np.full(values.shape, np.nan, dtype=np.float32)
        for feature, (knots, levels) in enumerate(zip(self.knots, self.levels, strict=True)):
            known = np.isfinite(values[:, feature]) & (len(knots) > 0)
            if known.any():
                out[known, feature] = np.clip(np.interp(values[known, feature], knots, levels), 0, 1)
        return out

    def to_json(self) -> dict[str, Any]:
        return {
            "names": list(self.names),
            "knots": [k.tolist() for k in self.knots],
            "levels": [levels.tolist() for levels in self.levels],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> QuantileTransform:
        """What :meth:`to_json` wrote."""
        knots, levels = (
            tuple(np.asarray(column, dtype=np.float64) for column in value[key]) for key in ("knots", "levels")
        )
        return cls(tuple(value["names"]), knots, levels)


def _checked(raw: NDArray[np.floating[Any]], names: Sequence[str]) -> NDArray[np.float64]:
    """``raw`` as float64 of float32's precision, so that a value has one level however it was stored."""
    if raw.ndim != 2 or raw.shape[1] != len(names):
        raise ValueError(f"features have shape {raw.shape}; give [n, {len(names)}] for {', '.join(names)}")
    with np.errstate(over="ignore"):
        return raw.astype(np.float32).astype(np.float64)


def _fit_one(column: NDArray[np.float64], quantiles: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Knots and mid-ranks of one feature."""
    values = np.sort(column[np.isfinite(column)])
    knots = np.unique(values)
    if len(knots) > quantiles + 1:
        ranks = np.linspace(0, len(values) - 1, quantiles + 1).round().astype(np.int64)
        knots = np.unique(values[ranks])
    below, through = (np.searchsorted(values, knots, side=side) for side in ("left", "right"))
    return knots, (below + through) / (2 * max(len(values), 1))
