"""The ranker: a weight per feature, one set for queries that led to items before and one for all others; and trees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.ranking.candidates import DEPTH, SOURCES, Pairs
from training.ranking.features import GROUPS, group_of
from training.ranking.trees import Trees

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
CLASSES = ("known", "unknown")
"""Of queries: whether the query had led to an item when the towers learned. What a source is worth depends on it: the
graph and the towers remember, BM25 reads."""
TOWERS = "towers"
SAME_FOR_ALL = "same for all"
"""The part of a score that is the same for all candidates of a class: where trees begin."""
RULES: dict[str, dict[str, float]] = {
    TOWERS: {"towers_cosine": 1.0, "quality_prior": 1.0},
    "bm25": {"lexical_rank": 1.0},
    "hybrid": {"towers_rank": 1.0, "lexical_rank": 1.0},
    "hybrid with text": {"towers_rank": 1.0, "lexical_rank": 1.0, "text_rank": 1.0},
    "random walk": {"graph_share": 1.0, "towers_cosine": 0.001},
    "all sources": {"towers_rank": 1.0, "lexical_rank": 1.0, "graph_rank": 1.0},
}
"""Orders that need no fitting, as weights: what a ranker begins at, has to beat, and falls back to. What no walk leads
to follows in the order of the towers."""


@dataclass(frozen=True)
class Ranker:
    """Score = sum over features of weight x value, an unknown value read as ``fill``, and what trees add to it."""

    features: tuple[str, ...]
    weights: Mapping[str, F64]
    """By class, [features]."""
    fill: F64
    """[features]."""
    trees: Mapping[str, Trees] = field(default_factory=dict)
    """By class, of those that have some."""

    @classmethod
    def of_rules(cls, features: tuple[str, ...], rules: Mapping[str, str]) -> Ranker:
        """The ranker that follows one of ``RULES`` per class."""
        weights = {name: rule_weights(features, rule) for name, rule in rules.items()}
        return cls(features, weights, np.zeros(len(features)))

    @classmethod
    def of_towers(cls, features: tuple[str, ...]) -> Ranker:
        """The ranker that follows the towers."""
        return cls.of_rules(features, dict.fromkeys(CLASSES, TOWERS))

    def aligned(self, features: tuple[str, ...]) -> Ranker:
        """The same ranker over ``features``, of which those that it does not know count for nothing.

        Raises:
            KeyError: it reads a feature that is none of them.
        """
        if absent := [name for name in self.features if name not in features]:
            raise KeyError(", ".join(absent))
        place = [features.index(name) for name in self.features]

        def spread(values: F64) -> F64:
            out = np.zeros(len(features))
            out[place] = values
            return out

        weights = {name: spread(values) for name, values in self.weights.items()}
        trees = {name: own.at(np.array(place)) for name, own in self.trees.items()}
        return Ranker(features, weights, spread(self.fill), trees)

    def reads_users(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether what a user did counts for queries of these classes, [n]."""
        of_user = np.array([group_of(name) == "user" for name in self.features])
        reads = (name in self.trees or bool(self.weights[name][of_user].any()) for name in CLASSES)
        return np.where(known, *reads)

    def reads_sources(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Which of ``SOURCES`` count for queries of these classes, [n, sources]; the towers also where what text or
        quality prior say of their items does."""
        of_source = {"towers": ("towers", "quality", "text"), "lexical": ("lexical",), "graph": ("graph",)}
        features = [
            np.isin(self.features, [f for group in of_source[source] for f in GROUPS[group]]) for source in SOURCES
        ]
        reads = np.array([[name in self.trees or self.weights[name][of].any() for of in features] for name in CLASSES])
        return np.asarray(np.where(known[:, None], reads[0], reads[1]))

    def follows_towers(self, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether queries of these classes [n] are served as the towers find, so that nothing is to be ordered."""
        rule = rule_weights(self.features, TOWERS)
        return np.where(known, *(np.array_equal(self.weights[name], rule) for name in CLASSES))

    def scores(self, values: F32, known: NDArray[np.bool_]) -> F32:
        """Scores of pairs [m] from their features [m, features]; ``known``: of each pair's query, [m]."""
        filled = np.where(np.isnan(values), self.fill, values)
        by_class = filled @ np.column_stack([self.weights[name] for name in CLASSES])
        scores = np.where(known, by_class[:, 0], by_class[:, 1])
        for rows, trees in self._trees_of(known):
            scores[rows] += trees.scores(filled[rows])
        return scores.astype(np.float32)

    def parts(self, values: F32, known: NDArray[np.bool_]) -> dict[str, F32]:
        """What each group of features adds to the scores, [m] each; they add up to :meth:`scores`."""
        filled = np.where(np.isnan(values), self.fill, values)
        each = filled * np.where(known[:, None], self.weights["known"], self.weights["unknown"])
        groups = np.array([group_of(feature) for feature in self.features])
        if self.trees:
            each, groups = np.column_stack([each, np.zeros(len(each))]), np.append(groups, SAME_FOR_ALL)
        for rows, trees in self._trees_of(known):
            each[rows] += trees.parts(filled[rows])
        return {name: each[:, groups == name].sum(axis=1).astype(np.float32) for name in dict.fromkeys(groups.tolist())}

    def _trees_of(self, known: NDArray[np.bool_]) -> Iterator[tuple[I64, Trees]]:
        """The pairs of each class that has trees and is asked for, with its trees."""
        for name, trees in self.trees.items():
            rows = np.flatnonzero(known if name == "known" else ~known)
            if len(rows):
                yield rows, trees

    def to_json(self) -> dict[str, Any]:
        return {
            "features": list(self.features),
            "weights": {name: values.tolist() for name, values in self.weights.items()},
            "fill": self.fill.tolist(),
            "trees": {name: trees.model for name, trees in self.trees.items()},
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Ranker:
        """What :meth:`to_json` wrote."""
        weights = {name: np.array(value["weights"][name], dtype=np.float64) for name in CLASSES}
        features = tuple(value["features"])
        trees = {name: Trees(model, np.arange(len(features))) for name, model in value.get("trees", {}).items()}
        return cls(features, weights, np.array(value["fill"], dtype=np.float64), trees)


def rule_weights(features: tuple[str, ...], rule: str) -> F64:
    """Weights that order as one of ``RULES`` does, [features]."""
    return np.array([RULES[rule].get(name, 0.0) for name in features])


def in_order(
    ranker: Ranker, pairs: Pairs, values: F32, known: NDArray[np.bool_], towers: I64, k: int
) -> tuple[I64, F32]:
    """The best ``k`` items of each request, -1 for none, and their scores, [n, k] each.

    First the candidates by score, of equal ones the item of the lower number first; then, where k is more than there
    are candidates, what the towers found beyond the first ``DEPTH``, in their order and each one lower than the one
    before: a request for fewer is the beginning of one for more. What is there only since the user ordered it counts
    where users do, what a source found where that source does.

    Args:
        values: features of the pairs, [m, features]; known: of each request's query, [n];
        towers: what the towers found, best first, -1 for none, [n, depth].
    """
    reads = ranker.reads_sources(known)
    kept = ranker.reads_users(known)[pairs.row] | ((pairs.rank < DEPTH) & reads[pairs.row]).any(axis=1)
    towers = np.where(reads[:, [SOURCES.index(TOWERS)]], towers, -1)
    row, item = pairs.row[kept], pairs.item[kept]
    scores = ranker.scores(values[kept], known[row])
    return _best(row, item, scores, towers, k)


def _best(row: I64, item: I64, scores: F32, towers: I64, k: int) -> tuple[I64, F32]:
    n = len(towers)
    items = int(max(towers.max(initial=0), item.max(initial=0))) + 1
    at, column = np.nonzero(towers[:, DEPTH:] >= 0)
    further = towers[at, DEPTH + column]
    new = ~np.isin(at * items + further, row * items + item)
    lowest = np.full(n, np.inf, dtype=np.float32)
    np.minimum.at(lowest, row, scores)
    beyond = np.where(np.isfinite(lowest), lowest, 0)[at] - 1 - column
    all_rows, all_items = np.concatenate([row, at[new]]), np.concatenate([item, further[new]])
    all_scores = np.concatenate([scores, beyond[new]]).astype(np.float32)
    order = np.lexsort((all_items, -all_scores, all_rows))
    place = np.arange(len(order)) - np.searchsorted(all_rows[order], np.arange(n))[all_rows[order]]
    first = place < k
    found, best = np.full((n, k), -1, dtype=np.int64), np.full((n, k), -np.inf, dtype=np.float32)
    chosen = order[first]
    found[all_rows[chosen], place[first]] = all_items[chosen]
    best[all_rows[chosen], place[first]] = all_scores[chosen]
    return found, best
