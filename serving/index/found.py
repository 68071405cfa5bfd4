"""What every index answers with, and the one interface to all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from serving.filters import Filter


class Found(NamedTuple):
    """The best rows of a release per query, best first: rows [n, k], -1 where there are no more, and inner products
    [n, k]. Of equal scores, the lower row comes first."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float32]


class VectorIndex(Protocol):
    """Searches the items of one release."""

    def search(self, queries: NDArray[np.float32], k: int, wanted: Filter, timeout_s: float | None = None) -> Found:
        """The best ``k`` of the items that match, for each of ``queries`` [n, d]: fewer only where fewer match.

        Args:
            timeout_s: longest wait for another process, if that is shorter than the index's own.

        Raises:
            IndexUnavailable: the index is away.
        """
        ...


def in_order(rows: NDArray[np.int64], scores: NDArray[np.float32]) -> Found:
    """Sort each query's rows [n, k] by score, those of equal score by row; -1, with score -inf, comes last."""
    if (scores[:, :-1] > scores[:, 1:]).all():
        return Found(rows, scores)
    order = np.lexsort((rows, -scores), axis=-1)
    lines = np.arange(len(rows))[:, None]
    return Found(rows[lines, order], scores[lines, order])


def best_of(rows: NDArray[np.int64], scores: NDArray[np.float32], k: int) -> Found:
    """The best ``k`` of rows [n, m] by score, in order; where m is below k, all."""
    if k < rows.shape[1]:
        kept = np.argpartition(scores, -k, axis=-1)[:, -k:]
        lines = np.arange(len(rows))[:, None]
        rows, scores = rows[lines, kept], scores[lines, kept]
    return in_order(rows, scores)
