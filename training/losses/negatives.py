"""Columns of negatives: how often each is expected (logQ), which is the hardest, and which is no negative at all."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from training.losses.masked import MASKED


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


def hardest(scores: Tensor, excluded: Tensor, kept: int) -> Tensor:
    """Exclusions that leave each row only its ``kept`` highest scores, bool [B, C] (UEPPR's hard in-batch and dynamic
    negatives).

    Args:
        scores: [B, C]; excluded: bool [B, C], columns that are no negative of the row: none of them is ever left.
    """
    open_scores = scores.detach().masked_fill(excluded, MASKED)
    top = open_scores.topk(min(kept, scores.shape[1]), dim=1).indices
    return torch.ones_like(excluded).scatter(1, top, False) | excluded


def named_by_neighbours(query: Tensor, neighbours: Tensor) -> Tensor:
    """Which columns' neighbours in the graph name a request's query, bool [B, C].

    Such an item is no negative of the query, else the towers would learn the graph upside down.

    Args:
        query: [B]; neighbours: [C, k] queries, -1 for none.
    """
    named = torch.zeros(len(query), len(neighbours), dtype=torch.bool, device=query.device)
    for place in neighbours.unbind(1):
        named |= query[:, None] == place
    return named


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
