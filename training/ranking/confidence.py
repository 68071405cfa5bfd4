"""Whether anything fits a query: how near its nearest items are.

A log has next to no queries that are none of the shop's business, so this is no probability. A query fits nothing that
is farther from the catalogue both than few of those that led to a click, and than most of queries made of unrelated
words. UEPPR leaves out items below a threshold of relevance that is set; this one is about the query, and measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.model.search import exact_top
from training.text.general_words import general_words

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]
NEAREST = 10
"""Items that have to be near: of one alone any word in common makes a neighbour."""
MISSED = 0.03
"""Share of the queries that led to a click which may be said to fit nothing."""
UNRELATED = 0.95
"""Share of the queries of unrelated words below whose nearness the cut stays: where everybody asks in the words of the
catalogue, a query need not be as near as theirs."""
MADE, WORDS_EACH = 500, 2
"""Queries of unrelated words, and words of each."""
LEAST_QUERIES = 34
"""Distinct queries without which no cut is told: of these one is the share that may be missed."""


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


def nearness(text: F32 | None, item_text: NDArray[np.floating] | None, found: I64) -> F32:
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


def unrelated_queries(seed: int) -> list[str]:
    """Queries of words that have nothing to do with each other, nor, but for few, with a shop, [MADE].

    Raises:
        TextEncoderError: the package with MiniLM, whose words they are, is missing.
    """
    drawn = np.random.default_rng(seed).choice(general_words().to_numpy(zero_copy_only=False), (MADE, WORDS_EACH))
    return [" ".join(words) for words in drawn.tolist()]


def fit_confidence(near: F32, unrelated: F32, items: F32) -> Confidence | None:
    """The cut below which at most ``MISSED`` of the queries lie that led to a click; None for too few of them.

    Args:
        near: nearness of distinct queries that led to a click, NaN where unknown, [n];
        unrelated: of :func:`unrelated_queries` by the text encoder, [m, width]; items: of all items, [items, width];
            both of length 1 or 0.
    """
    found, _ = exact_top(unrelated, items, NEAREST)
    far = nearness(unrelated, items, found)
    near, far = near[np.isfinite(near)], far[np.isfinite(far)]
    if len(near) < LEAST_QUERIES or not len(far):
        return None
    cut = min(np.quantile(near, MISSED, method="lower"), np.quantile(far, UNRELATED))
    return Confidence(round(float(cut), 4), len(near))
