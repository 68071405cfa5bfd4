"""Why an item was found: what its score is made of, what of the user's history it has, how others met it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.contract.names import ITEM_COUNTS
from infra.contract.request import RequestContext
from serving.hits import Hit, Match, Why

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from training.release.release import Release


def explained(release: Release, vector: NDArray[np.float32], hits: Sequence[Hit], context: RequestContext) -> list[Hit]:
    """The hits, each with its ``why``. ``vector`` is the query's, [width + f]."""
    rows = release.encoder.rows([hit.item_id for hit in hits])
    parts = score_parts(release, vector, release.items.vectors[rows])
    taste = _Taste.of(release, context)
    return [
        replace(
            hit, why=Why({name: float(values[i]) for name, values in parts.items()}, taste.matches(item), _met(item))
        )
        for i, (hit, item) in enumerate(zip(hits, release.items.rows(rows), strict=True))
    ]


def score_parts(
    release: Release, vector: NDArray[np.float32], items: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """What each part of the vectors adds to the scores of n items, [n] per part; ``items`` is [n, width + f]."""
    config = release.encoder.towers.config
    bounds = {"learned": config.dim, "text": config.width, "boost": len(vector)}
    parts, start = {}, 0
    for name, end in bounds.items():
        if end > start:
            parts[name] = items[:, start:end] @ vector[start:end]
        start = end
    return parts


@dataclass(frozen=True)
class _Taste:
    """What a user's history has that an item may have too."""

    clicked: frozenset[str]
    ordered: frozenset[str]
    brands: frozenset[str]
    categories: frozenset[str]
    tags: frozenset[str]

    @classmethod
    def of(cls, release: Release, context: RequestContext) -> _Taste:
        chosen = release.items.rows(release.encoder.rows([*context.recent_items, *context.recent_orders]))
        return cls(
            frozenset(context.recent_items),
            frozenset(context.recent_orders),
            frozenset(context.recent_brands),
            frozenset(_leaf(item) for item in chosen),
            frozenset(context.ordered_tags),
        )

    def matches(self, item: Mapping[str, Any]) -> tuple[Match, ...]:
        found = []
        if item["item_id"] in self.ordered:
            found.append(Match("ordered before", item["item_id"]))
        elif item["item_id"] in self.clicked:
            found.append(Match("clicked before", item["item_id"]))
        if item.get("brand") in self.brands:
            found.append(Match("brand", item["brand"]))
        if _leaf(item) and _leaf(item) in self.categories:
            found.append(Match("category", _leaf(item)))
        return (*found, *(Match("tag", tag) for tag in item.get("tags") or () if tag in self.tags))


def _leaf(item: Mapping[str, Any]) -> str:
    path = item.get("category_path") or [""]
    return path[-1] or ""


def _met(item: Mapping[str, Any]) -> dict[str, int]:
    return {name: int(item[name]) for name in ITEM_COUNTS if item.get(name) is not None}
