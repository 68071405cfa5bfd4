"""Quality prior inside the index (UEPPR's "product boosting"): p' = [p ; f(p)], q' = [q ; w], S = p.q + f(p).w."""

from training.quality_prior.fitting import QualityPrior, fit_prior
from training.quality_prior.quality import QUALITY_FIGURES, QualityFeatures, quality_figures
from training.quality_prior.vectors import items_with_quality, query_with_prior
from training.quality_prior.weights import Measured, PriorWeights, find_weights, no_prior

__all__ = [
    "QUALITY_FIGURES",
    "Measured",
    "PriorWeights",
    "QualityFeatures",
    "QualityPrior",
    "find_weights",
    "fit_prior",
    "items_with_quality",
    "no_prior",
    "quality_figures",
    "query_with_prior",
]
