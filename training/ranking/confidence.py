"""Whether anything fits a query: how near its nearest items are, against queries that people found something for.

Nothing tells a log of queries that are none of the shop's business, so this is no probability of failure: it is a cut
below which few of the queries lie that led to a click. UEPPR leaves out items below a threshold of relevance; here the
shop's own log says where that is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
NEAREST = 10
"""Items that have to be near: of one alone any word in common makes a neighbour."""
MISSED = 0.03
"""Share of the queries that led to a click which may be said to fit nothing."""
LEAST_QUERIES = 50
"""Distinct queries without which no cut is told."""


@dataclass(frozen=True)
class Confidence:
    """Where the cut lies."""

    cut: float
    """Least nearness of a query that something fits."""
    queries: int
    """Distinct queries that it was read off."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Confidence:
        """What :meth:`to_json` wrote."""
        return cls(**value)


def nearness(text: F32 | None, item_text: NDArray[np.float16] | None, found: I64) -> F32:
    """Mean cosine of each query's text with those of its ``NEAREST`` nearest items among the found, [n]; NaN where the
    query has no text, or none of the items.

    Args:
        text: of the queries, [n, width]; item_text: of all items, [items, width]; both of length 1 or 0, None where
            there is no text encoder;
        found: rows of items, -1 for none, [n, depth].
    """
    if text is None or item_text is None:
        return np.full(len(found), np.nan, dtype=np.float32)
    held = item_text[np.maximum(found, 0)].astype(np.float32)
    cosine = np.einsum("nd,nkd->nk", text, held)
    read = (found >= 0) & held.any(axis=2) & np.asarray(text.any(axis=1))[:, None]
    nearest = -np.sort(-np.where(read, cosine, -np.inf), axis=1)[:, :NEAREST]
    there = np.isfinite(nearest)
    total = np.where(there, nearest, 0).sum(axis=1)
    return np.where(there.any(axis=1), total / np.maximum(there.sum(axis=1), 1), np.nan).astype(np.float32)


def fit_confidence(near: F32, query: I64, fitted: NDArray[np.bool_]) -> Confidence | None:
    """The cut that ``MISSED`` of the distinct queries lie below that something was found for; None for too few.

    Args:
        near: nearness of requests, NaN where unknown, [n]; query: number of each request's query, [n];
        fitted: whether the request led to a click, a cart or an order, [n].
    """
    kept = fitted & np.isfinite(near)
    _, first = np.unique(query[kept], return_index=True)
    values = near[kept][first]
    if len(values) < LEAST_QUERIES:
        return None
    return Confidence(round(float(np.quantile(values, MISSED, method="lower")), 4), len(values))
