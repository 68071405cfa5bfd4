"""What a shop must offer the simulation: the demo shop's own goods, or a given catalogue with judged queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa

from demoshop.items import Items
from demoshop.randomness import Floats, Ints
from demoshop.tastes import Tastes, Topics, Values

NARROWED_SHARE, NARROWED_PLACES = 0.4, 14
"""Share of the requests whose user filters by what is wanted, and how many places that fills at most."""


@dataclass(frozen=True)
class Asked:
    """What requests ask for: the text as typed, and hidden codes (-1: not asked for) that say what is meant by it."""

    text: pa.Array
    meant: dict[str, Ints]


class Shop(Protocol):
    """Items, topics to look for, and the hidden relevance of items to requests."""

    items: Items
    shelves: int
    topics: Topics
    values: Values

    @property
    def opening_stock(self) -> int:
        """How many of ``items`` (in order of creation) there are before the first day."""
        ...

    def items_by(self, day: int) -> int:
        """How many of ``items`` (in order of creation) there are by the end of a day."""
        ...

    def ask(self, rng: np.random.Generator, tastes: Tastes, users: Ints, need: Ints) -> Asked:
        """Requests of ``users`` [R]; those with the same ``need`` [R] look for the same thing."""
        ...

    def narrowed(self, rng: np.random.Generator, asked: Asked) -> Ints:
        """Items that users reach past the engine's words, [R, N], -1 for none: they narrow the page to a category.

        Without them everything bought would be what the engine's words find, and no other search could do better.
        """
        ...

    def relevance(self, asked: Asked, shown: Ints) -> Floats:
        """How well items fit what was asked for, 0 to 1: shown [R, K] -> [R, K]. Taste has no part in it."""
        ...

    def truth(self) -> dict[str, pa.Table]:
        """Tables that say what is relevant to what, for evaluation only."""
        ...
