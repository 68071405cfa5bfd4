"""Why an item was found: what its score is made of, what of the user's history it has, how others met it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from infra.contract.names import ITEM_COUNTS
from infra.contract.request import RequestContext
from serving.hits import Hit, Match, Why
from serving.ranking import Ranked

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from serving.filters import Filter
    from serving.served import ServedRelease
    from training.release.release import Release


def explained(
    served: ServedRelease,
    text: str,
    context: RequestContext,
    wanted: Filter,
    vector: NDArray[np.float32],
    towers: NDArray[np.integer[Any]],
    hits: Sequence[Hit],
) -> list[Hit]:
    """The hits, each with its ``why``.

    Args:
        text: the normalised query; vector: its own, [width + f]; towers: what the towers found, best first.
    """
    if not hits:
        return []
    release = served.release
    rows = release.encoder.known_row_indexes([hit.item_id for hit in hits])
    if not text:
        ranked = _listed(served, context, np.array(rows, dtype=np.int64))
    else:
        ranked = _ranked(served, text, context, wanted, vector, towers.astype(np.int64))
    named: dict[int, int] = {}
    if served.ranking is not None and text:
        (own,) = served.ranking.named([text], served.exact.mask(wanted))
        named = {row: place for place, row in enumerate((row for row in rows if row in own), start=1)}
    place_of = {row: place for place, row in enumerate(towers.tolist(), start=1)}
    parts = {} if ranked else score_parts(release, vector, release.items.vectors[rows])
    taste = _Taste.of(release, context)

    def why(place: int, hit: Hit, item: Mapping[str, Any]) -> Why:
        own = {name: float(values[place]) for name, values in parts.items()}
        found = ranked.get(rows[place])
        if found is None:
            there = place_of.get(rows[place])
            found = Ranked(own or {"beyond": hit.score}, {"towers": there} if there else {})
        if rows[place] in named:
            found = Ranked({"number": hit.score}, {"number": named[rows[place]]})
        return Why(found.parts, found.places, taste.matches(item), _met(item))

    return [
        replace(hit, why=why(i, hit, item))
        for i, (hit, item) in enumerate(zip(hits, release.items.rows(rows), strict=True))
    ]


def _listed(served: ServedRelease, context: RequestContext, rows: NDArray[np.int64]) -> dict[int, Ranked]:
    parts = served.listed_parts(context, rows)
    return {
        row: Ranked({name: float(values[i]) for name, values in parts.items()}, {})
        for i, row in enumerate(rows.tolist())
    }


def _ranked(
    served: ServedRelease,
    text: str,
    context: RequestContext,
    wanted: Filter,
    vector: NDArray[np.float32],
    towers: NDArray[np.int64],
) -> dict[int, Ranked]:
    if served.ranking is None:
        return {}
    return served.ranking.explain(text, context, vector, towers, served.exact.mask(wanted))


def score_parts(
    release: Release, vector: NDArray[np.float32], items: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    """What each part of the vectors adds to the scores of n items, [n] per part; ``items`` is [n, width + f]."""
    config = release.encoder.config
    bounds = {
        "learned": config.dim,
        "text": config.width_without_history,
        "history": config.width,
        "boost": len(vector),
    }
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
        chosen = release.items.rows(release.encoder.known_row_indexes([*context.recent_items, *context.recent_orders]))
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
