"""The two towers: items and (query, user) to unit vectors whose dot product is the score.

A vector has up to two parts. The *learned* part is what a feed-forward network makes of all encoders together: terms,
graph, location, scalars, user, and text where it is fused with the features. To it are added, in both towers, two
shared projections [D]: ``words`` of the text's tokens, so that a query never seen in training still lands near items
that share its words; ``taste`` of attribute labels, an item's own and those of a user's items, so that an item moves
towards the users who chose its brand, price or colour before. The *text* part is a text encoder's vector, shared
projection (see ``training.model.encoders.text``): its score adds to that of the learned part.

The query tower stays small, so that it takes about a millisecond on one core.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from training.distributed import BatchNorm
from training.model.encoders.history import ITEM_SHARE, HistoryPart
from training.model.encoders.scalars import known_and_value
from training.model.encoders.terms import TermEncoder, mean_of
from training.model.encoders.text import TextPart
from training.model.encoders.user import UserEncoder
from training.model.tower_config import LABELS, LOCATION, TowerConfig, current_weights

WORDS_GAIN, OUTPUT_SCALE = 3.0, 0.1
"""Weights at the start [D]: texts that share words are close before the first step, and a small log needs no more."""
WORD_GROUPS = ("title", "category_words", "attribute_words", "description")
NEIGHBOUR_WEIGHT = 0.3
HALF: float = 0.5**0.5
"""What makes two parts of length 1 a vector of length 1."""


@dataclass(frozen=True)
class QueryBatch:
    """B requests over T distinct texts, L labels and I items of their histories; -1 pads.

    ``recent_queries`` [B, q] index ``in_vocabulary_means`` [T, token_dim]; ``recent_brands`` [B, b] and
    ``ordered_tags`` [B, t] index ``label_means`` [L, token_dim]; ``recent_items`` [B, c] and ``recent_orders`` [B, o]
    index ``item_means`` [I, kept groups, token_dim]. So does ``chosen`` [B, n], each distinct item of the orders and
    clicks that are remembered, with its ``place`` from the newest, its ``orders`` and its ``clicks``, [B, n] each.
    """

    terms: Tensor
    """Mean token embedding of the query, [B, token_dim]."""
    in_vocabulary_terms: Tensor
    """The same of its in-vocabulary tokens alone: what the feed-forward network reads of it."""
    vocabulary_share: Tensor
    """1 for a query that was asked lately, else the share of its tokens that are in-vocabulary, [B, 1]."""
    in_vocabulary_means: Tensor
    label_means: Tensor
    item_means: Tensor
    recent_queries: Tensor
    recent_items: Tensor
    recent_orders: Tensor
    recent_brands: Tensor
    ordered_tags: Tensor
    chosen: Tensor
    place: Tensor
    orders: Tensor
    clicks: Tensor
    location: Tensor
    """Mean label embedding of where the request comes from, [B, token_dim]."""
    numeric: Tensor
    """Of the user and the query, in [0, 1] or NaN, [B, request_numeric]."""
    text: Tensor
    """Text encoder's vector of the query, [B, text width]."""


@dataclass(frozen=True)
class ItemBatch:
    """n items, each as of a time."""

    means: Tensor
    """Mean token embedding per group, [n, item groups, token_dim]."""
    numeric: Tensor
    """In [0, 1] or NaN, [n, item_numeric]."""
    neighbours: Tensor
    """Mean token embedding of the neighbour queries, [n, token_dim]."""
    met: Tensor
    """1 where the item has a neighbour, [n, 1]."""
    text: Tensor
    """Text encoder's vector, [n, text width]."""


