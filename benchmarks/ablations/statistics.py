"""Means over seeds of means over days, with bootstrap intervals; rows are compared draw by draw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.ablations.results import Column, Values
from training.evaluation.intervals import QUANTILES, RESAMPLES

Floats = NDArray[np.float64]
SEED = 7


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"

    def signed(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


@dataclass(frozen=True)
class Sample:
    """A figure of one row: ``value`` of each seed, [seeds], and of each resample of the requests,
    [resamples, seeds]."""

    seeds: tuple[int, ...]
    value: Floats
    drawn: Floats

    def of(self, seeds: tuple[int, ...]) -> Sample:
        """The same of some of its seeds."""
        place = [self.seeds.index(seed) for seed in seeds]
        return Sample(seeds, self.value[place], self.drawn[:, place])

    def resampled(self) -> Floats:
        """The mean over seeds of each resample of requests and seeds, [resamples]; seeds are drawn alike for samples
        of as many."""
        count = len(self.seeds)
        picks = np.random.default_rng([SEED, count]).integers(0, count, (len(self.drawn), count))
        mean: Floats = np.take_along_axis(self.drawn, picks, axis=1).mean(axis=1)
        return mean


def estimate(sample: Sample) -> Estimate:
    """The mean over seeds."""
    return _estimate(float(sample.value.mean()), sample.resampled())


def difference(one: Sample, other: Sample) -> Estimate | None:
    """``one - other`` over the seeds that both have; None without any."""
    pair = _common(one, other)
    if pair is None:
        return None
    a, b = pair
    return _estimate(float(a.value.mean() - b.value.mean()), a.resampled() - b.resampled())


def ratio(one: Sample, other: Sample) -> Estimate | None:
    """``one / other`` over the seeds that both have; None without any, or where ``other`` is 0."""
    pair = _common(one, other)
    if pair is None or not pair[1].value.mean():
        return None
    a, b = pair
    below = b.resampled()
    return _estimate(float(a.value.mean() / b.value.mean()), a.resampled()[below > 0] / below[below > 0])


def _common(one: Sample, other: Sample) -> tuple[Sample, Sample] | None:
    seeds = tuple(seed for seed in one.seeds if seed in other.seeds)
    return (one.of(seeds), other.of(seeds)) if seeds else None


def _estimate(value: float, drawn: Floats) -> Estimate:
    low, high = np.nanquantile(drawn, QUANTILES) if np.isfinite(drawn).any() else (np.nan, np.nan)
    return Estimate(value, min(float(low), value), max(float(high), value))


class Resampling:
    """Draws of whole users, the same for every row and seed: what they have in common cancels in a difference.

    Each draw gives a user a Poisson(1) weight, which is the bootstrap for many users (Chamandy et al., 2012). The
    requests of one user are alike, so that they do not count as independent.
    """

    def __init__(self, units: int, resamples: int = RESAMPLES) -> None:
        """``units``: one more than the highest number of a unit."""
        self._weights = np.random.default_rng(SEED).poisson(1.0, (resamples, units)).astype(np.float32)

    def sample(self, by_seed: Mapping[int, Values], column: Column, part: str | None = None) -> Sample | None:
        """The mean of the means of each day of a column, over the requests of a slice ``part``.

        Seeds that lack the column or have no such request are left out; None without any.
        """
        kept, values, drawn = [], [], []
        for seed, of in sorted(by_seed.items()):
            if column not in of.columns or (part is not None and part not in of.slices):
                continue
            counts = np.isfinite(of.columns[column])
            if part is not None:
                counts = counts & of.slices[part]
            if counts.any():
                mean, means = self._means(of.columns[column][counts], of.unit[counts], of.day[counts])
                kept.append(seed)
                values.append(mean)
                drawn.append(means)
        return Sample(tuple(kept), np.array(values), np.stack(drawn, axis=1)) if kept else None

    def _means(
        self, values: NDArray[np.float32], unit: NDArray[np.int64], day: NDArray[np.int64]
    ) -> tuple[float, Floats]:
        days, means = [], []
        for number in np.unique(day):
            rows = day == number
            weights = self._weights[:, unit[rows]]
            total = weights.sum(axis=1, dtype=np.float64)
            days.append(float(values[rows].mean(dtype=np.float64)))
            means.append(np.where(total > 0, weights @ values[rows] / np.maximum(total, 1), np.nan))
        drawn = np.stack(means)
        known = np.isfinite(drawn)
        return float(np.mean(days)), np.where(
            known.any(axis=0), np.where(known, drawn, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1), np.nan
        )
