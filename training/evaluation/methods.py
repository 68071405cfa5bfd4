"""The methods that are measured, by name: each takes requests to the items it finds for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from infra.settings import Settings, TrainingSettings
from training.baselines import (
    bm25_top,
    item_quality,
    popular_top,
    popular_within_matches,
    random_walk_top,
    sentence_vectors,
    zero_shot_top,
)
from training.data.arrays import Arrays
from training.evaluation.metrics import DEPTH
from training.model.encoding import encode_catalog, encode_requests
from training.model.search import exact_top
from training.model.towers import Towers
from training.quality_prior import QualityPrior, items_with_quality, query_with_prior
from training.ranking.bm25 import Bm25, catalog_text
from training.ranking.fitting import FittedRanker
from training.ranking.random_walk import RandomWalk
from training.ranking.ranker import Ranker
from training.ranking.second_stage import SecondStage
from training.run.ranking import second_stage
from training.text import AS_IT_COMES

I64 = NDArray[np.int64]
Method = Callable[[I64], I64]
"""Requests [n] to items [n, k], best first, -1 for none, only such as existed at the request's time."""
Fusion = tuple[str, ...]
"""Methods whose rankings are fused."""

FUSIONS: dict[str, Fusion] = {"hybrid": ("towers", "bm25"), "zero-shot + bm25": ("zero-shot", "bm25")}
SERVED = "served"
"""What ``retrieve()`` answers: candidates of all sources in the ranker's order."""
NOBODY_SERVED = "served, not personalized"
"""The same for people of whom nothing is known: what is served without it is what personalization is worth."""
TOWERS = "towers"
NOBODY_TOWERS = "towers, not personalized"
BOOSTED = "towers, boosted"
WITHIN_MATCHES = "popularity within bm25 matches"
ALL = (
    SERVED, NOBODY_SERVED, TOWERS, BOOSTED, NOBODY_TOWERS, "hybrid", "bm25", "bm25 x quality",
    "random walk", "popularity", WITHIN_MATCHES, "zero-shot", "zero-shot + bm25",
)  # fmt: skip
WITHOUT_USERS = {SERVED: NOBODY_SERVED, TOWERS: NOBODY_TOWERS}
"""Methods, and the same for people of whom nothing is known."""
BASELINES = ("bm25", "bm25 x quality", "random walk", "popularity", WITHIN_MATCHES, "zero-shot", "zero-shot + bm25")
"""What has nothing of the towers in it."""


def nightly_methods(
    training: TrainingSettings, arrays: Arrays, prior: QualityPrior | None, ranker: FittedRanker | None = None
) -> tuple[str, ...]:
    """What every night measures; what is served where a ranker was fitted, boosted towers where weights are in force,
    the zero-shot encoder only where its vectors are there anyway, popularity not once more within matches."""
    left_out = {WITHIN_MATCHES}
    if training.text_encoder not in AS_IT_COMES or arrays.text is None:
        left_out |= {name for name in ALL if "zero-shot" in name}
    if prior is None or not prior.weights.on:
        left_out.add(BOOSTED)
    if ranker is None:
        left_out |= {SERVED, NOBODY_SERVED}
    return tuple(name for name in ALL if name not in left_out)


@dataclass(frozen=True)
class Searches:
    """Named methods and fusions of them, each made when it is first needed.

    ``makers`` make a method (an index, vectors of the catalogue); ``fusions`` name methods of ``makers``.
    """

    makers: Mapping[str, Callable[[], Method]]
    fusions: Mapping[str, Fusion] = field(default_factory=dict)

    def with_method(self, name: str, maker: Callable[[], Method]) -> Searches:
        """The same with one more."""
        return Searches({**self.makers, name: maker}, self.fusions)

    def parts_of(self, names: Sequence[str]) -> list[str]:
        """The methods to run so that all of ``names`` can be measured.

        Raises:
            ValueError: a name that is no method.
        """
        unknown = [name for name in names if name not in self.makers and name not in self.fusions]
        if unknown:
            raise ValueError(f"no such method: {unknown}; there are {[*self.makers, *self.fusions]}")
        return list(dict.fromkeys(part for name in names for part in self.fusions.get(name, (name,))))


