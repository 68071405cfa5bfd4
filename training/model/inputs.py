"""What the towers read, as tokens and row numbers, and its look-up in the token table.

Everything here that needs no parameter is made ahead of the step. Each distinct text and item is looked up once;
requests and targets point at it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.histories import ChosenItems, Histories
from training.data.ragged import Ragged, offsets_of, stack
from training.model.encoders.graph import neighbour_means
from training.model.tower_config import TowerConfig
from training.model.towers import ItemBatch, QueryBatch, Towers

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class QueryInputs:
    """B requests; see ``QueryBatch`` for what indexes what."""

    texts: Ragged
    labels: Ragged
    items: tuple[Ragged, ...]
    location: Ragged
    query: Tensor
    recent_queries: Tensor
    recent_items: Tensor
    recent_orders: Tensor
    recent_brands: Tensor
    ordered_tags: Tensor
    chosen: Tensor
    place: Tensor
    orders: Tensor
    clicks: Tensor
    numeric: Tensor
    text: Tensor
    read: Tensor
    """0 where the query is to be read as an unknown one, no word of it in-vocabulary; else 1, [B, 1]."""
    known: Tensor
    """1 where the query was asked lately, [B, 1]."""


@dataclass(frozen=True)
class ItemInputs:
    """n items, each as of a time: ``row`` [n] points at the distinct items, whose tokens are given per group."""

    tokens: tuple[Ragged, ...]
    row: Tensor
    numeric: Tensor
    neighbour_tokens: Ragged
    """Of the distinct neighbour queries."""
    neighbours: Tensor
    """[n, k] rows of it, -1 for none."""
    text: Tensor

    def __len__(self) -> int:
        return len(self.row)

    def take(self, places: Tensor) -> ItemInputs:
        """The items at ``places`` [m], with the tokens of no others."""
        used, row = torch.unique(self.row[places], return_inverse=True)
        near = self.neighbours[places]
        queries = torch.unique(near[near >= 0])
        return ItemInputs(
            tokens=tuple(group.take(used.numpy()) for group in self.tokens),
            row=row,
            numeric=self.numeric[places],
            neighbour_tokens=self.neighbour_tokens.take(queries.numpy()),
            neighbours=torch.where(near < 0, -1, torch.searchsorted(queries, near)) if len(queries) else near,
            text=self.text[places],
        )

    def followed_by(self, other: ItemInputs) -> ItemInputs:
        """These items, then the others."""
        near = torch.where(other.neighbours < 0, -1, other.neighbours + len(self.neighbour_tokens))
        return ItemInputs(
            tokens=tuple(stack(pair) for pair in zip(self.tokens, other.tokens, strict=True)),
            row=torch.cat([self.row, other.row + len(self.tokens[0])]),
            numeric=torch.cat([self.numeric, other.numeric]),
            neighbour_tokens=stack([self.neighbour_tokens, other.neighbour_tokens]),
            neighbours=torch.cat([self.neighbours, near]),
            text=torch.cat([self.text, other.text]),
        )


def query_inputs(
    config: TowerConfig,
    queries: I64,
    histories: Histories,
    query_tokens: Ragged,
    item_tokens: Mapping[str, Ragged],
    location: Ragged,
    numeric: NDArray[np.float32],
    about_query: NDArray[np.bool_],
    text: NDArray[np.float32],
    unread: NDArray[np.bool_] | None = None,
) -> QueryInputs:
    """The inputs of B requests.

    Args:
        queries: [B] rows of ``query_tokens``; location: B rows;
        numeric: [B, F], F >= ``request_numeric``, NaN where unknown; about_query: see :func:`of_query`, [F];
        unread: read the query as one that was never asked, out of the vocabulary (default: none), [B];
        text: [B, text width], or anything where the query tower reads none.
    """
    texts = _distinct(queries, histories.queries)
    chosen = ChosenItems.of(
        histories if config.history_part else histories.forget(np.ones(len(queries), dtype=np.bool_))
    )
    items = _distinct(histories.items, histories.orders, chosen.items)
    labels = _distinct(histories.brands, histories.tags)
    return QueryInputs(
        texts=query_tokens.take(texts),
        labels=Ragged(np.arange(len(labels) + 1), labels.astype(np.int32)),
        items=tuple(item_tokens[group].take(items) for group in config.kept_groups),
        location=location,
        query=_place(queries, texts),
        recent_queries=_place(histories.queries, texts),
        recent_items=_place(histories.items, items),
        recent_orders=_place(histories.orders, items),
        recent_brands=_place(histories.brands, labels),
        ordered_tags=_place(histories.tags, labels),
        chosen=_place(chosen.items, items),
        place=torch.from_numpy(chosen.place),
        orders=torch.from_numpy(chosen.orders),
        clicks=torch.from_numpy(chosen.clicks),
        numeric=torch.from_numpy(np.ascontiguousarray(numeric[:, : config.request_numeric])),
        text=torch.from_numpy(text),
        read=_column(np.ones(len(queries), dtype=np.bool_) if unread is None else ~unread),
        known=_column(np.asarray(np.isfinite(numeric[:, about_query]).any(axis=1))),
    )


def item_inputs(
    config: TowerConfig,
    items: I64,
    item_tokens: Mapping[str, Ragged],
    numeric: NDArray[np.float32],
    neighbours: I64,
    query_tokens: Ragged,
    text: NDArray[np.float32] | None,
) -> ItemInputs:
    """The inputs of n items.

    Args:
        items: [n] rows of ``item_tokens``; numeric: [n, >= item_numeric]; neighbours: [n, k] rows of ``query_tokens``,
        -1 for none; text: the text vectors of all items, None where there are none.
    """
    distinct, row = np.unique(items, return_inverse=True)
    queries = _distinct(neighbours) if config.graph else np.zeros(0, dtype=np.int64)
    return ItemInputs(
        tokens=tuple(item_tokens[group].take(distinct) for group in config.item_groups),
        row=torch.from_numpy(row),
        numeric=torch.from_numpy(np.ascontiguousarray(numeric[:, : config.item_numeric])),
        neighbour_tokens=query_tokens.take(queries),
        neighbours=_place(neighbours, queries) if config.graph else torch.full((len(items), 0), -1),
        text=torch.from_numpy(text[items]) if text is not None and config.text_width else torch.zeros(len(items), 0),
    )


def look_up(towers: Towers, requests: QueryInputs, items: ItemInputs) -> tuple[QueryBatch, ItemBatch]:
    """All token means of a step in one look-up; the neighbours' in another, without a gradient."""
    in_vocabulary = requests.texts.where(towers.in_vocabulary.cpu().numpy())
    parts = (requests.texts, requests.labels, requests.location, in_vocabulary, *requests.items, *items.tokens)
    text_means, label_means, location, in_vocabulary_means, *means = towers.terms(*parts)
    device, history = text_means.device, len(requests.items)
    with torch.no_grad():
        (near,) = towers.terms(items.neighbour_tokens)
    neighbours, met = neighbour_means(near, items.neighbours.to(device))
    share = _share_left(in_vocabulary, requests.texts).to(device)
    query, read = requests.query.to(device), requests.read.to(device)
    in_vocabulary_means = in_vocabulary_means * share
    batch = QueryBatch(
        terms=text_means[query] * read,
        in_vocabulary_terms=in_vocabulary_means[query] * read,
        vocabulary_share=torch.maximum(requests.known.to(device), share[query]) * read,
        in_vocabulary_means=in_vocabulary_means,
        label_means=label_means,
        item_means=torch.stack(means[:history], dim=1),
        location=location,
        **{name: getattr(requests, name).to(device) for name in _AS_THEY_ARE},
    )
    return batch, ItemBatch(
        means=torch.stack(means[history:], dim=1)[items.row.to(device)],
        numeric=items.numeric.to(device),
        neighbours=neighbours,
        met=met,
        text=items.text.to(device),
    )


