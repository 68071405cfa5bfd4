"""The two towers: items and (query, user) to unit vectors whose dot product is the cosine.

One hashed embedding table is shared by titles, categories, attributes, descriptions, queries and histories. Items:
mean per field group, groups concatenated (UEPPR: one mean over all fields lets a noisy field hurt), feed-forward with
BatchNorm. Queries: the query's tokens, recent queries, recently clicked and ordered items through the same table, a
small MLP, so that it stays well under a millisecond on one core.

Two projections that both towers share are added to that [D]. ``words``: of the text's tokens, so that a query never
seen in training still lands near items that share its words. ``taste``: of attribute labels, an item's own and those
of a user's items, so that an item moves towards the users who chose its brand, price or colour before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.items import GROUPS
from training.ragged import Ragged, stack

HISTORY_GROUPS = ("title", "category", "attributes")
LABELS = "attributes"
WORDS_GAIN, OUTPUT_SCALE = 3.0, 0.1
"""Weights at the start [D]: texts that share words are close before the first step, and a small log needs no more."""
WORD_GROUPS = ("title", "category_words", "attribute_words", "description")


@dataclass(frozen=True)
class TowerConfig:
    """What is needed to build the towers again, and to turn text into their tokens."""

    groups: tuple[str, ...]
    """Field groups that are on, a subset of ``GROUPS`` in its order."""
    buckets: int
    token_dim: int
    dim: int
    hidden: int
    max_query_tokens: int
    max_item_tokens: int
    recent_queries: int
    recent_items: int
    recent_orders: int
    price_edges: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.groups or [g for g in GROUPS if g in self.groups] != list(self.groups):
            raise ValueError(f"groups must be some of {GROUPS}, in that order; got {self.groups}")

    @property
    def history_groups(self) -> tuple[str, ...]:
        """Groups through which a user's items are seen."""
        return tuple(g for g in self.groups if g in HISTORY_GROUPS) or self.groups[:1]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TowerConfig:
        lists = {k: tuple(v) for k, v in value.items() if isinstance(v, list)}
        return cls(**{**value, **lists})


@dataclass(frozen=True)
class QueryBatch:
    """B requests over T distinct texts and I distinct items of their histories; -1 pads.

    ``query`` [B] and ``recent_queries`` [B, q] index ``text_means`` [T, token_dim]; ``recent_items`` [B, c] and
    ``recent_orders`` [B, o] index ``item_means`` [I, history groups, token_dim].
    """

    text_means: Tensor
    item_means: Tensor
    query: Tensor
    recent_queries: Tensor
    recent_items: Tensor
    recent_orders: Tensor


