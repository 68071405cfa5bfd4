"""Fit the ranker on requests that the towers did not learn from, and take it only where it pays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.ranking.click_chance import ClickChance
from training.ranking.confidence import Confidence
from training.ranking.features import group_of
from training.ranking.listwise import Lists, fit_listwise, fit_scale
from training.ranking.ranker import CLASSES, RULES, Ranker, rule_weights
from training.ranking.trees import Trees

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
LEAST_REQUESTS = 50
"""Of a class, without which nothing is learned for it."""
FOLDS = 5
SAMPLED = 100
"""Pairs of a request that were not chosen and that weights are learned from, of about 400: a quarter of the time."""
CUT_OFF = 100
UNPROVEN = {"known": "towers", "unknown": "hybrid with text"}
"""What serves a class where nothing else is proven: towers learned what known queries led to, of others nothing; on a
log too small to prove anything a text encoder steadies them."""
LEAST_ERRORS = 2.0
"""Standard errors by which another order has to lead it."""
LEARNED = "learned"
TREES = "learned, with trees"
LEAST_FOR_TREES = 200
"""Requests of a class, without which no trees are tried: on fewer they led nowhere that we tried."""


@dataclass(frozen=True)
class RankingRows:
    """Pairs of fitting requests, by request."""

    values: F32
    """[m, features], NaN where unknown."""
    row: I64
    """[m]."""
    gain: F64
    """What it is worth to find a pair, by its stage; 0 for what was not chosen, [m]."""
    known: Mask
    """Of each request's query, [n]."""
    user: I64
    """Of each request, [n]: folds part users, not requests."""


@dataclass(frozen=True)
class Choice:
    """What serves a class of queries, and why."""

    requests: int
    """That something was chosen in."""
    ndcg: Mapping[str, float]
    """NDCG@100 of the order of each rule, and of weights, and trees upon them, learned on other users."""
    serves: str
    """``learned``, ``learned, with trees``, or one of the rules."""


