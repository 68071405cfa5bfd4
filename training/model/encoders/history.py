"""History part of the vectors: this item again, or one that its buyers also choose [D].

An item is a code of its own (hashed, so that one that is new tomorrow has one), shared by both towers: two items' codes
are nearly at right angles before the first step, so their dot product says "the same one". A user is the sum of the
codes of what they ordered or clicked, each as often as that was and as far as it is what the query asks for: the
query attends to the history item by item, and every item may be declined, unlike in a softmax without a zero slot
(Ai et al., a zero attention model, CIKM 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ITEM_SHARE = 0.5
"""Length of the history part of an item beside its learned part of 1."""
GAIN = 1.0
CLICK = 0.3
"""Orders that a click counts for, at the start."""
RELEVANCE, DOUBT, NEWEST = 4.0, 1.0, 0.2
"""At the start: how much likeness to the query counts, what it has to exceed, and what being older takes off."""


class HistoryPart(nn.Module):
    """Users' items as a query reads them: requests over I distinct items to [B, width]."""

    def __init__(self, width: int, groups: int) -> None:
        super().__init__()
        self.of_query = nn.Linear(width, width, bias=False)
        self.of_item = nn.Linear(groups * width, width, bias=False)
        nn.init.orthogonal_(self.of_query.weight)
        with torch.no_grad():
            # each group as the query reads its own words: items that share them are alike before the first step
            self.of_item.weight.copy_(self.of_query.weight.repeat(1, groups))
        self.again = nn.Linear(width, 1)
        """How readily items of a kind are bought again."""
        nn.init.zeros_(self.again.weight)
        nn.init.constant_(self.again.bias, -DOUBT)
        self.weights = nn.Parameter(torch.tensor([RELEVANCE, -NEWEST, 0.0]))
        """Of likeness to the query, of the log of the place from the newest, and of the log of the times chosen."""
        self.click = nn.Parameter(torch.tensor(CLICK).log())
        self.gain = nn.Parameter(torch.tensor(GAIN).log())

    def forward(
        self, query: Tensor, items: Tensor, codes: Tensor, chosen: Tensor, place: Tensor, orders: Tensor, clicks: Tensor
    ) -> Tensor:
        """The sum of the codes of each request's items, [B, width].

        Args:
            query: [B, width] means of the query's tokens; items: [I, groups, width]; codes: [I, width];
            chosen: [B, n] rows of these, -1 pads, each at most once; place: [B, n] from the newest, 0;
            orders, clicks: [B, n] how often each was ordered, and clicked.
        """
        if len(items) == 0 or chosen.shape[1] == 0:
            return query.new_zeros(len(query), codes.shape[1])
        present, row = chosen >= 0, chosen.clamp(min=0)
        keys = F.normalize(self.of_item(items.flatten(1)), dim=1)
        asked = F.normalize(self.of_query(query), dim=1)
        times = torch.log1p(orders + self.click.exp() * clicks)
        relevance, older, often = self.weights
        doubt = self.again(keys)[:, 0]
        logits = (
            relevance * torch.einsum("bd,bnd->bn", asked, keys[row])
            + older * torch.log1p(place)
            + often * times
            + doubt[row]
        )
        weights = torch.sigmoid(logits) * times * present
        return self.gain.exp() * torch.einsum("bn,bnd->bd", weights, unit_codes(codes)[row])

    @staticmethod
    def of_items(codes: Tensor) -> Tensor:
        """[n, width] of items."""
        return ITEM_SHARE * unit_codes(codes)


def unit_codes(codes: Tensor) -> Tensor:
    """Codes [n, width] at length 1."""
    return F.normalize(codes, dim=1)
