"""Objectives over scores ``s`` = dot products of unit vectors. MMSE's roles are [N], its formulas [D] (the paper's are
not public to us); the multi-part hinge is UEPPR's [P].

Shapes: B requests, C negative columns shared by the batch, U unclicked items per request. Every loss but the multi-part
hinge, which adds up within a request, is a mean over its valid terms; 0 where there is none.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED = -1e9


def log_q_in_batch(click_share: Tensor, batch: int) -> Tensor:
    """How often each in-batch column is expected in a batch: ``log(B p_j)``, ``click_share`` p_j [B] being the share of
    training positives that are item j.

    Each source of negatives alone estimates the sum over the catalogue (sampled softmax, Bengio and Senecal 2008); that
    it is corrected per source is ours [D].
    """
    return torch.log(batch * click_share.clamp(min=1e-12))


def log_q_uniform(draws: int, items: int) -> float:
    """How often an item is expected among uniform draws: ``log(draws / items)``."""
    return math.log(draws / items)


def negative_mass(scores: Tensor, log_q: Tensor | float, excluded: Tensor, temperature: float) -> Tensor:
    """Log of the estimated sum over all negatives, [B]: ``logsumexp_j(s_ij / tau - log Q_j)``.

    The correction is *subtracted*: an item drawn often stands for fewer others, so each of its draws counts less.

    Args:
        scores: [B, C]; log_q: [C] or one for all; excluded: bool [B, C], columns that are no negative of the row.
    """
    logits = scores / temperature - log_q
    return torch.logsumexp(logits.masked_fill(excluded, MASKED), dim=1)


def softmax_against(positive: Tensor, valid: Tensor, mass: Tensor, temperature: float) -> Tensor:
    """Sampled softmax: mean of ``-log(e^(s+/tau) / (e^(s+/tau) + sum_j e^(s_j/tau - log Q_j)))``.

    The positive is certain to be there, so it is not corrected. Objectives "click against negatives" and "unclicked
    against negatives" of PAPERS.md, A.

    Args:
        positive: [B] or [B, U]; valid: bool of the same shape; mass: [B], from :func:`negative_mass`.
    """
    mass = mass if positive.ndim == 1 else mass[:, None]
    return _mean(F.softplus(mass - positive / temperature), valid)


def hinge_above(better: Tensor, worse: Tensor, valid: Tensor, margin: float) -> Tensor:
    """Mean of ``max(0, m - s_better + s_worse)`` over valid pairs.

    Objectives "click above unclicked" (m1) and "order above unclicked" (m2 > m1) of PAPERS.md, A.

    Args:
        better: [B]; worse: [B, U]; valid: bool [B, U].
    """
    return _mean(F.relu(margin - better[:, None] + worse), valid)


def fused_softmax(staged: Tensor, gains: Tensor, valid: Tensor, mass: Tensor, temperature: float) -> Tensor:
    """One softmax over the fused scores of all stages, ``S(q, P) = [q.P_o; q.P_c; q.P_u; q.P_n]``: mean over requests
    of ``-sum_k t_k log softmax(S / tau)_k`` with targets ``t`` = gains over their sum.

    MMSE's post-fusion, reading (i) of PAPERS.md, A; the gains are ours [D].

    Args:
        staged: [B, K] scores of the shown items; gains: [B, K], 0 for unclicked; valid: bool [B, K];
        mass: [B], of the negatives, from :func:`negative_mass`.
    """
    logits = torch.cat([(staged / temperature).masked_fill(~valid, MASKED), mass[:, None]], dim=1)
    targets = gains * valid
    total = targets.sum(dim=1)
    log_share = logits.log_softmax(dim=1)[:, :-1]
    losses = -(targets * log_share).sum(dim=1) / total.clamp(min=1e-9)
    return _mean(losses, total > 0)


def above_threshold(scores: Tensor, valid: Tensor, threshold: float) -> Tensor:
    """A positive stage of UEPPR's multi-part hinge: ``sum_i max(0, eps_i - y_i)`` over the valid items of a request,
    mean over requests.

    Args:
        scores: [B] or [B, U]; valid: bool of the same shape.
    """
    return (F.relu(threshold - scores) * valid).sum() / len(scores)


def below_threshold(scores: Tensor, excluded: Tensor, threshold: float) -> Tensor:
    """The negative part of UEPPR's multi-part hinge: ``sum_j max(0, y_ij - eps)`` over the columns of a request
    that are not excluded, mean over requests.

    A sum, as published: a mean would let one positive outweigh all negatives, and with hard ones alone every vector
    then moves to one point.

    Args:
        scores: [B, C]; excluded: bool [B, C].
    """
    return (F.relu(scores - threshold) * ~excluded).sum() / len(scores)


def hardest(scores: Tensor, excluded: Tensor, kept: int) -> Tensor:
    """Exclusions that leave each row only its ``kept`` highest scores, bool [B, C] (UEPPR's hard in-batch and dynamic
    negatives).

    Args:
        scores: [B, C]; excluded: bool [B, C], columns that are no negative of the row: none of them is ever left.
    """
    open_scores = scores.detach().masked_fill(excluded, MASKED)
    top = open_scores.topk(min(kept, scores.shape[1]), dim=1).indices
    return torch.ones_like(excluded).scatter(1, top, False) | excluded


def known_positives(key: Tensor, pair_key: Tensor, pair_item: Tensor, columns: Tensor) -> Tensor:
    """Which columns are known positives of a request by its query, or by its user, bool [B, C].

    Args:
        key: [B] number of the query, or of the user; pair_key, pair_item: [n] pairs (key, item that it chose);
        columns: [C] item of each column.
    """
    keys, row = torch.unique(key, return_inverse=True)
    distinct, column = torch.unique(columns, return_inverse=True)
    chosen = torch.zeros(len(keys), len(distinct), dtype=torch.bool, device=columns.device)
    if len(distinct) and len(pair_key):
        of_key, of_item = (
            torch.searchsorted(table, wanted).clamp(max=len(table) - 1)
            for table, wanted in ((keys, pair_key), (distinct, pair_item))
        )
        inside = (keys[of_key] == pair_key) & (distinct[of_item] == pair_item)
        chosen[of_key[inside], of_item[inside]] = True
    return chosen[row][:, column]


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)
