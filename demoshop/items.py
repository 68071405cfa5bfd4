"""A catalogue as the simulation sees it: columns of codes, one entry per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa

from demoshop.randomness import Floats, Ints, Longs


@dataclass(frozen=True)
class Items:
    """Items in order of creation; a code is -1 where the catalogue does not say.

    ``shelf`` is the finest category. ``price_level`` is the price against the shelf's, in standard deviations;
    ``quality`` and ``popularity`` are about standard normal. ``created`` is in microseconds since 1970 (UTC).
    ``keywords`` is further text that the shop's engine searches besides titles.
    """

    ids: pa.Array
    titles: pa.Array
    keywords: pa.Array
    shelf: Ints
    brand: Ints
    style: Ints
    color: Ints
    material: Ints
    use: Ints
    price_level: Floats
    quality: Floats
    popularity: Floats
    created: Longs

    def __len__(self) -> int:
        return len(self.shelf)

    @classmethod
    def concat(cls, blocks: Sequence[Items]) -> Items:
        """The items of several blocks, one after the other."""
        columns = {f.name: [getattr(block, f.name) for block in blocks] for f in fields(cls)}
        return cls(
            **{n: pa.concat_arrays(c) if isinstance(c[0], pa.Array) else np.concatenate(c) for n, c in columns.items()}
        )


@dataclass(frozen=True)
class Shelved:
    """Items by shelf: those of shelf s are ``order[start[s]:start[s + 1]]``."""

    order: Ints
    start: Longs

    @classmethod
    def group(cls, shelf: Ints, shelves: int) -> Shelved:
        """Group items; those without a shelf (-1) are left out."""
        order = np.argsort(shelf, kind="stable").astype(np.int32)
        start = np.searchsorted(shelf[order], np.arange(shelves + 1))
        return cls(order, start.astype(np.int64))

    def draw(self, rng: np.random.Generator, shelf: Ints) -> Ints:
        """A random item of each shelf, of any shape; -1 where the shelf is -1 or empty."""
        count = self.start[shelf + 1] - self.start[shelf]
        at = self.start[shelf] + (rng.random(shelf.shape) * count).astype(np.int64)
        drawn = self.order[np.minimum(at, len(self.order) - 1)]
        return np.where((shelf < 0) | (count <= 0), -1, drawn).astype(np.int32)
