"""Scalar encoder: quantile-transformed numeric features, and which of them are known (UEPPR)."""

from __future__ import annotations

import torch
from torch import Tensor


def known_and_value(values: Tensor) -> Tensor:
    """[n, F] in [0, 1] or NaN to [n, 2F]: centred values, zero where unknown, then marks of what is known."""
    known = torch.isfinite(values)
    return torch.cat([torch.where(known, values - 0.5, 0.0), known.to(values.dtype)], dim=1)
