"""Quality boosting inside the index (UEPPR): p' = [p ; f(p)], q' = [q ; w], S = p.q + f(p).w."""

from training.quality_prior.fitting import Boosting, fit_boosting
from training.quality_prior.quality import QUALITY_FIGURES, QualityFeatures, quality_figures
from training.quality_prior.vectors import boosted_items, boosted_query
from training.quality_prior.weights import BoostingWeights, Measured, find_weights, no_weights

__all__ = [
    "QUALITY_FIGURES",
    "Boosting",
    "BoostingWeights",
    "Measured",
    "QualityFeatures",
    "boosted_items",
    "boosted_query",
    "find_weights",
    "fit_boosting",
    "no_weights",
    "quality_figures",
]
