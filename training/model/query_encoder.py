"""One request to its query vector: the path that serving takes, over the weights and inputs of training."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from infra.contract.request import NO_CONTEXT, RequestContext
from training.data.histories import Histories, of_query
from training.data.items import BRAND, TAG
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher
from training.data.ragged import Ragged, empty_rows, offsets_of, stack
from training.data.scalars import QuantileTransform
from training.model.query_forward import QueryForward
from training.model.tower_config import LOCATION, TowerConfig

if TYPE_CHECKING:
    from training.model.towers import Towers
    from training.text import TextEncoder

KEPT_LABELS = 100_000


@dataclass(frozen=True)
class Preprocessing:
    """What was fitted on the train window and turns a request into the query tower's input."""

    numeric: QuantileTransform
    location: LocationBuckets
    text: TextEncoder | None


class QueryEncoder:
    """Query tower, tokeniser and the tokens of the items that a history may name. Read-only, so threads may share it.

    Args:
        config: of the towers;
        weights: theirs by their present names (see ``tower_config.current_weights``), not copied;
        tokens: rows of the history groups, one row per item of ``item_ids``.
        prior: weights of the quality features, [f], that follow the unit vector; none: no quality prior.
    """

    def __init__(
        self,
        config: TowerConfig,
        weights: Mapping[str, NDArray[Any]],
        tokens: Mapping[str, Ragged],
        item_ids: Sequence[str],
        preprocessing: Preprocessing,
        prior: NDArray[np.float32] | None = None,
    ) -> None:
        self.config = config
        self._weights = weights
        self._words = Hasher(config.buckets, config.max_query_tokens, config.ngrams)
        self._tokens = {group: tokens[group] for group in config.kept_groups}
        self._forward = QueryForward(config, weights, self._tokens)
        self._label_buckets: dict[str, int] = {}
        self._row_of = {item: row for row, item in enumerate(item_ids)}
        self._preprocessing = preprocessing
        self._about_query = of_query(preprocessing.numeric.names)
        self._prior = np.zeros(0, dtype=np.float32) if prior is None else prior

    @cached_property
    def towers(self) -> Towers:
        """Both towers in evaluation mode, as training has them: what encodes items. Loads torch."""
        import torch

        from training.model.towers import Towers

        towers = Towers(self.config)
        towers.load_weights({name: torch.from_numpy(weight) for name, weight in self._weights.items()})
        return towers.eval()

    def with_items(self, item_ids: Sequence[str], tokens: Mapping[str, Ragged]) -> QueryEncoder:
        """The same with further items after its own; ``tokens``: theirs of each history group."""
        other = copy.copy(self)
        other._tokens = {group: stack([own, tokens[group]]) for group, own in self._tokens.items()}
        other._forward = QueryForward(self.config, self._weights, other._tokens)
        other._row_of = self._row_of | {item: row for row, item in enumerate(item_ids, start=len(self._row_of))}
        return other

    @property
    def text_encoder(self) -> TextEncoder | None:
        """The text encoder, where the query tower reads one."""
        return self._preprocessing.text

    @property
    def location(self) -> LocationBuckets:
        """Where items and requests are, as it was fitted."""
        return self._preprocessing.location

    def encode(self, text: str, context: RequestContext = NO_CONTEXT) -> NDArray[np.float32]:
        """Query vector [width + f] of one request; see :meth:`encode_many`."""
        return np.asarray(self.encode_many([text], [context])[0])

    def encode_many(self, texts: Sequence[str], contexts: Sequence[RequestContext]) -> NDArray[np.float32]:
        """Query vectors [B, width + f] of B requests: unit vectors, then the weights of the quality prior.
        Items that the release does not know are skipped. ``texts`` are normalised (``infra.contract.query_text``), as
        the towers learned them.

        Raises:
            ValueError: a location that names what is none, or of the wrong type.
        """
        config, count = self.config, len(texts)
        searched = [context.recent_queries[: config.recent_queries] for context in contexts]
        numeric = self._numeric(contexts)
        known = np.asarray(np.isfinite(numeric[:, self._about_query]).any(axis=1))
        vectors = self._forward(
            self._words.ngrams([*texts, *chain.from_iterable(searched)]),
            self._histories(count, contexts, searched),
            self._location(contexts),
            numeric[:, : config.request_numeric],
            known.astype(np.float32)[:, None],
            self.text_vectors(texts),
        )
        return np.hstack([vectors, np.tile(self._prior, (count, 1))]) if len(self._prior) else vectors

    def known_row_indexes(self, items: Sequence[str]) -> list[int]:
        """Row index in the release of those items that it knows, in their order."""
        return [self._row_of[item] for item in items if item in self._row_of]

    def row_indexes(self, items: Sequence[str]) -> list[int]:
        """Row index in the release of each item, -1 of one that it does not know."""
        return [self._row_of.get(item, -1) for item in items]

    def _histories(
        self, first: int, contexts: Sequence[RequestContext], searched: Sequence[Sequence[str]]
    ) -> Histories:
        """``searched``: the recent queries of each request; their texts are numbered from ``first`` on."""
        config = self.config
        numbers = iter(range(first, first + sum(len(queries) for queries in searched)))
        return Histories(
            queries=_padded([[next(numbers) for _ in queries] for queries in searched]),
            items=_padded([self.known_row_indexes(c.recent_items[: config.recent_items]) for c in contexts]),
            orders=_padded([self.known_row_indexes(c.recent_orders[: config.recent_orders]) for c in contexts]),
            brands=self._labels(BRAND, [c.recent_brands[: config.recent_items] for c in contexts]),
            order_history=_ragged([self.known_row_indexes(c.order_history) for c in contexts]),
            tags=self._labels(TAG, [c.ordered_tags[: config.ordered_tags] for c in contexts]),
        )

    def _labels(self, prefix: str, names: Sequence[Sequence[str]]) -> NDArray[np.int32]:
        flat = [f"{prefix} {name}" for row in names for name in row]
        if not flat or self.config.history == "none":
            return np.zeros((len(names), 0), dtype=np.int32)
        held = iter(self._buckets(flat))
        return _padded([[next(held) for _ in row] for row in names])

    def _buckets(self, labels: Sequence[str]) -> list[int]:
        """The bucket of each label; a shop has few, and hashing one costs as much as hashing a thousand."""
        buckets = self._label_buckets
        missing = [label for label in dict.fromkeys(labels) if label not in buckets]
        if missing:
            # the prefix has letters, so that each label has its bucket
            new = dict(zip(missing, self._words.labels(missing).ids.tolist(), strict=True))
            if len(buckets) + len(new) > KEPT_LABELS:
                buckets = self._label_buckets = {label: buckets[label] for label in labels if label in buckets}
            buckets.update(new)
        return [buckets[label] for label in labels]

    def _location(self, contexts: Sequence[RequestContext]) -> Ragged:
        labels = [self._preprocessing.location.labels_of(c.location) if c.location else [] for c in contexts]
        flat = [label for row in labels for label in row]
        if not flat or LOCATION not in self.config.groups:
            return empty_rows(len(contexts))
        ids = self._words.labels(flat).ids
        return Ragged(offsets_of(np.array([len(row) for row in labels])), ids)

    def _numeric(self, contexts: Sequence[RequestContext]) -> NDArray[np.float32]:
        transform = self._preprocessing.numeric
        rows = [[c.numeric.get(name, np.nan) for name in transform.names] for c in contexts]
        numeric = np.array(rows, dtype=np.float64).reshape(len(contexts), len(transform.names))
        return transform.apply(np.where(np.isfinite(numeric), numeric, np.nan))

    def text_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of normalised queries by the text encoder, [n, text width]; [n, 0] where the tower reads none."""
        config, encoder = self.config, self._preprocessing.text
        if encoder is None or not (config.text_width and config.text_in_query):
            return np.zeros((len(texts), 0), dtype=np.float32)
        return np.stack([encoder.encode_query(text) for text in texts])


def _ragged(rows: Sequence[Sequence[int]]) -> Ragged:
    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    return Ragged(offsets_of(lengths), np.fromiter(chain.from_iterable(rows), np.int32, int(lengths.sum())))


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """Rows of different lengths as one array, -1 pads."""
    width = max((len(row) for row in rows), default=0)
    return np.array([[*row, *([-1] * (width - len(row)))] for row in rows], dtype=np.int32).reshape(len(rows), width)
