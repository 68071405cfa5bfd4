"""From memory-mapped arrays to the tensors of a step, without a loop per request.

Each distinct text and item of a batch is looked up and encoded once; requests point at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.arrays import Arrays
from training.towers import QueryBatch, Towers

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Histories:
    """What is known of the user at each of B requests: queries [B, q], items [B, c] and orders [B, o]; -1 pads."""

    queries: NDArray[np.int32]
    items: NDArray[np.int32]
    orders: NDArray[np.int32]

    def forget(self, rows: NDArray[np.bool_]) -> Histories:
        """The same with nothing known at ``rows`` [B]."""
        return Histories(*(np.where(rows[:, None], -1, h) for h in (self.queries, self.items, self.orders)))


@dataclass(frozen=True)
class Batch:
    """B requests. ``clicked`` [B], ``ordered`` [B] and ``unclicked`` [B, U] index ``targets``, the distinct items of
    the step [T]; -1 is none. ``columns`` [C] indexes them too: the B clicked items, then the uniform draws."""

    requests: I64
    histories: Histories
    targets: I64
    clicked: Tensor
    ordered: Tensor
    unclicked: Tensor
    columns: Tensor
    query: Tensor
    user: Tensor
    pair_request: Tensor
    """With ``pair_item``: every (request of the batch, clicked item that is a target), [n]."""
    pair_item: Tensor


def histories_of(arrays: Arrays, requests: I64) -> Histories:
    """The histories of requests as of their times."""
    return Histories(arrays.recent_queries[requests], arrays.recent_items[requests], arrays.recent_orders[requests])


def training_batches(
    arrays: Arrays,
    requests: I64,
    *,
    size: int,
    unclicked: int,
    uniform: int,
    forgotten: float,
    rng: np.random.Generator,
) -> Iterator[Batch]:
    """One pass over ``requests``, shuffled; the last requests that do not fill a batch wait for another pass.

    Args:
        unclicked: drawn per request; uniform: drawn per request, shared by the batch;
        forgotten: share of the requests whose user is treated as unknown.
    """
    order = rng.permutation(requests)
    size = min(size, len(order))
    for start in range(0, len(order) - size + 1, size):
        rows = np.sort(order[start : start + size])
        yield make_batch(arrays, rows, unclicked=unclicked, uniform=uniform, forgotten=forgotten, rng=rng)


def make_batch(
    arrays: Arrays, rows: I64, *, unclicked: int, uniform: int, forgotten: float, rng: np.random.Generator
) -> Batch:
    """The step over the requests ``rows`` [B], each of which has a clicked item."""
    clicked = arrays.clicked.sample(rows, 1, rng)[:, 0]
    ordered = arrays.ordered.sample(rows, 1, rng)[:, 0]
    shown = arrays.unclicked.sample(rows, unclicked, rng)
    drawn = arrays.random.sample(rows, uniform, rng).ravel()
    drawn = drawn[drawn >= 0]
    known = arrays.clicked.take(rows)
    targets = np.unique(np.concatenate([clicked, ordered, shown.ravel(), drawn]))
    targets = targets[targets >= 0]
    pair_request = known.rows_of_entries()
    is_target = np.isin(known.ids, targets)

    def place(items: I64) -> Tensor:
        return torch.from_numpy(np.where(items < 0, -1, np.searchsorted(targets, items)))

    return Batch(
        requests=rows,
        histories=histories_of(arrays, rows).forget(rng.random(len(rows)) < forgotten),
        targets=targets,
        clicked=place(clicked),
        ordered=place(ordered),
        unclicked=place(shown),
        columns=place(np.concatenate([clicked, drawn])),
        query=torch.from_numpy(arrays.request_query[rows].astype(np.int64)),
        user=torch.from_numpy(arrays.request_user[rows].astype(np.int64)),
        pair_request=torch.from_numpy(pair_request[is_target]),
        pair_item=place(known.ids[is_target].astype(np.int64)),
    )


def look_up(
    towers: Towers, arrays: Arrays, queries: I64, histories: Histories, targets: I64
) -> tuple[QueryBatch, Tensor]:
    """All token means of a step in one look-up.

    Args:
        queries: number of each request's query, [B]; targets: items to encode, [T].

    Returns:
        What the query tower reads, and the items' means [T, groups, token_dim].
    """
    config, device = towers.config, towers.tokens.weight.device
    texts = np.unique(np.concatenate([queries, histories.queries.ravel()]))
    texts = texts[texts >= 0]
    items = np.unique(np.concatenate([histories.items.ravel(), histories.orders.ravel()])).astype(np.int64)
    items = items[items >= 0]
    means = towers.token_means(
        arrays.query_tokens.take(texts),
        *(arrays.item_tokens[group].take(items) for group in config.history_groups),
        *(arrays.item_tokens[group].take(targets) for group in config.groups),
    )
    first_target = 1 + len(config.history_groups)

    def place(names: NDArray[np.integer], table: I64) -> Tensor:
        return torch.from_numpy(np.where(names < 0, -1, np.searchsorted(table, names))).to(device)

    batch = QueryBatch(
        text_means=means[0],
        item_means=torch.stack(means[1:first_target], dim=1),
        query=place(queries, texts),
        recent_queries=place(histories.queries, texts),
        recent_items=place(histories.items, items),
        recent_orders=place(histories.orders, items),
    )
    return batch, torch.stack(means[first_target:], dim=1)


@torch.inference_mode()
def encode_requests(
    towers: Towers, arrays: Arrays, requests: I64, *, personalized: bool = True, chunk: int = 2048
) -> NDArray[np.float32]:
    """Unit vectors of requests, [n, dim], in evaluation mode; without the user where not ``personalized``."""
    was_training = towers.training
    towers.eval()
    vectors = np.empty((len(requests), towers.config.dim), dtype=np.float32)
    for start in range(0, len(requests), chunk):
        rows = requests[start : start + chunk]
        histories = histories_of(arrays, rows).forget(np.full(len(rows), not personalized))
        queries, no_target = arrays.request_query[rows].astype(np.int64), np.zeros(0, dtype=np.int64)
        batch, _ = look_up(towers, arrays, queries, histories, no_target)
        vectors[start : start + chunk] = towers.encode_queries(batch).cpu().numpy()
    towers.train(was_training)
    return vectors
