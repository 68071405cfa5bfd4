"""Random streams by name and day: a day's draws never depend on how many days are made."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]


def stream(seed: int, name: str, *parts: int) -> np.random.Generator:
    """A generator of its own for ``name`` and ``parts`` (a day, a chunk) under ``seed``."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *parts])


def choose_by_group(rng: np.random.Generator, group: Ints, weights: NDArray[np.float64]) -> Ints:
    """Draw for each row a column of ``weights[group]`` in proportion to it; ``weights`` is [groups, values]."""
    cumulated = np.cumsum(weights, axis=1)
    cumulated /= cumulated[:, -1:]
    drawn = np.empty(len(group), np.int32)
    level = rng.random(len(group))
    for g in range(len(weights)):  # one pass per group of the vocabulary, not per row
        rows = np.flatnonzero(group == g)
        drawn[rows] = np.searchsorted(cumulated[g], level[rows], side="right")
    last: Ints = np.minimum(drawn, np.int32(weights.shape[1] - 1))
    return last
