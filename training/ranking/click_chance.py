"""The chance that somebody clicks within the first ten hits of a query, told by the log's own abandoned searches.

The evidence of a query is how near its nearest items are (:func:`training.ranking.confidence.nearness`) and whether it
led to an item before. Few requests give it a sigmoid (Platt, 1999), many a rising curve of any shape upon that
(isotonic regression: Zadrozny and Elkan, KDD 2002), which needs about a thousand (Niculescu-Mizil and Caruana, ICML
2005). Clicks are those on the lists that the shop showed: as sound as its own lists are alike to those that are
served. Where the log lacks the requests that led to no click there is nothing to calibrate by, and the reason is kept
instead.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.data.held_out import stopping_and_judging
from training.data.propensities import LEAST_WITHOUT_CLICK

if TYPE_CHECKING:
    from training.data.arrays import Arrays

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
FIRST = 10
LEAST_EACH = 50
"""Requests with, and without, a click among the first ten, without which no chance is told."""
LEAST_FOR_CURVE = 1_000
"""Requests from which the curve may have any rising shape."""
KNOTS = 20
"""Of the curve, each between as many requests: a step of few requests would say 0 or 1."""
LEAST_PLACED = 0.5
"""Share of the clicks of which the log has to say where the item stood."""
RIDGE = 1.0
"""What a weight of 1 on evidence of unit spread costs, in nats: keeps little evidence from saying much."""


@dataclass(frozen=True)
class ClickChance:
    """A sigmoid of the evidence and, of enough requests, a rising curve upon its logits."""

    nearness: float
    """Logit per unit; not negative."""
    led: float
    """Logit of having led to an item before."""
    offset: float
    requests: int
    """That it was read off."""
    curve: tuple[tuple[float, float], ...] = ()
    """Logit of the sigmoid and the chance there, rising, straight between them."""

    def of(self, near: NDArray[np.floating], led: Mask) -> F64:
        """The chance of queries of this nearness [n]; NaN where it is NaN."""
        logit = self.nearness * near.astype(np.float64) + self.led * led + self.offset
        if not self.curve:
            return np.asarray(expit(logit))
        at, chance = zip(*self.curve, strict=True)
        return np.asarray(np.interp(logit, at, chance))  # NaN stays NaN

    @property
    def method(self) -> str:
        """How it was calibrated, in words."""
        return "isotonic" if self.curve else "Platt"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ClickChance:
        """What :meth:`to_json` wrote."""
        return cls(**{**value, "curve": tuple((float(at), float(chance)) for at, chance in value["curve"])})


def fit_click_chance(near: NDArray[np.floating], led: Mask, clicked: Mask) -> ClickChance | str:
    """The chance by requests [n] and whether they led to a click among the first ten; or why it cannot be told.

    Args:
        near: NaN where unknown; these tell nothing.
    """
    told = np.isfinite(near)
    near, led, clicked = near[told].astype(np.float64), led[told], clicked[told]
    if min(with_click := int(clicked.sum()), len(clicked) - with_click) < LEAST_EACH:
        return (
            f"{with_click:,} requests with a text to compare led to a click among the first {FIRST} and"
            f" {len(clicked) - with_click:,} did not, of {LEAST_EACH} each needed"
        )
    spread = near.std() or 1.0
    centred = np.column_stack([(near - near.mean()) / spread, led, np.ones(len(near))])

    def loss(weights: F64) -> tuple[float, F64]:
        logit = centred @ weights
        held = RIDGE * np.append(weights[:2], 0.0)
        value = np.logaddexp(0, logit).sum() - logit[clicked].sum() + held @ weights / 2
        return float(value), centred.T @ (expit(logit) - clicked) + held

    from scipy.optimize import minimize  # type: ignore[import-untyped] # serving, which fits nothing, starts sooner

    # Nearer items never speak against a query.
    found = minimize(loss, np.zeros(3), jac=True, method="L-BFGS-B", bounds=[(0, None), (None, None), (None, None)]).x
    slope = float(found[0] / spread)
    sigmoid = ClickChance(slope, float(found[1]), float(found[2] - slope * near.mean()), len(near))
    if len(near) < LEAST_FOR_CURVE:
        return sigmoid
    return ClickChance(**{**asdict(sigmoid), "curve": _curve(centred @ found, clicked)})


def _curve(logit: F64, clicked: Mask) -> tuple[tuple[float, float], ...]:
    """Mean logit and share of clicks of equally many requests each, made to rise."""
    from scipy.optimize import isotonic_regression

    order = np.argsort(logit, kind="stable")
    parts = np.array_split(order, KNOTS)
    at = np.array([logit[part].mean() for part in parts])
    share = isotonic_regression([clicked[part].mean() for part in parts], weights=[len(part) for part in parts]).x
    at, first = np.unique(at, return_index=True)  # requests of the same evidence may fill several parts
    return tuple(zip(at.tolist(), share[first].tolist(), strict=True))


def clicked_first(arrays: Arrays, requests: I64) -> Mask:
    """Whether each request led to a click on one of the first ten of the list that it showed, [n]."""
    row, place = _places(arrays, requests)
    first = (place > 0) & (place <= FIRST)
    return np.bincount(row[first], minlength=len(requests)) > 0


def telling_requests(arrays: Arrays) -> tuple[I64, I64] | str:
    """Later requests that showed something, whatever came of them: of the people who teach the ranker, and of those
    who judge; or why they tell nothing."""
    later = np.flatnonzero(arrays.is_validation & (arrays.clicked.lengths + arrays.unclicked.lengths > 0))
    without = float((arrays.clicked.lengths[later] == 0).mean()) if len(later) else 0.0
    if without < LEAST_WITHOUT_CLICK:
        return (
            f"{without:.1%} of the later requests led to no click, and less than {LEAST_WITHOUT_CLICK:.0%} say that the"
            " log holds those alone that led to one"
        )
    if len(place := _places(arrays, later)[1]) and (place > 0).mean() < LEAST_PLACED:
        return f"the log says of {(place > 0).mean():.0%} of the clicks where the item stood"
    _, judging = stopping_and_judging(arrays)
    # People are parted by one bound; some of them never clicked.
    judges = arrays.request_person[later] >= arrays.request_person[judging].min(initial=1)
    return later[~judges], later[judges]


def _places(arrays: Arrays, requests: I64) -> tuple[I64, I64]:
    """Row among ``requests`` of each clicked item, and its place in the list, 0 where it was not shown."""
    items, held = arrays.clicked.items, arrays.clicked.lengths[requests]
    row = np.repeat(np.arange(len(requests)), held)
    within = np.arange(len(row)) - np.repeat(np.cumsum(held) - held, held)
    entries = np.repeat(items.offsets[requests], held) + within
    return row, arrays.clicked.positions[entries].astype(np.int64)


def expit(logits: F64) -> F64:
    """The logistic function. scipy's takes a server 0.3 seconds to import."""
    return np.asarray(0.5 * (1 + np.tanh(0.5 * logits)))
