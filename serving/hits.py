"""What a retrieval finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Match:
    """Something that an item has in common with the user's history: a ``kind`` such as ``brand``, and its value."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Why:
    """``parts`` of the score add up to it: ``learned``, ``text`` (what a text encoder says) and ``boost`` (quality).
    ``stages``: how often the item was shown, clicked and ordered in the 30 days before the release."""

    parts: Mapping[str, float]
    matched: tuple[Match, ...]
    stages: Mapping[str, int]


class Hit(NamedTuple):
    """An item found. ``score`` is the cosine of query and item vector, and the boost where the release boosts;
    ``why`` only where an explanation was asked for."""

    item_id: str
    score: float
    why: Why | None = None


_new_hit = partial(tuple.__new__, Hit)
"""As ``Hit``, in half the time: a thousand hits would take as long to name as to find."""


def hits_of(ids: list[str], scores: list[float]) -> list[Hit]:
    """Hits without a reason, in order."""
    return list(map(_new_hit, zip(ids, scores, repeat(None))))
