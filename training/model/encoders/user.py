"""User encoder: one Transformer layer over [query, recent searches, recent brands] (UEPPR's query-user encoder).

A search is the mean token embedding of its text, a brand (UEPPR: a shop) the embedding of its label, both from the
shared table. What is read off is the query's place, so that the query attends to the part of the history it concerns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class UserEncoder(nn.Module):
    """[B, d] query with [B, m] searches and [B, n] brands to [B, d]; masked entries have no influence."""

    def __init__(self, width: int, heads: int, searches: int, brands: int) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=2 * width, dropout=0.0, batch_first=True, norm_first=True
        )
        self.places = nn.Parameter(torch.zeros(1 + searches + brands, width))
        """What a sequence place means: the query, the k-th newest search, the k-th newest brand."""
        nn.init.normal_(self.places, std=width**-0.5)
        self._searches, self._brands = searches, brands

    def forward(self, query: Tensor, texts: Tensor, searches: Tensor, labels: Tensor, brands: Tensor) -> Tensor:
        """What the query's place holds after the layer, [B, d].

        Args:
            query: [B, d]; texts: [T, d] means of distinct texts; searches: [B, <= m] rows of it, -1 pads;
            labels: [L, d] embeddings of distinct brands; brands: [B, <= n] rows of it, -1 pads.
        """
        index = torch.cat([searches, torch.where(brands < 0, -1, brands + len(texts))], dim=1)
        held = torch.cat([texts, labels])[index.clamp(min=0)]
        places = torch.cat(
            [self.places[1 : 1 + searches.shape[1]], self.places[1 + self._searches :][: brands.shape[1]]]
        )
        sequence = torch.cat([(query + self.places[0])[:, None], held + places], dim=1)
        absent = torch.cat([index.new_zeros(len(query), 1, dtype=torch.bool), index < 0], dim=1)
        out: Tensor = self.layer(sequence, src_key_padding_mask=absent)
        return out[:, 0]
