"""Vectors that carry the boost, so that one search by inner product ranks by relevance and quality together."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float32]


def items_with_quality(vectors: Floats, quality: Floats) -> Floats:
    """p' = [p ; f(p)]: item vectors [m, d] and their quality [m, f] to [m, d + f].

    The first d entries stay the unit vector, so p' is longer than 1: the index must rank by inner product, not by
    cosine.
    """
    return np.concatenate([vectors, quality], axis=1, dtype=np.float32)


def query_with_prior(vector: Floats, weights: ArrayLike) -> Floats:
    """q' = [q ; w]: a query vector [d], or several [n, d], and the weights [f] to [d + f] or [n, d + f]."""
    w = np.asarray(weights, dtype=np.float32)
    return np.concatenate([vector, np.broadcast_to(w, (*vector.shape[:-1], len(w)))], axis=-1)