@dataclass(frozen=True)
class FittedRanker:
    """A ranker with what was measured of it."""

    ranker: Ranker
    choices: Mapping[str, Choice]
    confidence: Confidence | None = None
    """Where nothing fits a query; None where too little was found to tell."""
    chance: ClickChance | str | None = None
    """That somebody clicks among the first ten, or why that cannot be told; None where nothing was fitted."""

    @property
    def order(self) -> str:
        """What serves, in words."""
        return ", ".join(f"{name} queries: {choice.serves}" for name, choice in self.choices.items())

    @classmethod
    def of_rules(cls, features: tuple[str, ...], rules: Mapping[str, str]) -> FittedRanker:
        """Nothing learned: one of ``RULES`` per class."""
        choices = {name: Choice(0, {}, rule) for name, rule in rules.items()}
        return cls(Ranker.of_rules(features, rules), choices)

    def to_json(self) -> dict[str, Any]:
        return {
            **self.ranker.to_json(),
            "choices": {name: asdict(choice) for name, choice in self.choices.items()},
            "confidence": self.confidence and self.confidence.to_json(),
            "chance": self.chance.to_json() if isinstance(self.chance, ClickChance) else self.chance,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> FittedRanker:
        """What :meth:`to_json` wrote."""
        choices = {name: Choice(**choice) for name, choice in value["choices"].items()}
        told = value.get("confidence")
        chance = value.get("chance")
        return cls(
            Ranker.from_json(value),
            choices,
            Confidence.from_json(told) if told else None,
            ClickChance.from_json(chance) if isinstance(chance, Mapping) else chance,
        )


def fit_ranker(features: tuple[str, ...], rows: RankingRows, seed: int) -> FittedRanker:
    """Per class of queries the order of highest NDCG@100 on users it has not seen, learned weights or a rule, where it
    surely leads what serves unproven; trees are added to learned weights where they surely lead these.

    Weights begin at the rule of least loss. What the user and the item are worth is a prior for unknown queries.
    """
    fill = _means(rows.values)
    values = np.where(np.isnan(rows.values), fill, rows.values).astype(np.float64)
    weights: dict[str, F64] = {}
    choices: dict[str, Choice] = {}
    trees: dict[str, Trees] = {}
    shared = np.zeros(len(features))
    for name in CLASSES:
        of_class = rows.known if name == "known" else ~rows.known
        part = _part(values, rows, of_class)
        if len(part.lists) < LEAST_REQUESTS:
            weights[name] = rule_weights(features, UNPROVEN[name])
            choices[name] = Choice(len(part.lists), {}, UNPROVEN[name])
            continue
        lists, sample = part.lists, part.lists.sampled(SAMPLED, seed)
        measured = {rule: ndcg(lists, lists.values @ rule_weights(features, rule)) for rule in RULES}
        measured |= _out_of_fold(features, part, sample, shared, seed)
        figures = {order: float(np.mean(values)) for order, values in measured.items()}
        with_trees = {order: measured[order] for order in (LEARNED, TREES) if order in measured}
        if _proven(with_trees, part.user, LEARNED) != TREES:
            measured.pop(TREES, None)
        serves = _proven(measured, part.user, UNPROVEN[name])
        learned = fit_listwise(sample, _best_rule(features, sample) + shared)
        is_learned = serves in (LEARNED, TREES)
        weights[name] = learned if is_learned else rule_weights(features, serves)
        if serves == TREES:
            trees[name] = Trees.fit(sample, sample.values @ learned, seed)
        choices[name] = Choice(len(part.lists), figures, serves)
        if name == "known" and is_learned:
            shared = np.where([group_of(feature) in ("user", "item") for feature in features], learned, 0.0)
    return FittedRanker(Ranker(features, weights, fill.astype(np.float64), trees), choices)


@dataclass(frozen=True)
class _Part:
    """The fitting requests of a class that have something to find among their candidates."""

    lists: Lists
    user: I64


def _part(values: F64, rows: RankingRows, of_class: Mask) -> _Part:
    chosen = of_class[rows.row]
    lists = Lists.of(values[chosen], rows.row[chosen], rows.gain[chosen])
    total = np.bincount(rows.row[chosen], weights=rows.gain[chosen], minlength=len(of_class))
    return _Part(lists, rows.user[total > 0])


def _proven(measured: Mapping[str, F64], user: I64, unproven: str) -> str:
    """The order of highest mean among those that surely lead the one that needs no proof; else that.

    Errors are of users, not of requests: what one user asks is alike.
    """
    _, person = np.unique(user, return_inverse=True)
    leads = {order: values - measured[unproven] for order, values in measured.items()}
    proven = [order for order, lead in leads.items() if lead.mean() > LEAST_ERRORS * _error(lead, person)]
    return max(proven, key=lambda order: float(np.mean(measured[order])), default=unproven)


def _error(values: F64, person: I64) -> float:
    """Standard error of the mean of values [n], those of one person counting together."""
    off = np.bincount(person, weights=values - values.mean())
    return float(np.sqrt((off**2).sum()) / len(values)) or np.inf


def _best_rule(features: tuple[str, ...], lists: Lists) -> F64:
    """The rule of least cross-entropy, as sharp as that asks for."""
    scaled = [fit_scale(lists, rule_weights(features, rule)) for rule in RULES]
    return min(scaled, key=lambda found: found[1])[0]


def _out_of_fold(features: tuple[str, ...], part: _Part, sample: Lists, shared: F64, seed: int) -> dict[str, F64]:
    """NDCG@100 of each request by weights, and by trees upon them, that were learned from other users."""
    people, person = np.unique(part.user, return_inverse=True)
    fold = np.random.default_rng(seed).permutation(len(people)) % FOLDS
    orders = (LEARNED, TREES) if len(part.lists) >= LEAST_FOR_TREES else (LEARNED,)
    measured = {order: np.zeros(len(part.lists)) for order in orders}
    for number in range(FOLDS):
        held_out = fold[person] == number
        if held_out.any() and not held_out.all():
            lists = part.lists.of_requests(held_out)
            others = sample.of_requests(~held_out)
            weights = fit_listwise(others, _best_rule(features, others) + shared)
            scores = lists.values @ weights
            measured[LEARNED][held_out] = ndcg(lists, scores)
            if TREES in measured:
                trees = Trees.fit(others, others.values @ weights, seed)
                measured[TREES][held_out] = ndcg(lists, scores + trees.scores(lists.values))
    return measured


def ndcg(lists: Lists, score: F64) -> F64:
    """NDCG@100 of the order of the scores of each request's candidates, [n]; of equal ones the first comes last."""
    lengths = lists.lengths
    row = np.repeat(np.arange(len(lists)), lengths)

    def gained(by: F64) -> F64:
        order = np.lexsort((-np.arange(len(by)), -by, row))
        place = np.arange(len(by)) - np.repeat(lists.begin, lengths)
        value = np.where(place < CUT_OFF, lists.gain[order] / np.log2(place + 2), 0)
        return np.bincount(row, weights=value, minlength=len(lists)).astype(np.float64)

    return np.asarray(gained(score) / gained(lists.gain))


def _means(values: F32) -> F64:
    """Mean of what is known of each feature; 0 where nothing is."""
    known = np.isfinite(values)
    total = np.where(known, values, 0).sum(axis=0, dtype=np.float64)
    return np.asarray(total / np.maximum(known.sum(axis=0), 1))
