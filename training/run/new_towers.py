"""Untrained towers for a catalogue and a log: which parts they have, how wide, and which tokens they know."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from infra.contract.errors import TrainingSetError
from infra.settings import TrainingSettings
from training.data.arrays import Arrays
from training.model.tower_config import LOCATION, TowerConfig
from training.model.towers import Towers


def new_towers(settings: TrainingSettings, arrays: Arrays) -> Towers:
    """Untrained towers that fit a catalogue and a log."""
    towers = Towers(tower_config(settings, arrays))
    if towers.config.has_text_part and arrays.text is not None:
        towers.text.start_from(arrays.text.items, settings.seed)
    towers.in_vocabulary.copy_(torch.from_numpy(vocabulary_tokens(settings, arrays)))
    return towers


def vocabulary_tokens(settings: TrainingSettings, arrays: Arrays) -> NDArray[np.bool_]:
    """Which tokens at least ``least_queries_per_token`` distinct queries of the train window share, [buckets]."""
    queries = np.unique(arrays.request_query[~arrays.is_validation]).astype(np.int64)
    tokens = arrays.query_tokens.take(queries)
    pairs = np.unique(tokens.rows_of_entries() * settings.buckets + tokens.ids)
    counts = np.bincount(pairs % settings.buckets, minlength=settings.buckets)
    return np.asarray(counts >= settings.least_queries_per_token)


def tower_config(settings: TrainingSettings, arrays: Arrays) -> TowerConfig:
    """The towers that fit a catalogue and a log: what they fill and the settings have on, the widths of the settings.

    Raises:
        TrainingSetError: none of the fields that are on is filled.
    """
    on = (*settings.fields, *((LOCATION,) if settings.location else ()))
    groups = tuple(group for group in arrays.item_tokens if group in on)
    if not groups:
        raise TrainingSetError(f"the catalogue fills none of the fields that are on ({', '.join(on)}): set others")
    return TowerConfig(
        groups=groups,
        buckets=settings.buckets,
        token_dim=settings.token_dim,
        dim=settings.dim,
        hidden=settings.hidden,
        ngrams=settings.ngrams,
        max_query_tokens=settings.max_query_tokens,
        max_item_tokens=settings.max_item_tokens,
        recent_queries=arrays.recent_queries.shape[1],
        recent_items=arrays.recent_items.shape[1],
        recent_orders=arrays.recent_orders.shape[1],
        ordered_tags=arrays.ordered_tags.shape[1],
        price_edges=tuple(arrays.meta["price_edges"]),
        history=settings.history,
        graph=settings.graph and len(arrays.edges) > 0,
        item_numeric=len(arrays.meta["item_features"]) if settings.scalars else 0,
        request_numeric=len(arrays.meta["request_features"]) if settings.scalars else 0,
        text_encoder=arrays.text.encoder if arrays.text else "none",
        text_width=arrays.text.width if arrays.text else 0,
        text_in_query=settings.text_in_query and arrays.text is not None,
        text_fusion=settings.text_fusion,
        text_dim=min(settings.text_dim, arrays.text.width) if arrays.text else settings.text_dim,
        shared_words=settings.shared_words,
        shared_taste=settings.shared_taste,
        history_part=settings.history_part and settings.history != "none",
    )