class ItemTower(nn.Module):
    """Everything known of an item to [n, dim], not normalised."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        width = len(config.groups) * config.token_dim + 2 * config.item_numeric
        width += config.token_dim + 1 if config.graph else 0
        self.text_as_feature = config.text_width > 0 and not config.has_text_part
        width += config.text_width if self.text_as_feature else 0
        self.layers = nn.Sequential(
            BatchNorm(width),
            nn.Linear(width, config.hidden),
            BatchNorm(config.hidden),
            nn.ReLU(),
            _small(nn.Linear(config.hidden, config.dim)),
        )

    def forward(self, items: ItemBatch) -> Tensor:
        parts = [items.means[:, : len(self.config.groups)].flatten(1)]
        if self.config.item_numeric:
            parts.append(known_and_value(items.numeric))
        if self.config.graph:
            parts += [items.neighbours, items.met]
        if self.text_as_feature:
            parts.append(items.text)
        return self.layers(torch.cat(parts, dim=1))  # type: ignore[no-any-return]


class QueryTower(nn.Module):
    """Query, history and context to [B, dim], not normalised.

    A history that is empty is zeros with its mask at 0, the same as for an unknown user.
    """

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.token_dim + 2 * config.request_numeric
        width += config.token_dim if LOCATION in config.groups else 0
        if config.history != "none":
            width += 2 * (len(config.history_groups) * config.token_dim) + 2 + 2 * (config.token_dim + 1)
        if config.history == "transformer":
            self.user = UserEncoder(config.token_dim, config.heads, config.recent_queries, config.recent_items)
        self.text_as_feature = config.text_width > 0 and config.text_in_query and not config.has_text_part
        width += config.text_width if self.text_as_feature else 0
        self.layers = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.ReLU(),
            _small(nn.Linear(config.hidden, config.dim)),
        )

    def forward(self, batch: QueryBatch) -> Tensor:
        query = batch.in_vocabulary_terms
        parts = [query]
        if self.config.history != "none":
            parts += self._history(query, batch)
        if LOCATION in self.config.groups:
            parts.append(batch.location)
        if self.config.request_numeric:
            parts.append(known_and_value(batch.numeric))
        if self.text_as_feature:
            parts.append(batch.text)
        return self.layers(torch.cat(parts, dim=1))  # type: ignore[no-any-return]

    def _history(self, query: Tensor, batch: QueryBatch) -> list[Tensor]:
        items = batch.item_means[:, : len(self.config.history_groups)].flatten(1)
        searched, has_searched = mean_of(batch.in_vocabulary_means, batch.recent_queries)
        if self.config.history == "transformer":
            searched = self.user(
                query, batch.in_vocabulary_means, batch.recent_queries, batch.label_means, batch.recent_brands
            )
        tags = mean_of(batch.label_means, batch.ordered_tags)
        return [
            searched,
            has_searched,
            *mean_of(items, batch.recent_items),
            *mean_of(items, batch.recent_orders),
            *tags,
        ]


class Towers(nn.Module):
    """Both towers over one token table."""

    in_vocabulary: Tensor
    """Which tokens enough training queries share: the feed-forward network of the query tower reads no others [D]. Of a
    token that it met in one query it would learn that query by heart, and say nonsense of the next. A query that is not
    in-vocabulary is read by the shared projections and by its text, where there is a text part."""

    def __init__(self, config: TowerConfig) -> None:
        super().__init__()
        self.config = config
        self.terms = TermEncoder(config.buckets, config.token_dim)
        self.register_buffer("in_vocabulary", torch.ones(config.buckets, dtype=torch.bool))
        self.item = ItemTower(config)
        self.query = QueryTower(config)
        if config.shared_words:
            self.words = nn.Linear(config.token_dim, config.dim, bias=False)
            nn.init.orthogonal_(self.words.weight, gain=WORDS_GAIN)
            self._word_groups = [config.groups.index(g) for g in config.groups if g in WORD_GROUPS]
            self.word_weights = nn.Parameter(torch.zeros(max(len(self._word_groups), 1)))
            if config.graph:
                self.neighbour_weight = nn.Parameter(torch.tensor(NEIGHBOUR_WEIGHT))
        if config.has_taste:
            self.taste = nn.Linear(config.token_dim, config.dim, bias=False)
            self.taste_weights = nn.Parameter(torch.full((2,), 0.5))
            """How much the labels of recently clicked, and of ordered items count."""
        if config.has_text_part:
            self.text = TextPart(config.text_width, config.text_dim)
        if config.history_part:
            self.history = HistoryPart(config.token_dim, len(config.history_groups))

    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Weights of these towers, or of their kind as earlier versions had it."""
        self.load_state_dict(current_weights(weights))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The weights by name, as ``QueryEncoder`` reads them; those of a GPU are copied."""
        return {name: weight.detach().cpu().numpy() for name, weight in self.state_dict().items()}

    def encode_items(self, items: ItemBatch) -> Tensor:
        """Items to unit vectors [n, width].

        Where there is a text part, both parts weigh the same in every item, so that no item's text counts less because
        much was learned of it; what a part counts for is the query's to say. An item without text is shorter than 1.
        """
        vectors: Tensor = self.item(items)
        if self.config.shared_words:
            words = self._item_words(items)
            vectors = vectors + self.words(words)
        if self.config.has_taste:
            vectors = vectors + self.taste(items.means[:, self.config.groups.index(LABELS)])
        vectors = F.normalize(vectors, dim=1)
        if self.config.has_text_part:
            vectors = torch.cat([vectors, self.text.items(items.text)], dim=1) * HALF
        if self.config.history_part:
            vectors = torch.cat([vectors, self.history.of_items(items.means[:, -1])], dim=1)
            vectors = vectors / (1 + ITEM_SHARE**2) ** 0.5
        return vectors

    def encode_queries(self, batch: QueryBatch) -> Tensor:
        """Requests to unit vectors [B, width]."""
        vectors = self.query(batch)
        if self.config.has_text_part:
            vectors = vectors * batch.vocabulary_share
        if self.config.shared_words:
            vectors = vectors + self.words(batch.terms)
        if self.config.has_taste:
            labels = batch.item_means[:, self.config.history_groups.index(LABELS)]
            chosen = (mean_of(labels, recent)[0] for recent in (batch.recent_items, batch.recent_orders))
            liked = sum(weight * mean for weight, mean in zip(self.taste_weights, chosen, strict=True))
            vectors = vectors + self.taste(liked)
        if self.config.has_text_part:
            vectors = torch.cat([vectors, self.text.queries(batch.text, batch.vocabulary_share)], dim=1)
        if self.config.history_part:
            vectors = torch.cat([vectors, self._history(batch)], dim=1)
        return F.normalize(vectors, dim=1)

    def _history(self, batch: QueryBatch) -> Tensor:
        groups = len(self.config.history_groups)
        part: Tensor = self.history(
            batch.terms,
            batch.item_means[:, :groups],
            batch.item_means[:, groups],
            batch.chosen,
            batch.place,
            batch.orders,
            batch.clicks,
        )
        return part

    def _item_words(self, items: ItemBatch) -> Tensor:
        words: Tensor = items.means.new_zeros(len(items.means), self.config.token_dim)
        if self._word_groups:
            weights = self.word_weights.softmax(0)
            words = torch.einsum("ngd,g->nd", items.means[:, self._word_groups], weights)
        if self.config.graph:
            words = words + self.neighbour_weight * items.neighbours
        return words


def _small(layer: nn.Linear) -> nn.Linear:
    """Before training the shared projections, not this layer, say where a vector lies."""
    with torch.no_grad():
        layer.weight.mul_(OUTPUT_SCALE)
        layer.bias.mul_(OUTPUT_SCALE)
    return layer
