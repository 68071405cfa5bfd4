"""Maximal marginal relevance: like items do not stand one after the other at the head of a list.

Carbonell and Goldstein, "The use of MMR, diversity-based reranking for reordering documents and producing summaries"
(SIGIR 1998): the next item is the one with the largest ``(1 - diversity) * relevance - diversity * similarity``, where
similarity is that to the most similar item before it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

DIVERSIFIED = 100
"""Hits that are ordered anew, however many are asked for: a request for fewer is the beginning of one for more."""


def diversified(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], diversity: float, named: int = 0
) -> NDArray[np.intp]:
    """The order of n hits, [n]: the first ``DIVERSIFIED`` by marginal relevance, all others as they are.

    Relevance is the score on a scale from 0 to 1 over those hits, similarity the cosine. The best hit stays the first,
    as do those named; of equal ones the better comes first.

    Args:
        scores: best first, [n];
        vectors: of the items, [n, d], at least of the first ``DIVERSIFIED``;
        diversity: in [0, 1]; 0: as they are, 1: by similarity alone;
        named: how many of the first were asked for by their number: their scores only say so, and are on no scale.
    """
    order = np.arange(len(scores))
    head = min(DIVERSIFIED, len(scores))
    kept = max(named, 1)
    if diversity == 0 or head < kept + 2:
        return order
    first = vectors[:head] / np.maximum(np.linalg.norm(vectors[:head], axis=1, keepdims=True), 1e-9)
    similarity = first @ first.T
    span = float(scores[named] - scores[head - 1])
    relevance = (scores[:head] - scores[head - 1]) / span if span > 0 else np.zeros(head)
    gain: NDArray[Any] = (1 - diversity) * relevance
    nearest, left = similarity[:kept].max(axis=0), np.ones(head, dtype=np.bool_)
    left[:kept] = False
    for place in range(kept, head):
        chosen = int(np.argmax(np.where(left, gain - diversity * nearest, -np.inf)))
        order[place], left[chosen] = chosen, False
        nearest = np.maximum(nearest, similarity[chosen])
    return order
