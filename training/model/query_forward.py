"""The query tower's forward pass as serving runs it, in numpy over the towers' own weights.

One request is a few hundred operations on arrays of some thousand numbers: what it costs is the calls, and torch's cost
several times numpy's. What a request's history says of an item is the same for everybody, so it is kept per item; and
of the user encoder's layer only the query's place is computed, as nothing else of it is read.

``Towers.encode_queries`` is the definition; ``tests/training/model/test_query_encoder.py`` holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.data.histories import ChosenItems, Histories
from training.data.ragged import Ragged
from training.model.tower_config import LABELS, LEAST_UNKNOWN_GAIN, LOCATION, TowerConfig

F32 = NDArray[np.float32]
KEPT_ITEMS = 50_000
"""Items that are kept as histories read them, 1.3 KB each at 64 dimensions a token."""
LARGEST_LOGIT = 80
"""Beyond it ``exp`` overflows."""
SMALLEST_NORM = 1e-12
"""As ``torch.nn.functional.normalize`` has it."""


class QueryForward:
    """Requests to query vectors. Threads may share it.

    Args:
        config: of the towers;
        weights: theirs by name, which must not change any more;
        tokens: rows of the kept groups, one row per item that a history may name.
    """

    def __init__(self, config: TowerConfig, weights: Mapping[str, NDArray[Any]], tokens: Mapping[str, Ragged]) -> None:
        self._config = config
        self._in_vocabulary: NDArray[np.bool_] = weights["in_vocabulary"]
        self._weights: Mapping[str, F32] = weights
        self._table = self._weights["terms.tokens.weight"]
        self._tokens = tokens
        self._read = self._nothing_read()
        self._filling = Lock()

    def __call__(
        self, texts: Ragged, histories: Histories, location: Ragged, numeric: F32, known: F32, text: F32
    ) -> F32:
        """Unit vectors of B requests, [B, width].

        Args:
            texts: tokens of the B queries, then of the recent queries that ``histories`` name by their rows;
            histories: items by their rows in ``tokens``, labels by their buckets; location: B rows of buckets;
            numeric: [B, request_numeric], NaN where unknown; known: 1 where the query was asked lately, [B, 1];
            text: [B, text width], [B, 0] where the tower reads none.
        """
        config, count = self._config, len(known)
        in_vocabulary = texts.where(self._in_vocabulary)
        share = (in_vocabulary.lengths / np.maximum(texts.lengths, 1)).astype(np.float32)[:, None]
        searched = self._means(in_vocabulary) * share
        terms, in_terms = self._means(Ragged(texts.offsets[: count + 1], texts.ids)), searched[:count]
        vocabulary_share = np.maximum(known, share[:count])
        chosen = ChosenItems.of(histories) if config.history_part else None
        items = self._items(histories.items, histories.orders, *([chosen.items] if chosen else []))
        clicked, ordered = items.places(histories.items), items.places(histories.orders)

        parts = [in_terms]
        if config.history != "none":
            asked, has_asked = _mean_of(searched, histories.queries)
            if config.history == "transformer":
                asked = self._user(in_terms, searched, histories)
            tags = _mean_of(self._table, histories.tags)
            parts += [asked, has_asked, *_mean_of(items.means, clicked), *_mean_of(items.means, ordered), *tags]
        if LOCATION in config.groups:
            parts.append(self._means(location))
        if config.request_numeric:
            is_known = np.isfinite(numeric)
            parts += [np.where(is_known, numeric - np.float32(0.5), np.float32(0)), is_known.astype(np.float32)]
        if config.text_width and config.text_in_query and not config.has_text_part:
            parts.append(text)
        hidden = np.maximum(self._linear("query.layers.0", np.concatenate(parts, axis=1)), 0)
        vectors = self._linear("query.layers.2", hidden)

        if config.has_text_part:
            vectors = vectors * vocabulary_share
        if config.shared_words:
            vectors = vectors + self._linear("words", terms)
        if config.has_taste:
            at = config.history_groups.index(LABELS) * config.token_dim
            labels = items.means[:, at : at + config.token_dim]
            weights = self._weights["taste_weights"]
            liked = weights[0] * _mean_of(labels, clicked)[0] + weights[1] * _mean_of(labels, ordered)[0]
            vectors = vectors + self._linear("taste", liked)
        if config.has_text_part:
            vectors = np.concatenate([vectors, self._text(text, vocabulary_share)], axis=1)
        if chosen is not None:
            vectors = np.concatenate([vectors, self._again(terms, items, chosen)], axis=1)
        return _unit(vectors)

    def _text(self, text: F32, vocabulary_share: F32) -> F32:
        unknown, known = np.exp(self._weights["text.gains"])
        unknown = max(unknown, np.float32(LEAST_UNKNOWN_GAIN))
        gain = unknown + vocabulary_share * (known - unknown)
        return np.asarray(gain * _unit(self._linear("text.project", text)))

    def _again(self, terms: F32, items: _ReadItems, chosen: ChosenItems) -> F32:
        """The history part, see ``training.model.encoders.history``."""
        if chosen.items.shape[1] == 0:
            return np.zeros((len(terms), self._config.token_dim), dtype=np.float32)
        relevance, older, often = self._weights["history.weights"]
        place = items.places(chosen.items).clip(min=0)
        asked = _unit(self._linear("history.of_query", terms))
        times = np.log1p(chosen.orders + np.exp(self._weights["history.click"]) * chosen.clicks)
        like = np.matmul(items.keys[place], asked[:, :, None])[:, :, 0]
        logits = relevance * like + older * np.log1p(chosen.place) + often * times + items.doubt[place]
        weights = times * (chosen.items >= 0) / (1 + np.exp(-logits.clip(min=-LARGEST_LOGIT)))
        return np.asarray(np.exp(self._weights["history.gain"]) * np.matmul(weights[:, None], items.codes[place])[:, 0])

    def _user(self, query: F32, searched: F32, histories: Histories) -> F32:
        """The query's place after the user encoder's layer, see ``training.model.encoders.user``."""
        config, weights, name = self._config, self._weights, "query.user.layer"
        queries, brands = histories.queries, histories.brands
        places = weights["query.user.places"]
        width = config.token_dim
        absent = np.concatenate([np.zeros((len(query), 1), dtype=np.bool_), queries < 0, brands < 0], axis=1)
        sequence = np.concatenate(
            [
                (query + places[0])[:, None],
                searched[queries.clip(min=0)] + places[1 : 1 + queries.shape[1]],
                self._table[brands.clip(min=0)] + places[1 + config.recent_queries :][: brands.shape[1]],
            ],
            axis=1,
        )
        normed = self._norm(f"{name}.norm1", sequence)
        into, bias = weights[f"{name}.self_attn.in_proj_weight"], weights[f"{name}.self_attn.in_proj_bias"]
        asks = (normed[:, 0] @ into[:width].T + bias[:width]).reshape(len(query), self._config.heads, -1, 1)
        keys, values = np.split(normed @ into[width:].T + bias[width:], 2, axis=2)
        of_heads = (*keys.shape[:2], self._config.heads, -1)
        keys, values = (part.reshape(of_heads).transpose(0, 2, 1, 3) for part in (keys, values))
        scores = np.matmul(keys, asks)[..., 0] / np.sqrt(np.float32(keys.shape[-1]))
        scores = np.where(absent[:, None], -np.inf, scores)
        shares = np.exp(scores - scores.max(axis=2, keepdims=True))
        shares /= shares.sum(axis=2, keepdims=True)
        seen = np.matmul(shares[:, :, None], values)[:, :, 0].reshape(len(query), width)
        out = sequence[:, 0] + self._linear(f"{name}.self_attn.out_proj", seen)
        widened = np.maximum(self._linear(f"{name}.linear1", self._norm(f"{name}.norm2", out)), 0)
        return np.asarray(out + self._linear(f"{name}.linear2", widened))

    def _items(self, *rows: NDArray[np.int32]) -> _ReadItems:
        """What is kept of items, with those at ``rows`` (-1 pads) among them."""
        read = self._read
        wanted = np.concatenate([r.ravel() for r in rows])
        wanted = wanted[wanted >= 0]
        if (read.place[wanted] >= 0).all():
            return read
        with self._filling:
            read = self._read
            wanted = np.unique(wanted).astype(np.int64)
            missing = wanted[read.place[wanted] < 0]
            if read.held + len(missing) > len(read.means):
                read, missing = self._nothing_read(len(wanted)), wanted
            self._fill(read, missing)
            self._read = read
        return read

    def _fill(self, read: _ReadItems, rows: NDArray[np.int64]) -> None:
        config, at = self._config, slice(read.held, read.held + len(rows))
        means = [self._means(self._tokens[group].take(rows)) for group in config.kept_groups]
        groups = np.concatenate(means[: len(config.history_groups)], axis=1)
        read.means[at] = groups
        if config.history_part:
            read.keys[at] = _unit(self._linear("history.of_item", groups))
            read.doubt[at] = self._linear("history.again", read.keys[at])[:, 0]
            read.codes[at] = _unit(means[-1])
        # last: other threads read a row as soon as it has a place
        read.place[rows] = np.arange(at.start, at.stop)
        read.held = at.stop

    def _nothing_read(self, least: int = 1) -> _ReadItems:
        count, config = len(self._tokens[self._config.kept_groups[0]]), self._config
        rows = max(min(KEPT_ITEMS, count), least)
        return _ReadItems.none(count, rows, len(config.history_groups) * config.token_dim, config.token_dim)

    def _means(self, rows: Ragged) -> F32:
        """Mean token embedding of each row, [n, token_dim]; an empty one is zeros."""
        lengths = rows.lengths
        filled = np.flatnonzero(lengths)
        out = np.zeros((len(rows), self._table.shape[1]), dtype=np.float32)
        if len(filled):
            begin, end = rows.offsets[0], rows.offsets[-1]
            sums = np.add.reduceat(self._table[rows.ids[begin:end]], rows.offsets[:-1][filled] - begin, axis=0)
            out[filled] = sums / lengths[filled, None].astype(np.float32)
        return out

    def _linear(self, name: str, x: F32) -> F32:
        out = x @ self._weights[f"{name}.weight"].T
        bias = self._weights.get(f"{name}.bias")
        return out if bias is None else out + bias

    def _norm(self, name: str, x: F32) -> F32:
        centred = x - x.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(1e-5))
        return np.asarray(centred / deviation * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"])


@dataclass
class _ReadItems:
    """Items as histories read them, a row each in the order in which they came."""

    place: NDArray[np.int32]
    """Row of each item of the catalogue, -1 of one that is not held."""
    means: F32
    """Of the history groups' tokens, side by side."""
    keys: F32
    doubt: F32
    codes: F32
    held: int = 0

    @classmethod
    def none(cls, items: int, rows: int, groups: int, width: int) -> _ReadItems:
        """Room for ``rows`` of ``items``."""

        def empty(*shape: int) -> Any:
            return np.zeros(shape, dtype=np.float32)

        keys, codes = empty(rows, width), empty(rows, width)
        return cls(np.full(items, -1, dtype=np.int32), empty(rows, groups), keys, empty(rows), codes)

    def places(self, rows: NDArray[np.int32]) -> NDArray[np.int32]:
        """The rows here of items, -1 pads."""
        return np.where(rows < 0, np.int32(-1), self.place[rows])


def _mean_of(rows: F32, index: NDArray[np.int32]) -> tuple[F32, F32]:
    """As ``training.model.encoders.terms.mean_of``."""
    count = len(index)
    if index.shape[1] == 0:
        return np.zeros((count, rows.shape[1]), dtype=np.float32), np.zeros((count, 1), dtype=np.float32)
    present = index >= 0
    many = present.sum(axis=1, keepdims=True)
    weights = present / np.maximum(many, 1).astype(np.float32)
    mean = np.matmul(weights[:, None].astype(np.float32), rows[index.clip(min=0)])[:, 0]
    return mean, (many > 0).astype(np.float32)


def _unit(x: F32) -> F32:
    norm = np.sqrt((x * x).sum(axis=-1, keepdims=True))
    return np.asarray(x / np.maximum(norm, np.float32(SMALLEST_NORM)))
