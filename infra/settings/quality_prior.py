"""Settings of the quality prior."""

from __future__ import annotations

from infra.settings.base import Count, Group, Positive, Share


class QualityPriorSettings(Group):
    """Quality prior inside the index (UEPPR's "product boosting")."""

    on: bool = True
    """Look for weights at all."""
    trials: Count = 40
    """Optuna trials of the search for the weights."""
    max_weight: Positive = 0.2
    """Largest weight of a quality feature, which lies in [0, 1], beside a cosine."""
    least_relevance: Share = 0.97
    """Weights that take the mean cosine of the first ten hits below this share of what it was are refused."""
    requests: Count = 4_000
    """Most requests that the search reads."""
