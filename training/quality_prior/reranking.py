"""What a quality prior does to the ranking of many requests, fast enough for a search over weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from training.data.ragged import Ragged
from training.model.search import exact_top, recall
from training.quality_prior.vectors import items_with_quality, query_with_prior

Floats = NDArray[np.float32]
PAGE, DEPTH = 10, 100


@dataclass(frozen=True, eq=False)
class Outcome:
    """Each request's recall of what was wanted and the mean cosine of its first ten hits, [n] each."""

    recall_10: NDArray[np.float64]
    recall_100: NDArray[np.float64]
    relevance: NDArray[np.float64]

    @property
    def objective(self) -> NDArray[np.float64]:
        """The mean of recall@10 and recall@100: the page that people see and what a later ranker gets, our choice."""
        return (self.recall_10 + self.recall_100) / 2


@dataclass(frozen=True, eq=False)
class Problem:
    """Requests with unit vectors [n, d], all items [m, d] with their quality [m, f], and what was wanted.

    Only items with ``available_from`` [m] at or before ``asked_at`` [n] are found.
    """

    queries: Floats
    items: Floats
    quality: Floats
    wanted: Ragged
    asked_at: NDArray[np.int64]
    available_from: NDArray[np.int64]

    def take(self, rows: NDArray[np.int64]) -> Problem:
        """The same shop with the requests ``rows`` only."""
        return Problem(
            self.queries[rows],
            self.items,
            self.quality,
            self.wanted.take(rows),
            self.asked_at[rows],
            self.available_from,
        )

    def outcome(self, weights: Floats) -> Outcome:
        """Exact: every request against every item."""
        queries, items = query_with_prior(self.queries, weights), items_with_quality(self.items, self.quality)
        found, _ = exact_top(queries, items, DEPTH, self.asked_at, self.available_from)
        page = found[:, :PAGE]
        cosine = np.einsum("nd,nkd->nk", self.queries, self.items[page])
        return Outcome(
            recall(found, self.wanted, PAGE), recall(found, self.wanted, DEPTH), _mean_known(cosine, page >= 0)
        )


class Reranking:
    """The nearest ``candidates`` items of each request, ranked again for any weights.

    A wanted item that is no candidate competes against the candidates only, and an item that is neither never
    enters: with all items as candidates this is exact, with fewer it is an approximation that :meth:`proven` bounds.
    """

    def __init__(self, problem: Problem, candidates: int) -> None:
        self._problem = problem
        self._found, self._cosine = exact_top(
            problem.queries, problem.items, candidates, problem.asked_at, problem.available_from
        )
        self._row, self._wanted = problem.wanted.rows_of_entries(), problem.wanted.ids
        own = np.einsum("ed,ed->e", problem.queries[self._row], problem.items[self._wanted])
        late = problem.available_from[self._wanted] > problem.asked_at[self._row]
        own = np.where(late, -np.inf, own).astype(np.float32)
        # the same float as among the candidates, or an item would outrank itself by a rounding error
        entry, place = np.nonzero(self._found[self._row] == self._wanted[:, None])
        own[entry] = self._cosine[self._row[entry], place]
        self._own = own

    def outcome(self, weights: Floats) -> Outcome:
        """Recall and relevance with ``weights`` [f]."""
        boost = self._problem.quality @ weights
        scores = self._cosine + boost[self._found]
        own = self._own + boost[self._wanted]
        rank = (scores[self._row] > own[:, None]).sum(axis=1)
        page = torch.from_numpy(scores).topk(min(PAGE, scores.shape[1]), dim=1).indices.numpy()
        cosine = np.take_along_axis(self._cosine, page, axis=1)
        return Outcome(
            self._recall((rank < PAGE) & np.isfinite(own)),
            self._recall((rank < DEPTH) & np.isfinite(own)),
            _mean_known(cosine, np.isfinite(cosine)),
        )

    def proven(self, weights: Floats) -> float:
        """Share of requests whose first hundred are certain: no item outside the candidates can reach them.

        An outsider has at most the last candidate's cosine and the best boost of all items.
        """
        boost = self._problem.quality @ weights
        if self._found.shape[1] == len(boost):
            return 1.0
        scores = np.sort(self._cosine + boost[self._found], axis=1)
        last = scores[:, -min(DEPTH, scores.shape[1])]
        return float((last >= self._cosine[:, -1] + boost.max()).mean())

    def _recall(self, hit: NDArray[np.bool_]) -> NDArray[np.float64]:
        lengths = self._problem.wanted.lengths
        share: NDArray[np.float64] = np.bincount(self._row, weights=hit, minlength=len(lengths)) / lengths
        return share


def _mean_known(values: Floats, known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean of each row's known values, [n]; 0 where there is none."""
    total = np.where(known, values, 0).sum(axis=1, dtype=np.float64)
    mean: NDArray[np.float64] = total / np.maximum(known.sum(axis=1), 1)
    return mean
