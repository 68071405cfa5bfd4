"""The second stage of a release: the towers' candidates, BM25's, the graph's and the user's own in one order."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.model.search import CHUNK_SCORES
from training.ranking.candidates import DEPTH, SOURCES, Asked, Pairs, candidates
from training.ranking.confidence import nearness
from training.ranking.features import pair_features
from training.ranking.item_numbers import depth_of, named_first
from training.ranking.ranker import Ranker, in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.contract.request import RequestContext
    from training.release.release import Release

    Rows = NDArray[np.int64]
    Floats = NDArray[np.float32]


class Fit(NamedTuple):
    """Whether anything of the whole catalogue fits a query."""

    confident: bool | None = None
    """None where the release cannot tell."""
    chance: float | None = None
    """That somebody clicks among the first ten; None where the release cannot tell."""


class Ranked(NamedTuple):
    """Why an item is where it is."""

    parts: dict[str, float]
    """What each group of features adds to the score."""
    places: dict[str, int]
    """Its place in each source that has it among its first, from 1."""


class Ranking:
    """Orders candidates by the release's ranker. Read-only, so threads may share it."""

    def __init__(self, release: Release, ranker: Ranker) -> None:
        self._encoder, self._sources, self._ranker = release.encoder, release.sources, ranker
        self._confidence, self._chance = release.confidence, release.click_chance

    def over(self, release: Release) -> Ranking:
        """The same over other items of its release."""
        return type(self)(release, self._ranker)

    def corrected(self, text: str) -> str:
        """A normalised query as the shop spells it."""
        spelling = self._sources.spelling
        return text if spelling is None else spelling.corrected(text)

    def is_same_query(self, typed: str, corrected: str) -> bool:
        """Whether a normalised query is corrected but for the endings of its words, if at all."""
        spelling = self._sources.spelling
        return typed == corrected if spelling is None else spelling.is_same(typed, corrected)

    def undecided(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Of which normalised queries it has to be looked how near the nearest items are; none where the release cannot
        tell anything by it.

        What led to an item before fits something, and is looked at for its chance alone; an item's own number fits.
        """
        if self._confidence is None and self._chance is None:
            return np.zeros(0, dtype=np.int64)
        names_none = np.array([not len(rows) for rows in self.named(texts, None)], dtype=np.bool_)
        if self._chance is not None:
            return np.flatnonzero(names_none)
        return np.flatnonzero(~self._sources.graph.led_somewhere(texts) & names_none)

    def fits(self, texts: Sequence[str], towers: Rows) -> list[Fit]:
        """Whether anything fits n queries; ``towers``: rows that the towers find in the whole catalogue, best first,
        [n, DEPTH]."""
        near = nearness(self._encoder.text_vectors(texts), self._sources.items.text, towers)
        led = self._sources.graph.led_somewhere(texts)
        chance = np.full(len(near), np.nan) if self._chance is None else self._chance.of(near, led)
        return [
            Fit(fit, None if isnan(share) else round(share, 4))
            for fit, share in zip(self._confident(near, led), chance.tolist(), strict=True)
        ]

    @property
    def fit_of_decided(self) -> Fit:
        """Of a query that :meth:`undecided` leaves out: something fits it, where the release has a cut at all."""
        return Fit(None if self._confidence is None else True)

    def _confident(self, near: Floats, led: NDArray[np.bool_]) -> list[bool | None]:
        """Of n queries by their nearness and whether they led to an item before; None where there is no cut, or no text
        that can be compared."""
        if self._confidence is None:
            return [None] * len(near)
        fits, told = led | (near >= self._confidence.cut), led | ~np.isnan(near)
        return [fit if known else None for fit, known in zip(fits.tolist(), told.tolist(), strict=True)]

    def is_personal(self, text: str, context: RequestContext) -> bool:
        """Whether the order for a normalised query reads anything that is known of the user."""
        known = self._sources.graph.known([text])
        return bool(self._ranker.reads_users(known)[0]) and bool(context.recent_items or context.order_history)

    def order(
        self,
        texts: Sequence[str],
        contexts: Sequence[RequestContext],
        vectors: Floats,
        towers: Sequence[tuple[Rows, Floats]],
        k: int,
        allowed: NDArray[np.bool_] | None,
    ) -> list[tuple[Rows, Floats]]:
        """Rows and scores of the best ``k`` items of each of n requests.

        Args:
            texts: normalised queries; vectors: theirs, [n, width + f];
            towers: rows that the towers found, best first, at least ``DEPTH`` where there are so many, and scores;
            allowed: which items match the filter, [items]; None: all.
        """
        known = self._sources.graph.known(texts)
        named = self.named(texts, allowed)
        depth = max(k, depth_of(named))
        hits = [(rows[:depth], scores[:depth]) for rows, scores in towers]
        ranked = np.flatnonzero(~self._ranker.follows_towers(known)).tolist()
        step = max(1, CHUNK_SCORES // max(len(self._sources.items.brand), 1))
        for start in range(0, len(ranked), step):
            places = ranked[start : start + step]
            asked = self._asked([texts[i] for i in places], [contexts[i] for i in places], vectors[places], allowed)
            found = np.full((len(places), max(DEPTH, *(len(towers[i][0]) for i in places))), -1, dtype=np.int64)
            for row, i in enumerate(places):
                found[row, : len(towers[i][0])] = towers[i][0]
            pairs, values = self._valued(found, asked)
            rows, scores = in_order(self._ranker, pairs, values, asked.graph.known, found, depth)
            for i, own, best in zip(places, rows, scores, strict=True):
                hits[i] = own[own >= 0], best[own >= 0]
        return [
            named_first(rows, scores, items, k) if len(items) else (rows[:k], scores[:k])
            for items, (rows, scores) in zip(named, hits, strict=True)
        ]

    def named(self, texts: Sequence[str], allowed: NDArray[np.bool_] | None) -> list[Rows]:
        """The items that each normalised query names by a number of theirs, mostly none, [n]."""
        known = self._sources.graph.known(texts)
        return self._sources.numbers.named(texts, known, None if allowed is None else allowed[None])

    def explain(
        self,
        text: str,
        context: RequestContext,
        vector: Floats,
        towers: Rows,
        allowed: NDArray[np.bool_] | None,
    ) -> dict[int, Ranked]:
        """Of each candidate of one request why it is where it is, by row; nothing where it is as the towers find it.

        Arguments as of :meth:`order`, for one request.
        """
        if self._ranker.follows_towers(self._sources.graph.known([text]))[0]:
            return {}
        asked = self._asked([text], [context], vector[None], allowed)
        pairs, values = self._valued(towers[None], asked)
        parts = self._ranker.parts(values, asked.graph.known[pairs.row])
        return {
            item: Ranked(
                {name: float(added[i]) for name, added in parts.items()},
                {name: int(place) + 1 for name, place in zip(SOURCES, pairs.rank[i], strict=True) if place < DEPTH},
            )
            for i, item in enumerate(pairs.item.tolist())
        }

    def _asked(
        self,
        texts: Sequence[str],
        contexts: Sequence[RequestContext],
        vectors: Floats,
        allowed: NDArray[np.bool_] | None,
    ) -> Asked:
        row_indexes = self._encoder.row_indexes
        return Asked(
            vectors=vectors,
            lexical=self._sources.lexical.scores(texts),
            graph=self._sources.graph.walked(texts),
            recent_items=_padded([row_indexes(context.recent_items) for context in contexts]),
            order_history=_padded([self._encoder.known_row_indexes(context.order_history) for context in contexts]),
            text=self._encoder.text_vectors(texts),
            allowed=None if allowed is None else allowed[None],
        )

    def _valued(self, towers: Rows, asked: Asked) -> tuple[Pairs, Floats]:
        pairs = candidates(towers, asked)
        return pairs, pair_features(pairs, asked, self._sources.items)


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Rows of different lengths as one array, -1 pads."""
    out = np.full((len(rows), max(map(len, rows), default=0)), -1, dtype=np.int32)
    for at, row in enumerate(rows):
        out[at, : len(row)] = row
    return out
