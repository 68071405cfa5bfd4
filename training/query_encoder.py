"""One request to its query vector: the path that serving takes, over the same tower and inputs as training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from training.inputs import Histories, look_up, no_items, of_query, query_inputs
from training.location import LocationBuckets
from training.ragged import Ragged
from training.scalars import QuantileTransform
from training.text.ngrams import Hasher
from training.text_encoders import TextEncoder
from training.towers import LOCATION, Towers


@dataclass(frozen=True)
class Known:
    """What is known at a request besides its text; lists newest first. Nothing known is an unknown user."""

    recent_queries: Sequence[str] = ()
    recent_items: Sequence[str] = ()
    recent_orders: Sequence[str] = ()
    recent_brands: Sequence[str] = ()
    ordered_tags: Sequence[str] = ()
    figures: Mapping[str, float] = field(default_factory=dict)
    """Of the user and the query, by name; what is missing is unknown."""
    location: Mapping[str, object] = field(default_factory=dict)
    """``country``, ``language``, ``zip``, ``latitude``, ``longitude``."""


NOTHING = Known()


@dataclass(frozen=True)
class Preprocessing:
    """What was fitted on the train window and turns a request into the query tower's input."""

    figures: QuantileTransform
    location: LocationBuckets
    text: TextEncoder | None


class QueryEncoder:
    """Query tower, tokeniser and the tokens of the items that a history may name. Read-only, so threads may share it.

    Args:
        towers: in evaluation mode.
        tokens: rows of the history groups, one row per item of ``item_ids``.
        boosting: weights of the quality features, [f], that follow the unit vector; none: no boosting.
    """

    def __init__(
        self,
        towers: Towers,
        tokens: Mapping[str, Ragged],
        item_ids: Sequence[str],
        preprocessing: Preprocessing,
        boosting: NDArray[np.float32] | None = None,
    ) -> None:
        config = towers.config
        self._towers = towers.eval()
        self._words = Hasher(config.buckets, config.max_query_tokens, config.ngrams)
        self._tokens = {group: tokens[group] for group in config.history_groups}
        self._row_of = {item: row for row, item in enumerate(item_ids)}
        self._preprocessing = preprocessing
        self._of_query = of_query(preprocessing.figures.names)
        self._boosting = np.zeros(0, dtype=np.float32) if boosting is None else boosting

    @torch.inference_mode()
    def encode(self, text: str, known: Known = NOTHING) -> NDArray[np.float32]:
        """Query vector [width + f]: a unit vector, then the boosting weights. Items that the release does not know are
        skipped.

        Raises:
            ValueError: a location that names what is none, or of the wrong type.
        """
        config = self._towers.config
        texts = self._words.ngrams([text, *known.recent_queries[: config.recent_queries]])
        figures = self._figures(known)
        inputs = query_inputs(
            config,
            np.zeros(1, dtype=np.int64),
            self._histories(len(texts) - 1, known),
            texts,
            self._tokens,
            self._location(known),
            figures,
            self._text(text),
            known=np.asarray(np.isfinite(figures[:, self._of_query]).any(axis=1)),
        )
        batch, _ = look_up(self._towers, inputs, no_items(config))
        vector = self._towers.encode_queries(batch)[0].numpy()
        return np.concatenate([vector, self._boosting]) if len(self._boosting) else vector

    def _histories(self, queries: int, known: Known) -> Histories:
        config = self._towers.config
        return Histories(
            queries=np.arange(1, queries + 1, dtype=np.int32)[None],
            items=self._rows(known.recent_items[: config.recent_items]),
            orders=self._rows(known.recent_orders[: config.recent_orders]),
            brands=self._labels("#brand ", known.recent_brands[: config.recent_items]),
            tags=self._labels("#tag ", known.ordered_tags[: config.ordered_tags]),
        )

    def _rows(self, items: Sequence[str]) -> NDArray[np.int32]:
        return np.array([[self._row_of[item] for item in items if item in self._row_of]], dtype=np.int32)

    def _labels(self, prefix: str, names: Sequence[str]) -> NDArray[np.int32]:
        if not names or self._towers.config.history == "none":
            return np.zeros((1, 0), dtype=np.int32)
        return self._words.labels([prefix + name for name in names]).ids[None]

    def _location(self, known: Known) -> Ragged:
        labels = self._preprocessing.location.labels_of(known.location) if known.location else []
        if not labels or LOCATION not in self._towers.config.groups:
            return Ragged(np.zeros(2, dtype=np.int64), np.zeros(0, dtype=np.int32))
        ids = self._words.labels(labels).ids
        return Ragged(np.array([0, len(ids)]), ids)

    def _figures(self, known: Known) -> NDArray[np.float32]:
        transform = self._preprocessing.figures
        return transform.apply(np.array([[known.figures.get(name, np.nan) for name in transform.names]]))

    def _text(self, text: str) -> NDArray[np.float32]:
        config, encoder = self._towers.config, self._preprocessing.text
        if encoder is None or not (config.text_width and config.text_in_query):
            return np.zeros((1, 0), dtype=np.float32)
        return encoder.encode_query(text)[None].copy()
