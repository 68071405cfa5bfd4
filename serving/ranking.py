"""The second stage of a release: the towers' candidates, BM25's, the graph's and the user's own in one order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from training.ranking.candidates import DEPTH, SOURCES, Asked, Pairs, candidates
from training.ranking.features import pair_features
from training.ranking.item_numbers import named_first
from training.ranking.ranker import LinearRanker, in_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.contract.request import RequestContext
    from training.release.release import Release

    Rows = NDArray[np.int64]
    Floats = NDArray[np.float32]


class Ranked(NamedTuple):
    """Why an item is where it is."""

    parts: dict[str, float]
    """What each group of features adds to the score."""
    places: dict[str, int]
    """Its place in each source that has it among its first, from 1."""


class Ranking:
    """Orders candidates by the release's ranker. Read-only, so threads may share it."""

    def __init__(self, release: Release, ranker: LinearRanker) -> None:
        self._encoder, self._sources, self._ranker = release.encoder, release.sources, ranker

    def is_personal(self, context: RequestContext) -> bool:
        """Whether the order reads anything that is known of the user."""
        return self._ranker.reads_users and bool(context.recent_items or context.order_history)

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
        asked = self._asked(texts, contexts, vectors, allowed)
        depth = max(DEPTH, *(len(rows) for rows, _ in towers))
        found = np.full((len(texts), depth), -1, dtype=np.int64)
        for row, (rows, _) in enumerate(towers):
            found[row, : len(rows)] = rows
        pairs, values = self._valued(found, asked)
        known = asked.graph.known
        ordered, scores = in_order(pairs, self._ranker.scores(values, known[pairs.row]), found, k)
        hits = [
            (rows[:k], cosines[:k]) if as_found else (own[own >= 0], best[own >= 0])
            for as_found, (rows, cosines), own, best in zip(
                self._ranker.follows_towers(known), towers, ordered, scores, strict=True
            )
        ]
        named = self._named(texts, known, allowed)
        return [
            (rows, best) if item < 0 else named_first(rows, best, item, k)
            for item, (rows, best) in zip(named.tolist(), hits, strict=True)
        ]

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
        asked = self._asked([text], [context], vector[None], allowed)
        if self._ranker.follows_towers(asked.graph.known)[0]:
            return {}
        pairs, values = self._valued(towers[None], asked)
        parts = self._ranker.parts(values, asked.graph.known[pairs.row])
        return {
            item: Ranked(
                {name: float(added[i]) for name, added in parts.items()},
                {name: int(place) + 1 for name, place in zip(SOURCES, pairs.rank[i], strict=True) if place < DEPTH},
            )
            for i, item in enumerate(pairs.item.tolist())
        }

    def named(self, text: str, allowed: NDArray[np.bool_] | None) -> int:
        """The item that a normalised query names by its number, -1 for none."""
        return int(self._named([text], self._sources.graph.walked([text]).known, allowed)[0])

    def _named(
        self, texts: Sequence[str], known: NDArray[np.bool_], allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        named = self._sources.numbers.named(texts, known)
        return named if allowed is None else np.where(allowed[named], named, -1)

    def _asked(
        self,
        texts: Sequence[str],
        contexts: Sequence[RequestContext],
        vectors: Floats,
        allowed: NDArray[np.bool_] | None,
    ) -> Asked:
        numbers = self._encoder.numbers
        return Asked(
            vectors=vectors,
            lexical=self._sources.lexical.scores(texts),
            graph=self._sources.graph.walked(texts),
            recent_items=_padded([numbers(context.recent_items) for context in contexts]),
            order_history=_padded([numbers(context.order_history) for context in contexts]),
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
