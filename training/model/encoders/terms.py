"""Term encoder: hashed tokens to mean embeddings, one table for queries, items, histories and the graph (UEPPR)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from training.data.ragged import Ragged, stack


class TermEncoder(nn.Module):
    """The token table."""

    def __init__(self, buckets: int, width: int) -> None:
        super().__init__()
        self.tokens = nn.EmbeddingBag(buckets, width, mode="mean")
        nn.init.normal_(self.tokens.weight, std=width**-0.5)

    def forward(self, *parts: Ragged) -> list[Tensor]:
        """Mean token embedding of each row of each part, [n, width] per part; an empty row is zeros.

        One look-up for all parts: each has a gradient as large as the table.
        """
        together, device = stack(parts), self.tokens.weight.device
        ids = torch.from_numpy(together.ids.astype(np.int64)).to(device)
        means = self.tokens(ids, torch.from_numpy(together.offsets[:-1]).to(device))
        return list(means.split([len(part) for part in parts]))


def mean_of(rows: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the entries of ``index`` [B, n] that are not -1, [B, d], and whether there is one, [B, 1].

    Args:
        rows: [m, d].
    """
    present = index >= 0
    if len(rows) == 0 or index.shape[1] == 0:
        return rows.new_zeros(len(index), rows.shape[1]), rows.new_zeros(len(index), 1)
    weights = present / present.sum(dim=1, keepdim=True).clamp(min=1)
    mean = torch.einsum("bnd,bn->bd", rows[index.clamp(min=0)], weights.to(rows.dtype))
    return mean, present.any(dim=1, keepdim=True).to(rows.dtype)
