"""From the arrays of a run to its quality features and weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infra.settings import Settings
from training.quality_prior.quality import QualityFeatures, quality_figures
from training.quality_prior.weights import PriorWeights, find_weights, no_prior

if TYPE_CHECKING:
    from training.data.arrays import Arrays

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class QualityPrior:
    """What a release carries of its quality prior: how features are made and what they weigh."""

    features: QualityFeatures
    weights: PriorWeights

    @property
    def in_force(self) -> list[float]:
        """The weights that follow a query's unit vector; none where nothing is boosted."""
        return list(self.weights.weights) if self.weights.on else []

    def to_json(self) -> dict[str, Any]:
        return {"features": self.features.to_json(), "weights": self.weights.to_json()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> QualityPrior:
        """What :meth:`to_json` wrote."""
        return cls(QualityFeatures.from_json(value["features"]), PriorWeights.from_json(value["weights"]))

    def quality(self, arrays: Arrays, at: int, prior: float) -> Floats:
        """Features of all items as of ``at`` (microseconds since 1970), [items, f]."""
        return self.features.apply(quality_figures(arrays, at, prior))


def fit_prior(
    settings: Settings, arrays: Arrays, queries: Floats, items: Floats, requests: NDArray[np.int64]
) -> QualityPrior:
    """Quality features as of the cut, and the weights that the orders of ``requests`` after it ask for.

    Args:
        queries, items: unit vectors of ``requests`` [n, d] and of all items [m, d].
        requests: numbers of requests after the cut, none of which may judge the boosted towers later.
    """
    raw = quality_figures(arrays, arrays.cut, settings.features.rate_prior)
    features = QualityFeatures.fit(raw[arrays.item_available <= arrays.cut])
    if not settings.training.quality_prior.on:
        return QualityPrior(features, no_prior(len(features.names), "the quality prior is switched off"))
    weights = find_weights(
        queries,
        items,
        features.apply(raw),
        arrays.ordered.take(requests),
        arrays.request_time[requests],
        arrays.item_available,
        settings.training,
        arrays.request_user[requests],
    )
    return QualityPrior(features, weights)