def searches_of(
    settings: Settings,
    arrays: Arrays,
    towers: Towers,
    prior: QualityPrior | None = None,
    ranker: FittedRanker | None = None,
    stage: Callable[[], SecondStage] | None = None,
) -> Searches:
    """All methods over ``arrays``; items are as they were known at the cut. Boosted towers need ``prior``, what is
    served needs ``ranker``; ``stage`` makes the second stage where it is made already."""
    text_index: list[Bm25] = []

    def bm25() -> Bm25:
        if not text_index:
            text_index.append(Bm25.of_items(catalog_text(arrays.catalog())))
        return text_index[0]

    stage = stage or cache(lambda: second_stage(settings, arrays, towers, prior))

    vectors: list[NDArray[np.float32]] = []

    def items() -> NDArray[np.float32]:
        if not vectors:
            vectors.append(encode_catalog(towers, arrays, arrays.cut, kept=settings.training.graph_kept))
        return vectors[0]

    def by_towers(personalized: bool) -> Method:
        return vector_method(
            arrays, items(), lambda requests: encode_requests(towers, arrays, requests, personalized=personalized)
        )

    def boosted(prior: QualityPrior) -> Method:
        quality, weights = (
            prior.quality(arrays, arrays.cut, settings.features.rate_prior),
            prior.weights.weights,
        )
        return vector_method(
            arrays,
            items_with_quality(items(), quality),
            lambda requests: query_with_prior(encode_requests(towers, arrays, requests), weights),
        )

    def lexical(factor: NDArray[np.float32] | None) -> Method:
        index = bm25()
        return lambda requests: bm25_top(arrays, requests, DEPTH, index=index, factor=factor)

    def within_matches() -> Method:
        index = bm25()
        return lambda requests: popular_within_matches(arrays, requests, DEPTH, index=index)

    def random_walk() -> Method:
        walk = RandomWalk(arrays.edges, arrays.query_texts(), arrays.cut)
        return lambda requests: random_walk_top(arrays, requests, DEPTH, walk)

    def zero_shot() -> Method:
        text = sentence_vectors(settings, arrays)
        return lambda requests: zero_shot_top(arrays, requests, DEPTH, text)

    makers: dict[str, Callable[[], Method]] = {
        TOWERS: lambda: by_towers(True),
        NOBODY_TOWERS: lambda: by_towers(False),
        "bm25": lambda: lexical(None),
        "bm25 x quality": lambda: lexical(1 + item_quality(arrays, arrays.cut)),
        "random walk": random_walk,
        "popularity": lambda: lambda requests: popular_top(arrays, requests, DEPTH),
        WITHIN_MATCHES: within_matches,
        "zero-shot": zero_shot,
    }
    if prior is not None:
        makers[BOOSTED] = lambda: boosted(prior)
    if ranker is not None:
        makers[SERVED] = lambda: served_method(stage(), ranker.ranker)
        makers[NOBODY_SERVED] = lambda: served_method(stage().without_users(), ranker.ranker)
    return Searches(makers, FUSIONS)


def served_method(stage: SecondStage, ranker: Ranker) -> Method:
    """What is served: the candidates of all sources in the ranker's order."""
    return lambda requests: stage.search(ranker, requests, DEPTH)


def vector_method(
    arrays: Arrays, item_vectors: NDArray[np.float32], encode: Callable[[I64], NDArray[np.float32]]
) -> Method:
    """Exact search by dot product over ``item_vectors`` [items, width]; ``encode`` takes requests to [n, width]."""

    def search(requests: I64) -> I64:
        return exact_top(encode(requests), item_vectors, DEPTH, arrays.request_time[requests], arrays.item_available)[0]

    return search
