"""MMSE's objectives over scores ``s`` = cosine. Roles [N], formulas [D] (the paper's are not public to us).

Shapes: B requests, C negative columns shared by the batch (in-batch positives of other requests, then uniform draws
from the catalogue), U unclicked items per request. Every loss is a mean over its valid terms, and 0 where there is
none.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

MASKED = -1e9


@dataclass(frozen=True)
class Weights:
    """Weight of each objective; 0 switches it off."""

    click: float
    unclicked: float
    click_over_unclicked: float
    order_over_unclicked: float


def log_expected_counts(click_share: Tensor, batch: int, draws: int, items: int) -> tuple[Tensor, Tensor]:
    """log Q per source: how often an item is expected among the columns of each.

    Each source alone estimates the sum over the catalogue; the two together give about twice it, which adds log 2 to
    the mass of every row alike.

    In-batch: ``log(B p_j)``, ``click_share`` p_j [B] being the share of training positives that are item j. Uniform:
    ``log(draws / items)``, [draws]. (Sampled softmax, Bengio and Senecal 2008; the correction per source is ours [D].)
    """
    in_batch = torch.log(batch * click_share.clamp(min=1e-12))
    uniform = torch.full((draws,), draws / items, dtype=click_share.dtype, device=click_share.device).log()
    return in_batch, uniform


def negative_mass(scores: Tensor, log_q: Tensor, excluded: Tensor, temperature: float) -> Tensor:
    """Log of the estimated sum over all negatives, [B]: ``logsumexp_j(s_ij / tau - log Q_j)``.

    The correction is *subtracted*: an item drawn often stands for fewer others, so each of its draws counts less.

    Args:
        scores: [B, C]; log_q: [C]; excluded: bool [B, C], columns that are no negative of the row.
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


def known_positives(query: Tensor, user: Tensor, pair_request: Tensor, pair_item: Tensor, columns: Tensor) -> Tensor:
    """Which columns are no negative of a request, bool [B, C].

    Column j is excluded from row i if its item was clicked in i, or in a request of the batch with i's query or user
    (false negatives).

    Args:
        query: [B] number of the query; user: [B] number of the user, -1 unknown (shares nothing);
        pair_request, pair_item: [n] all (request of the batch, clicked item); columns: [C] item of each column.
    """
    distinct, column = torch.unique(columns, return_inverse=True)
    place = torch.searchsorted(distinct, pair_item).clamp(max=len(distinct) - 1)
    inside = distinct[place] == pair_item
    place, request = place[inside], pair_request[inside]
    own_user = torch.where(user < 0, user.max() + 1 + torch.arange(len(user), device=user.device), user)
    excluded = torch.zeros(len(query), len(distinct), dtype=torch.bool, device=columns.device)
    for key in (query, own_user):
        group = torch.unique(key, return_inverse=True)[1]
        clicked = torch.zeros(int(group.max()) + 1, len(distinct), dtype=torch.bool, device=columns.device)
        clicked[group[request], place] = True
        excluded |= clicked[group]
    return excluded[:, column]


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    return (values * valid).sum() / valid.sum().clamp(min=1)