_AS_THEY_ARE = (
    "recent_queries", "recent_items", "recent_orders", "recent_brands", "ordered_tags", "chosen", "place", "orders",
    "clicks", "numeric", "text",
)  # fmt: skip


def _column(marks: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(marks.astype(np.float32))[:, None]


def _share_left(in_vocabulary: Ragged, texts: Ragged) -> Tensor:
    """Share of each text's tokens that are in-vocabulary, [T, 1]: a text of few of them says little."""
    share = in_vocabulary.lengths / np.maximum(texts.lengths, 1)
    return torch.from_numpy(share.astype(np.float32))[:, None]


def no_items(config: TowerConfig) -> ItemInputs:
    """Where a step encodes requests alone."""
    nothing = Ragged(offsets_of(np.zeros(0, dtype=np.int64)), np.zeros(0, dtype=np.int32))
    rows = torch.zeros(0, dtype=torch.int64)
    return ItemInputs(
        tuple(nothing for _ in config.item_groups), rows, torch.zeros(0, config.item_numeric), nothing, rows[:, None],
        torch.zeros(0, config.text_width),
    )  # fmt: skip


def _distinct(*rows: NDArray[np.integer]) -> I64:
    found = np.unique(np.concatenate([r.ravel() for r in rows])).astype(np.int64)
    return found[found >= 0]


def _place(names: NDArray[np.integer], table: I64) -> Tensor:
    return torch.from_numpy(np.where(names < 0, -1, np.searchsorted(table, names)).astype(np.int64))
