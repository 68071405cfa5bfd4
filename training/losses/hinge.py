"""Hinge losses: one stage above another by a margin, or each stage above a threshold of its own."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from training.losses.masked import masked_mean


def hinge_above(better: Tensor, worse: Tensor, valid: Tensor, margin: float) -> Tensor:
    """Mean of ``max(0, m - s_better + s_worse)`` over valid pairs.

    MMSE's local objectives "click above unclicked" (m1) and "order above unclicked" (m2 > m1) (arXiv 2303.11009).

    Args:
        better: [B] scores.
        worse: [B, U] scores.
        valid: bool [B, U].
        margin: m.

    >>> import torch
    >>> hinge_above(torch.tensor([0.5]), torch.tensor([[0.5, 0.0]]), torch.tensor([[True, True]]), 0.25).item()
    0.125
    """
    return masked_mean(F.relu(margin - better[:, None] + worse), valid)


def above_threshold(scores: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """A positive stage of UEPPR's multi-part hinge (arXiv 2306.04833): ``sum_i max(0, eps_i - y_i)`` over the valid
    items of a request, mean over requests.

    Args:
        scores: [B] or [B, U].
        valid: bool of the same shape.
        threshold: eps of the stage.

    >>> import torch
    >>> above_threshold(torch.tensor([0.5, 1.0]), torch.tensor([True, True]), 0.75).item()
    0.125
    """
    return (F.relu(threshold - scores) * valid).sum() / len(scores)


def below_threshold(scores: Tensor, excluded: Tensor, threshold: float) -> Tensor:
    """The negative part of UEPPR's multi-part hinge (arXiv 2306.04833): ``sum_j max(0, y_ij - eps)`` over the columns
    of a request that are not excluded, mean over requests.

    A sum, as published: a mean would let one positive outweigh all negatives, and with hard ones alone every vector
    then moves to one point.

    Args:
        scores: [B, C].
        excluded: bool [B, C].
        threshold: eps of the negatives.

    >>> import torch
    >>> below_threshold(torch.tensor([[0.5, 0.25]]), torch.tensor([[False, False]]), 0.25).item()
    0.25
    """
    return (F.relu(scores - threshold) * ~excluded).sum() / len(scores)
