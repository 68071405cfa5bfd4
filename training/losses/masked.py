"""Scores and terms that do not count."""

from __future__ import annotations

from torch import Tensor

MASKED = -1e9
"""Instead of minus infinity: a row without a single column left still has a finite gradient."""


def masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid terms; 0 where there is none."""
    return (values * valid).sum() / valid.sum().clamp(min=1)
