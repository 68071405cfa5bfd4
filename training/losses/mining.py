"""Dynamic hard negatives: out of a large random batch, those that the towers as they are find most similar (UEPPR).

No gradient and no running statistic comes of the mining itself; what is picked joins the step.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from training import losses
from training.data.batches import Batch
from training.model.inputs import look_up
from training.model.towers import Towers

Gather = Callable[[Tensor], Tensor]


@torch.no_grad()
def mine_hard_negatives(towers: Towers, batch: Batch, excluded: Tensor, kept: int, gather: Gather) -> Tensor:
    """Places in the pool of every request's ``kept`` most similar items, distinct and ascending, [M].

    Args:
        excluded: bool [B, P], pool items that are no negative of a request: never among its picks;
        gather: puts the parts of a vector table together that other processes computed.
    """
    if batch.pool is None:
        raise ValueError("the batch was made without a pool to mine from")
    was_training = towers.training
    towers.eval()
    requests, pool = look_up(towers, batch.queries, batch.pool)
    scores = gather(towers.encode_queries(requests)) @ gather(towers.encode_items(pool)).T
    towers.train(was_training)
    picked = ~losses.hardest(scores, excluded, kept)
    return picked.any(dim=0).nonzero()[:, 0]
