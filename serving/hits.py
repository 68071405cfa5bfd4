"""What a retrieval finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

DESCRIBED = {"use_attribute_docstrings": True}
"""Has the HTTP API, which gives these types as they are, describe each field by its docstring."""


@dataclass(frozen=True, slots=True)
class Match:
    """Something that an item has in common with the user's history."""

    __pydantic_config__: ClassVar[dict[str, bool]] = DESCRIBED

    kind: str
    """`ordered before`, `clicked before`, `brand`, `category` or `tag`."""
    value: str


@dataclass(frozen=True, slots=True)
class Why:
    """Why an item is there."""

    __pydantic_config__: ClassVar[dict[str, bool]] = DESCRIBED

    parts: dict[str, float]
    """The score's parts, which add up to it: `towers` (what they learned), `quality` (the prior in the index),
    `text` (the text encoder), `lexical` (BM25), `graph` (what led to the item for this query or one like it), `user`
    (what this user did with the item, its brand and its category) and `item` (its price, rating, age and rates); where
    trees order, `same for all` (what all hits have alike: where the trees begin). Of a listing: `popularity` and
    `user`. Where the towers' own order serves: `learned`, `text`, `history`
    (this item again, or what its buyers choose) and `boost` (quality). A hit beyond all candidates
    has `beyond` alone, an item that the query names by its number has `number`."""
    sources: dict[str, int]
    """What found the item, with its place there from 1: `towers`, `lexical` and `graph`, or the item's own `number`;
    none of these where the user ordered it before."""
    matched: tuple[Match, ...]
    """What the item has in common with the user's history."""
    stages: dict[str, int]
    """How often the item was shown, clicked and ordered in the 30 days before the release."""


@dataclass(frozen=True, slots=True)
class Hit:
    """An item found."""

    __pydantic_config__: ClassVar[dict[str, bool]] = DESCRIBED

    item_id: str
    score: float
    """What hits are ordered by, but where `serving.diversity` moves similar ones apart: the ranker's score; of a
    release without one the cosine of query and item vector, and the boost where it boosts."""
    why: Why | None = None
    """Where `explain` was asked for."""
    item: dict[str, Any] | None = None
    """What the release knows of the item: title, brand, price, ...; where `items` was asked for."""


def title_of(item: Mapping[str, Any]) -> str:
    """An item for people: its title, else its category and price, else its id."""
    if item.get("title"):
        return str(item["title"])
    price = item.get("price")
    parts = [" > ".join(item.get("category_path") or []), "" if price is None else f"{price:g}"]
    return ", ".join(part for part in parts if part) or str(item["item_id"])