class ItemTower(nn.Module):
    """Group means [n, groups, token_dim] to unit vectors [n, dim]."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(len(config.groups) * config.token_dim),
            nn.Linear(len(config.groups) * config.token_dim, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.ReLU(),
            _small(nn.Linear(config.hidden, config.dim)),
        )

    def forward(self, means: Tensor) -> Tensor:
        return self.layers(means.flatten(1))  # type: ignore[no-any-return]


class QueryTower(nn.Module):
    """Query and history means to vectors [B, dim], not normalised.

    A history that is empty is zeros with its mask at 0, the same for a user whom nobody knows.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        item_width = len(config.history_groups) * config.token_dim
        width = 2 * config.token_dim + 2 * item_width + 3
        self.layers = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.ReLU(),
            _small(nn.Linear(config.hidden, config.dim)),
        )

    def forward(self, batch: QueryBatch) -> Tensor:
        searched, has_searched = _mean_of(batch.text_means, batch.recent_queries)
        items = batch.item_means.flatten(1)
        clicked, has_clicked = _mean_of(items, batch.recent_items)
        ordered, has_ordered = _mean_of(items, batch.recent_orders)
        parts = (batch.text_means[batch.query], searched, clicked, ordered, has_searched, has_clicked, has_ordered)
        return self.layers(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


class Towers(nn.Module):
    """Both towers over one token table."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.tokens = nn.EmbeddingBag(config.buckets, config.token_dim, mode="mean")
        nn.init.normal_(self.tokens.weight, std=config.token_dim**-0.5)
        self.words = nn.Linear(config.token_dim, config.dim, bias=False)
        nn.init.orthogonal_(self.words.weight, gain=WORDS_GAIN)
        self.item = ItemTower(config)
        self.query = QueryTower(config)
        self.taste = nn.Linear(config.token_dim, config.dim, bias=False)
        self.taste_weights = nn.Parameter(torch.full((2,), 0.5))
        """How much the labels of recently clicked, and of ordered items count."""
        self._word_groups = [config.groups.index(g) for g in config.groups if g in WORD_GROUPS]
        self.word_weights = nn.Parameter(torch.zeros(max(len(self._word_groups), 1)))

    def token_means(self, *rows: Ragged) -> list[Tensor]:
        """Mean token embedding of each row of each part, [n, token_dim] per part; an empty row is zeros.

        One look-up for all parts: each has a gradient as large as the table.
        """
        together, device = stack(rows), self.tokens.weight.device
        ids = torch.from_numpy(together.ids.astype(np.int64)).to(device)
        means = self.tokens(ids, torch.from_numpy(together.offsets[:-1]).to(device))
        return list(means.split([len(part) for part in rows]))

    def encode_items(self, means: Tensor) -> Tensor:
        """Means of all groups, [n, groups, token_dim], to unit vectors [n, dim]."""
        vectors = self.item(means)
        if self._word_groups:
            weights = self.word_weights.softmax(0)
            vectors = vectors + self.words(torch.einsum("ngd,g->nd", means[:, self._word_groups], weights))
        if LABELS in self.config.groups:
            vectors = vectors + self.taste(means[:, self.config.groups.index(LABELS)])
        return F.normalize(vectors, dim=1)

    def encode_queries(self, batch: QueryBatch) -> Tensor:
        """Requests to unit vectors [B, dim]."""
        vectors = self.query(batch) + self.words(batch.text_means[batch.query])
        if LABELS in self.config.groups:
            labels = batch.item_means[:, self.config.history_groups.index(LABELS)]
            chosen = (_mean_of(labels, recent)[0] for recent in (batch.recent_items, batch.recent_orders))
            liked = sum(weight * mean for weight, mean in zip(self.taste_weights, chosen, strict=True))
            vectors = vectors + self.taste(liked)
        return F.normalize(vectors, dim=1)


def _small(layer: nn.Linear) -> nn.Linear:
    """Before training the shared projections, not this layer, say where a vector lies."""
    with torch.no_grad():
        layer.weight.mul_(OUTPUT_SCALE)
        layer.bias.mul_(OUTPUT_SCALE)
    return layer


def _mean_of(rows: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Mean over the entries of ``index`` [B, n] that are not -1, [B, d], and whether there is one, [B, 1]."""
    present = index >= 0
    if len(rows) == 0:
        return rows.new_zeros(len(index), rows.shape[1]), rows.new_zeros(len(index), 1)
    weights = present / present.sum(dim=1, keepdim=True).clamp(min=1)
    mean = torch.einsum("bnd,bn->bd", rows[index.clamp(min=0)], weights.to(rows.dtype))
    return mean, present.any(dim=1, keepdim=True).to(rows.dtype)


@torch.inference_mode()
def encode_catalog(
    towers: Towers, tokens: Mapping[str, Ragged], items: NDArray[np.int64] | None = None, chunk: int = 4096
) -> NDArray[np.float32]:
    """Unit vectors of ``items`` (default: all), [n, dim], in evaluation mode, ``chunk`` items at a time."""
    groups = [tokens[g] for g in towers.config.groups]
    wanted = np.arange(len(groups[0])) if items is None else items
    was_training = towers.training
    towers.eval()
    vectors = np.empty((len(wanted), towers.config.dim), dtype=np.float32)
    for start in range(0, len(wanted), chunk):
        rows = wanted[start : start + chunk]
        means = torch.stack(towers.token_means(*(group.take(rows) for group in groups)), dim=1)
        vectors[start : start + chunk] = towers.encode_items(means).cpu().numpy()
    towers.train(was_training)
    return vectors
