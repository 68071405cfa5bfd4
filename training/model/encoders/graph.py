"""Graph encoder: an item through the queries that led to it (UEPPR, section on the bipartite graph encoder).

One hop: the mean of the neighbour queries' vectors by the query side's own parameters. No gradient flows into these
through the graph: sharing without that over-fits [P]. An item that nobody has met has a mean of zeros and its mark at
0, as has a share of the items of every step (``graph_dropout`` [D]), so that new items are not strange to the tower.
"""

from __future__ import annotations

import torch
from torch import Tensor

from training.model.encoders.terms import mean_of


def neighbour_means(queries: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of each item's neighbours, [n, d], and whether it has one, [n, 1]; without a gradient.

    Args:
        queries: [Q, d] vectors of the distinct neighbour queries; index: [n, k] rows of it, -1 for none.
    """
    with torch.no_grad():
        return mean_of(queries.detach(), index)


def weighted_means(queries: Tensor, rows: Tensor, neighbours: Tensor, weights: Tensor, items: int) -> Tensor:
    """Weighted mean of each item's neighbours, [items, d]; zeros for an item without one.

    Args:
        queries: [Q, d]; rows: [edges] item of each edge; neighbours: [edges] its query; weights: [edges].
    """
    total = torch.zeros(items, device=queries.device).index_add_(0, rows, weights)
    share = (weights / total.clamp(min=1e-9)[rows])[:, None]
    return queries.new_zeros(items, queries.shape[1]).index_add_(0, rows, queries[neighbours] * share)
