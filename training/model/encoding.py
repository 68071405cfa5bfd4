"""Towers to vectors: a catalogue as of a time, and requests as of theirs."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.data.arrays import Arrays
from training.data.batches import request_inputs
from training.data.ragged import Ragged
from training.model.encoders.graph import weighted_means
from training.model.inputs import look_up, no_items
from training.model.towers import ItemBatch, Towers

CHUNK = 4096


@torch.inference_mode()
def encode_catalog(
    towers: Towers, arrays: Arrays, at: int, *, kept: int, items: NDArray[np.int64] | None = None
) -> NDArray[np.float32]:
    """Unit vectors of items, [n, width], with what was known of them at ``at`` (microseconds since 1970).

    Args:
        kept: heaviest neighbour queries of an item that count; items: which (default: all).
    """
    config = towers.config
    was_training = towers.training
    towers.eval()
    wanted = np.arange(arrays.items) if items is None else items
    numeric = np.zeros((arrays.items, 0), dtype=np.float32)
    if config.item_numeric:
        numeric = arrays.item_transform.apply(arrays.item_features(at))
    neighbours, weights = arrays.edges.heaviest(at, kept)
    vectors = np.empty((len(wanted), config.width), dtype=np.float32)
    for start in range(0, len(wanted), CHUNK):
        rows = wanted[start : start + CHUNK]
        near = _neighbours(towers, arrays, neighbours, weights, rows)
        means = towers.terms(*(arrays.item_tokens[group].take(rows) for group in config.item_groups))
        device = means[0].device
        batch = ItemBatch(
            means=torch.stack(means, dim=1),
            numeric=torch.from_numpy(numeric[rows]).to(device),
            neighbours=near,
            met=torch.from_numpy((neighbours.lengths[rows] > 0).astype(np.float32))[:, None].to(device),
            text=_text(arrays.text.items[rows] if arrays.text and config.text_width else None, rows).to(device),
        )
        vectors[start : start + CHUNK] = towers.encode_items(batch).cpu().numpy()
    towers.train(was_training)
    return vectors


@torch.inference_mode()
def encode_tokens(
    towers: Towers, tokens: Mapping[str, Ragged], numeric: NDArray[np.float32], text: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Unit vectors of items that no query led to yet, [n, width].

    Args:
        towers: in evaluation mode; tokens: rows of each of their groups, [n]; numeric: transformed, NaN where unknown,
            [n, item_numeric]; text: by the text encoder, zeros without one, [n, text_width].
    """
    config, count = towers.config, len(numeric)
    vectors = np.empty((count, config.width), dtype=np.float32)
    for start in range(0, count, CHUNK):
        rows = np.arange(start, min(start + CHUNK, count))
        means = torch.stack(towers.terms(*(tokens[group].take(rows) for group in config.item_groups)), dim=1)
        batch = ItemBatch(
            means=means,
            numeric=torch.from_numpy(numeric[rows]),
            neighbours=means.new_zeros(len(rows), config.token_dim),
            met=means.new_zeros(len(rows), 1),
            text=torch.from_numpy(text[rows]),
        )
        vectors[rows] = towers.encode_items(batch).numpy()
    return vectors


@torch.inference_mode()
def encode_requests(
    towers: Towers, arrays: Arrays, requests: NDArray[np.int64], *, personalized: bool = True
) -> NDArray[np.float32]:
    """Unit vectors of requests, [n, width]; non-personalized where not ``personalized``."""
    was_training = towers.training
    towers.eval()
    vectors = np.empty((len(requests), towers.config.width), dtype=np.float32)
    for start in range(0, len(requests), CHUNK):
        rows = requests[start : start + CHUNK]
        inputs = request_inputs(towers.config, arrays, rows, np.full(len(rows), not personalized))
        batch, _ = look_up(towers, inputs, no_items(towers.config))
        vectors[start : start + CHUNK] = towers.encode_queries(batch).cpu().numpy()
    towers.train(was_training)
    return vectors


def _neighbours(
    towers: Towers, arrays: Arrays, neighbours: Ragged, weights: NDArray[np.float32], rows: NDArray[np.int64]
) -> Tensor:
    """Weighted means of the token means of the neighbours of items ``rows``."""
    device = towers.terms.tokens.weight.device
    chosen = neighbours.take(rows)
    places = Ragged(neighbours.offsets, np.arange(len(weights), dtype=np.int32)).take(rows)
    queries, place = np.unique(chosen.ids, return_inverse=True)
    row = torch.from_numpy(chosen.rows_of_entries()).to(device)
    share = torch.from_numpy(weights[places.ids]).to(device)
    (means,) = towers.terms(arrays.query_tokens.take(queries.astype(np.int64)))
    return weighted_means(means, row, torch.from_numpy(place).to(device), share, len(rows))


def _text(vectors: NDArray[np.float32] | None, rows: NDArray[np.int64]) -> Tensor:
    return torch.zeros(len(rows), 0) if vectors is None else torch.from_numpy(np.array(vectors))
