"""Whether the chance of a click that answers tell comes true, on people it was not fitted by."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.evaluation.intervals import RESAMPLES
from training.ranking.click_chance import ClickChance, clicked_first, telling_requests
from training.ranking.second_stage import SecondStage

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]
BINS = 10
"""Each of as many requests as the others, where their chances differ."""
MOST_REQUESTS = 10_000
"""Beyond which more add time, not certainty: a seeded draw of them."""


def measured_confidence(stage: SecondStage, chance: ClickChance | str, seed: int) -> dict[str, Any]:
    """Chance against share of clicks among the first ten, of the later requests of those who judge; or the reason why
    there is no chance."""
    telling = telling_requests(stage.arrays)
    if isinstance(chance, str) or isinstance(telling, str):
        return {"reason": chance if isinstance(chance, str) else telling}
    _, requests = telling
    if len(requests) > MOST_REQUESTS:
        requests = np.sort(np.random.default_rng(seed).choice(requests, MOST_REQUESTS, replace=False))
    predicted = chance.of(*stage.evidence(requests))
    told = np.isfinite(predicted)
    if not told.any():
        return {"reason": "no later request of those who judge has a text to compare"}
    clicked, people = clicked_first(stage.arrays, requests)[told], stage.arrays.request_person[requests][told]
    return {"method": chance.method, "fitted": chance.requests, **reliability(predicted[told], clicked, people, seed)}


def reliability(predicted: F64, clicked: Mask, person: NDArray[Any], seed: int) -> dict[str, Any]:
    """Bins with their counts, expected calibration error (Naeini et al., AAAI 2015) and Brier score, of requests [n].

    ``low`` and ``high``: 95% interval of the share observed, people resampled.
    """
    edges = np.unique(np.quantile(predicted, np.linspace(0, 1, BINS + 1)[1:-1]))
    _, of = np.unique(np.searchsorted(edges, predicted, side="right"), return_inverse=True)
    count = np.bincount(of)
    means = [np.bincount(of, weights=values) / count for values in (predicted, clicked.astype(np.float64))]
    low, high = _interval(clicked, of, person, seed)
    mean = float(clicked.mean())
    return {
        "requests": len(predicted),
        "observed": mean,
        "error": float(np.abs(means[0] - means[1]) @ count / len(predicted)),
        "brier": float(np.mean((predicted - clicked) ** 2)),
        "brier_of_mean": mean * (1 - mean),
        "bins": [
            {"requests": int(n), "predicted": float(p), "observed": float(o), "low": float(a), "high": float(b)}
            for n, p, o, a, b in zip(count, *means, low, high, strict=True)
        ],
    }


def _interval(clicked: Mask, of: NDArray[np.int64], person: NDArray[Any], seed: int) -> tuple[F64, F64]:
    """Of the share of clicks in each bin, [bins] each."""
    people, number = np.unique(person, return_inverse=True)
    shape = (len(people), int(of.max()) + 1)
    asked, hit = np.zeros(shape), np.zeros(shape)
    np.add.at(asked, (number, of), 1)
    np.add.at(hit, (number, of), clicked)
    draws = np.random.default_rng(seed).multinomial(len(people), np.full(len(people), 1 / len(people)), RESAMPLES)
    total = draws @ asked
    share = np.divide(draws @ hit, total, out=np.full(total.shape, np.nan), where=total > 0)
    low, high = np.nanquantile(share, (0.025, 0.975), axis=0)
    observed = hit.sum(axis=0) / asked.sum(axis=0)
    return np.minimum(low, observed), np.maximum(high, observed)
