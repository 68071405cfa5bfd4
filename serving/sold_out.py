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
    """How many items that are in stock they are served behind, of those that follow."""

    def lowered(self, found: Best, k: int, named: NDArray[np.int64] | None = None) -> Best:
        """The first ``k`` of what was found, best first, when those sold out come so many places later, but for the
        items ``named``."""
        rows, scores = found
        is_lower = self.rows[rows]
        if named is not None:
            is_lower &= ~np.isin(rows, named)
        place = np.cumsum(~is_lower) + (self.places + 0.5) * is_lower
        order = np.argsort(place, kind="stable")[:k]
        return rows[order], scores[order]
