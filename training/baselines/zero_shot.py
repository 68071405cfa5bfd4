"""The pretrained sentence encoder as it comes: cosine of query and item text, nothing learned of the shop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra.settings import Settings
from training.data.arrays import Arrays, TextVectors
from training.model.search import exact_top
from training.text import AS_IT_COMES, embed, item_texts, sentence_encoder

I64 = NDArray[np.int64]


def sentence_vectors(settings: Settings, arrays: Arrays) -> TextVectors:
    """Vectors of all items and queries by the pretrained encoder: those of the arrays where they are its, else made.

    Raises:
        TextEncoderError: its weights are missing or changed.
    """
    if settings.training.text_encoder in AS_IT_COMES and arrays.text is not None:
        return arrays.text
    encoder = sentence_encoder(settings)
    items, queries = item_texts(arrays.catalog()), arrays.query_texts()
    return TextVectors(embed(settings, encoder, items), embed(settings, encoder, queries))


def zero_shot_top(arrays: Arrays, requests: I64, k: int, vectors: TextVectors) -> I64:
    """The items of the closest text that existed at each request's time, [n, k]; -1 where a text is empty."""
    queries, row = np.unique(arrays.request_query[requests], return_inverse=True)
    items, asked = np.asarray(vectors.items), np.asarray(vectors.queries[queries])[row]
    # An item without a text, a row of zeros, would rank above those of negative cosine.
    available = np.where(items.any(axis=1), arrays.item_available, np.iinfo(np.int64).max)
    found, _ = exact_top(asked, items, k, arrays.request_time[requests], available)
    found[~asked.any(axis=1)] = -1
    return found
