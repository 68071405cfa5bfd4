"""How likely people are to look at each position of a list, told by the log alone.

A click needs a look and an item that is worth it: P(click) = propensity of the position x attraction of the item for
the query (the position-based model: Craswell et al., WSDM 2008). Where an engine showed the same item for the same
query at several positions, attraction cancels out (intervention harvesting: Agarwal et al., WSDM 2019). The log has to
have the requests that led to no click: where it lacks them, impressions are selected by their own click, and positions
look more alike than they are, the more the fewer items of a list draw its clicks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from training.data.arrays import Arrays, ShownStage


F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
LEAST_CLICKS = 200
"""On pairs (query, item) that were shown at several positions, without which nothing is said."""
LEAST_WITHOUT_CLICK = 0.05
"""Share of the requests that showed something from which the log is taken to have those without a click, too."""
MOST_IMPRESSIONS = 10_000_000
"""The latest, beyond which more add memory, not certainty."""
SPREAD = 1.0
"""Standard deviation, before any click, of the logarithm of the propensity from a position to one e times as deep: 1 at
the first and 1/rank, as is often assumed, are one apart. Few clicks say that positions are alike."""


@dataclass(frozen=True)
class Propensities:
    """Of positions 1 to P, relative to the first."""

    values: F64
    """In (0, 1], 1 at the first, [P]: a position that is looked at more than the first counts as the first."""
    error: F64
    """Standard error of the logarithm, 0 at the first, [P]."""
    clicks: int
    """On pairs that were shown at several positions: what tells."""

    def to_json(self) -> dict[str, Any]:
        return {"propensities": self.values.tolist(), "error": self.error.tolist(), "clicks": self.clicks}


@dataclass(frozen=True)
class Impressions:
    """Items that were shown."""

    pair: I64
    """A number per (query, item), [n]."""
    position: NDArray[np.integer]
    """From 1, [n]."""
    clicked: NDArray[np.bool_]
    """[n]."""


def log_propensities(arrays: Arrays, deepest: int) -> Propensities | str:
    """Propensities of the lists that the shop showed before the cut; or why they cannot be told.

    Args:
        deepest: as of :func:`latest_impressions`.
    """
    without = _without_click(arrays)
    if without < LEAST_WITHOUT_CLICK:
        return (
            f"{without:.1%} of the log's requests led to no click, and less than {LEAST_WITHOUT_CLICK:.0%} say that it"
            " holds those alone that led to one"
        )
    return fit_propensities(latest_impressions(arrays, deepest))


def latest_impressions(arrays: Arrays, deepest: int) -> Impressions:
    """The latest ``MOST_IMPRESSIONS`` before the cut.

    Args:
        deepest: the last position of which all impressions are in the arrays: the training set keeps the first
            ``training.unclicked_per_request`` unclicked ones of a request.
    """
    stages = (arrays.clicked, arrays.unclicked)
    end = int(np.searchsorted(arrays.request_time, arrays.cut))
    held = np.cumsum((arrays.clicked.lengths + arrays.unclicked.lengths)[:end][::-1])
    begin = end - int(np.searchsorted(held, MOST_IMPRESSIONS, side="right"))
    taken = [_shown(arrays, stage, slice(begin, end), deepest) for stage in stages]
    pair, position = (np.concatenate(column) for column in zip(*taken, strict=True))
    return Impressions(pair, position, np.repeat([True, False], [len(pairs) for pairs, _ in taken]))


def fit_propensities(impressions: Impressions) -> Propensities | str:
    """Propensities, or why they cannot be told.

    The clicks of a pair fall on its positions in the ratio of impressions x propensity: a multinomial likelihood of
    each pair's clicks, in which its attraction is gone (fixed effects of a Poisson regression: Hausman, Hall and
    Griliches, Econometrica 1984). Its score has mean zero wherever the model of the mean holds, so that clicks need not
    be rare or independent. A Brownian motion over the logarithm of the position is the prior.
    """
    clicks, shown = _moved(impressions)
    told, depth = int(clicks.sum()), clicks.shape[1]
    if told < LEAST_CLICKS:
        return f"{told:,} clicks on items shown at several positions for the same query, of {LEAST_CLICKS:,} needed"
    of_pair, of_position = (np.asarray(clicks.sum(axis=axis)).ravel() for axis in (1, 0))
    prior = _brownian(SPREAD**2 * np.diff(np.log(np.arange(1, depth + 1))))

    def share(log: F64) -> tuple[csr_matrix, F64]:
        weighted = shown.multiply(np.exp(log)).tocsr()
        total = np.asarray(weighted.sum(axis=1)).ravel()
        return weighted.multiply(1 / total[:, None]).tocsr(), total

    def loss(free: F64) -> tuple[float, F64]:
        log = np.append(0.0, free)
        shares, total = share(log)
        value = of_pair @ np.log(total) - of_position @ log + free @ prior @ free / 2
        return float(value), (shares.T @ of_pair - of_position)[1:] + prior @ free

    def curvature(free: F64) -> F64:
        shares, _ = share(np.append(0.0, free))
        squares = (shares.T @ shares.multiply(of_pair[:, None])).toarray()
        return np.asarray((np.diag(shares.T @ of_pair) - squares)[1:, 1:] + prior)

    from scipy.optimize import minimize  # type: ignore[import-untyped] # imported where it is fitted: serving only reads

    found = minimize(loss, np.zeros(depth - 1), jac=True, hess=curvature, method="trust-exact")
    error = np.sqrt(np.diag(np.linalg.inv(curvature(found.x))))
    return Propensities(np.minimum(np.exp(np.append(0.0, found.x)), 1), np.append(0.0, error), told)


def _without_click(arrays: Arrays) -> float:
    """Share of the requests before the cut that led to no click, of those that showed or led to something."""
    end = int(np.searchsorted(arrays.request_time, arrays.cut))
    clicked, unclicked = arrays.clicked.lengths[:end], arrays.unclicked.lengths[:end]
    told = clicked + unclicked > 0
    return float((clicked[told] == 0).mean()) if told.any() else 0.0


def _shown(arrays: Arrays, stage: ShownStage, requests: slice, deepest: int) -> tuple[I64, NDArray[np.int16]]:
    """Pair (query, item) and position of what a stage holds of ``requests``, down to a position."""
    offsets = stage.items.offsets[requests.start : requests.stop + 1]
    entries = slice(offsets[0], offsets[-1])
    query = np.repeat(arrays.request_query[requests].astype(np.int64), np.diff(offsets))
    position = stage.positions[entries]
    kept = (position > 0) & (position <= deepest)
    return (query * arrays.items + stage.items.ids[entries])[kept], position[kept]


def _moved(impressions: Impressions) -> tuple[csr_matrix, csr_matrix]:
    """Clicks and impressions by position of the pairs that were clicked, and shown at several, [pairs, positions]."""
    clicked_pairs = np.unique(impressions.pair[impressions.clicked])
    kept = np.isin(impressions.pair, clicked_pairs)
    row = np.searchsorted(clicked_pairs, impressions.pair[kept])
    place = (row, impressions.position[kept].astype(np.int64) - 1)
    shape = (len(clicked_pairs), int(impressions.position.max(initial=1)))
    shown = csr_matrix((np.ones(len(row)), place), shape=shape)
    clicks = csr_matrix((impressions.clicked[kept].astype(np.float64), place), shape=shape)
    moved = np.diff(shown.indptr) > 1
    return clicks[moved], shown[moved]


def _brownian(step: F64) -> F64:
    """Precision of a Brownian motion that begins at 0, after steps of these variances [P - 1], [P - 1, P - 1]."""
    difference = np.eye(len(step)) - np.eye(len(step), k=-1)
    return np.asarray(difference.T @ (difference / step[:, None]))
