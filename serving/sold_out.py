"""Items that are sold out are served further down, or not at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Best = tuple[NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class SoldOut:
    """Which items of a release are sold out, and what becomes of them."""

    rows: NDArray[np.bool_]
    """[items]."""
    places: int
    """How many places further down they are served."""

    def lowered(self, found: Best, k: int, named: int = -1) -> Best:
        """The first ``k`` of what was found, best first, when those sold out are so many places lower, but for the item
        ``named``. Which item comes n-th depends on the first n + ``places`` found, not on k."""
        rows, scores = found
        place = np.arange(len(rows)) + (self.places + 0.5) * (self.rows[rows] & (rows != named))
        order = np.argsort(place, kind="stable")[:k]
        return rows[order], scores[order]
