"""Softmax losses: one item, or the items of all stages, against the catalogue as sampled negatives estimate it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from training.losses.masked import MASKED, masked_mean


def negative_mass(scores: Tensor, log_q: Tensor | float, excluded: Tensor, temperature: float) -> Tensor:
    """Log of the estimated sum over all negatives, [B]: ``logsumexp_j(s_ij / tau - log Q_j)``.

    The correction is *subtracted*: an item drawn often stands for fewer others, so each of its draws counts less
    (sampled softmax, Bengio and Senecal 2008).

    Args:
        scores: [B, C] of the negatives.
        log_q: [C] or one for all, how often each column is expected; see :mod:`training.losses.negatives`.
        excluded: bool [B, C], columns that are no negative of the row.
        temperature: tau > 0.

    >>> import math, torch
    >>> none = torch.zeros(1, 2, dtype=torch.bool)
    >>> round(negative_mass(torch.zeros(1, 2), 0.0, none, 1.0).item(), 4) == round(math.log(2), 4)
    True
    """
    logits = scores / temperature - log_q
    return torch.logsumexp(logits.masked_fill(excluded, MASKED), dim=1)


def sampled_softmax(positive: Tensor, valid: Tensor, mass: Tensor, temperature: float) -> Tensor:
    """Mean of ``-log(e^(s+/tau) / (e^(s+/tau) + sum_j e^(s_j/tau - log Q_j)))`` over the valid positives.

    MMSE's global objectives "click against negatives" and "unclicked against negatives" (arXiv 2303.11009). The
    positive is certain to be there, so it is not corrected.

    Args:
        positive: [B] or [B, U] scores.
        valid: bool of the same shape.
        mass: [B], from :func:`negative_mass`.
        temperature: tau > 0.

    >>> import torch
    >>> sampled_softmax(torch.tensor([0.0]), torch.tensor([True]), torch.tensor([0.0]), 1.0).item()
    0.6931471824645996
    """
    mass = mass if positive.ndim == 1 else mass[:, None]
    return masked_mean(F.softplus(mass - positive / temperature), valid)


def fused_softmax(staged: Tensor, gains: Tensor, valid: Tensor, mass: Tensor, temperature: float) -> Tensor:
    """One softmax over the scores of all stages, ``S(q, P) = [q.P_o; q.P_c; q.P_u; q.P_n]``: mean over requests of
    ``-sum_k t_k log softmax(S / tau)_k`` with targets ``t`` = gains over their sum.

    MMSE's post-fusion, reading (i); the gains are ours [D].

    Args:
        staged: [B, K] scores of the shown items.
        gains: [B, K], 0 for unclicked.
        valid: bool [B, K].
        mass: [B], of the negatives, from :func:`negative_mass`.
        temperature: tau > 0.

    >>> import torch
    >>> on, none = torch.tensor([[True, True]]), torch.tensor([float("-inf")])
    >>> fused_softmax(torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), on, none, 1.0).item()
    0.6931471824645996
    """
    logits = torch.cat([(staged / temperature).masked_fill(~valid, MASKED), mass[:, None]], dim=1)
    targets = gains * valid
    total = targets.sum(dim=1)
    log_share = logits.log_softmax(dim=1)[:, :-1]
    losses = -(targets * log_share).sum(dim=1) / total.clamp(min=1e-9)
    return masked_mean(losses, total > 0)
