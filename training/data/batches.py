"""From memory-mapped arrays to the inputs of a step, without a loop per request.

A *target* is an item as of a request: with its numeric features at that time, and with neighbours in the graph that
were known before, the request's own query left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.settings import TrainingSettings
from training.data.arrays import Arrays, Stage
from training.data.histories import Histories, of_query
from training.data.ragged import Ragged, offsets_of
from training.distributed import own_slice
from training.model.inputs import ItemInputs, QueryInputs, item_inputs, query_inputs
from training.model.tower_config import TowerConfig

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Batch:
    """B requests. ``clicked`` [B], ``ordered`` [B] and ``unclicked`` [B, U] are rows of the targets [T], -1 is none.
    ``uniform`` [C] are rows of it too: draws from the catalogue that all requests share.

    ``queries``, ``targets`` and ``pool`` are this process's part of the batch; all else is of the whole batch.
    """

    requests: I64
    queries: QueryInputs
    targets: ItemInputs
    item: Tensor
    """Item of each target, [T]."""
    clicked: Tensor
    ordered: Tensor
    unclicked: Tensor
    uniform: Tensor
    pool: ItemInputs | None
    """A large random batch that hard negatives are mined from; None where no such negatives are asked for."""
    pool_item: Tensor
    neighbours: Tensor
    """Queries that each target is seen with in the graph, [T, k], -1 for none."""
    query: Tensor
    user: Tensor
    chosen_by_query: tuple[Tensor, Tensor]
    """Pairs (query, item), [n] each: what the train window's requests for a query of the batch led to."""
    chosen_by_request: tuple[Tensor, Tensor]
    """Pairs (place in the batch, item), [n] each: what a request itself led to."""
    chosen_by_user: tuple[Tensor, Tensor]
    """Pairs (user, item), [m] each: what a user of the batch clicked in the train window."""


class BatchMaker:
    """Makes the step over given requests; what it draws depends on the seed and the step's number alone."""

    def __init__(self, arrays: Arrays, config: TowerConfig, settings: TrainingSettings) -> None:
        self._arrays = arrays
        self._config = config
        self._settings = settings
        self._mines = any(settings.dynamic)
        self._led_by, _ = arrays.edges.heaviest(arrays.cut, kept=len(arrays.edges) + 1)
        self._chosen = _chosen_by_user(arrays)

    def order(self, requests: I64, epoch: int) -> I64:
        """The requests in the order in which a pass reads them."""
        return np.random.default_rng([self._settings.seed, 0, epoch]).permutation(requests)

    def epoch(self, requests: I64, epoch: int, steps: int, first: int = 0) -> Iterator[Batch]:
        """The batches of steps ``first`` to ``steps`` of an epoch; a short log is read several times in one.

        The last requests of a pass that do not fill a batch wait for another pass.
        """
        size = min(self._settings.batch_size, len(requests))
        per_pass = len(requests) // size
        passed, order = -1, requests
        for step in range(first, steps):
            if step // per_pass != passed:
                passed = step // per_pass
                order = self.order(requests, epoch * steps + passed)
            start = step % per_pass * size
            yield self.make(np.sort(order[start : start + size]), epoch * steps + step)

    def make(self, rows: I64, step: int) -> Batch:
        """The step over the requests ``rows`` [B], each of which has a clicked item."""
        arrays, settings = self._arrays, self._settings
        rng = np.random.default_rng([settings.seed, 1, step])
        drawn = {
            "clicked": (arrays.clicked, arrays.clicked.items.sample(rows, 1, rng)),
            "ordered": (arrays.ordered, arrays.ordered.items.sample(rows, 1, rng)),
            "unclicked": (arrays.unclicked, arrays.unclicked.items.sample(rows, settings.unclicked_per_step, rng)),
            "uniform": (arrays.random, arrays.random.items.sample(rows, settings.uniform_per_step, rng)),
        }
        targets, items, neighbours = self._targets(rows, list(drawn.values()), rng)
        places, first = {}, 0
        for name, (_, chosen) in drawn.items():
            is_there = chosen >= 0
            number = first + np.cumsum(is_there.ravel()).reshape(chosen.shape) - 1
            places[name] = torch.from_numpy(np.where(is_there, number, -1))
            first += int(is_there.sum())
        pool, pool_items = None, np.zeros(0, dtype=np.int64)
        if self._mines:
            every = arrays.random.items.first(rows, settings.random_per_request)
            pool, pool_items, _ = self._targets(rows, [(arrays.random, every)], rng)
        forgotten = rng.random(len(rows)) < settings.history_dropout
        unread = (rng.random(len(rows)) < settings.query_dropout) & self._config.has_text_part
        own = own_slice(len(rows))
        users = arrays.request_user[rows].astype(np.int64)
        return Batch(
            requests=rows,
            queries=request_inputs(self._config, arrays, rows[own], forgotten[own], unread[own]),
            targets=targets,
            item=torch.from_numpy(items),
            clicked=places["clicked"][:, 0],
            ordered=places["ordered"][:, 0],
            unclicked=places["unclicked"],
            uniform=places["uniform"][places["uniform"] >= 0],
            pool=pool,
            pool_item=torch.from_numpy(pool_items),
            neighbours=torch.from_numpy(neighbours),
            query=torch.from_numpy(arrays.request_query[rows].astype(np.int64)),
            user=torch.from_numpy(users),
            chosen_by_query=self._chosen_by_query(rows, np.unique(np.concatenate([items, pool_items]))),
            chosen_by_request=self._chosen_by_request(rows),
            chosen_by_user=self._chosen_by_user(users),
        )

    def _chosen_by_query(self, rows: I64, items: I64) -> tuple[Tensor, Tensor]:
        """Pairs (query, item) over the queries of the requests ``rows`` and the distinct ``items``.

        All of the train window, not the batch's alone: else an item whose neighbours name a query would be that query's
        negative, and the towers would learn the graph upside down.
        """
        arrays = self._arrays
        clicked, asked = arrays.clicked.take(rows), arrays.request_query[rows].astype(np.int64)
        queries, led = np.unique(asked), self._led_by.take(items)
        place = np.minimum(np.searchsorted(queries, led.ids), len(queries) - 1)
        inside = queries[place] == led.ids
        query = np.concatenate([asked[clicked.rows_of_entries()], led.ids[inside]])
        item = np.concatenate([clicked.ids, items[led.rows_of_entries()[inside]]])
        return torch.from_numpy(query.astype(np.int64)), torch.from_numpy(item.astype(np.int64))

    def _chosen_by_request(self, rows: I64) -> tuple[Tensor, Tensor]:
        clicked = self._arrays.clicked.take(rows)
        return torch.from_numpy(clicked.rows_of_entries()), torch.from_numpy(clicked.ids.astype(np.int64))

    def _chosen_by_user(self, users: I64) -> tuple[Tensor, Tensor]:
        """Pairs (user, item) over the known ``users``, for the like reason: a history names what its user chose."""
        known = np.unique(users[users >= 0])
        chosen = self._chosen.take(known)
        user = known[chosen.rows_of_entries()]
        return torch.from_numpy(user), torch.from_numpy(chosen.ids.astype(np.int64))

    def _targets(
        self, rows: I64, drawn: list[tuple[Stage, I64]], rng: np.random.Generator
    ) -> tuple[ItemInputs, I64, I64]:
        """Entries of stages as targets, one after the other (this process's part of them); the items and the neighbours
        of all.

        Args:
            drawn: per stage the chosen entries of each request, [B, n], -1 for none.
        """
        arrays, settings = self._arrays, self._settings
        entries = [(stage, chosen[chosen >= 0], np.nonzero(chosen >= 0)[0]) for stage, chosen in drawn]
        items = np.concatenate([stage.items.ids[chosen] for stage, chosen, _ in entries]).astype(np.int64)
        request = rows[np.concatenate([row for _, _, row in entries])]
        numeric = np.concatenate([stage.features[chosen] for stage, chosen, _ in entries])
        neighbours = np.full((len(items), settings.graph_neighbours), -1)
        if self._config.graph:
            own = arrays.request_query[request].astype(np.int64)
            own[rng.random(len(items)) >= settings.graph_leave_out] = -1
            neighbours = arrays.edges.sample(items, arrays.request_time[request], own, settings.graph_neighbours, rng)
            neighbours[rng.random(len(items)) < settings.graph_dropout] = -1
        own_part = own_slice(len(items))
        inputs = item_inputs(
            self._config, items[own_part], arrays.item_tokens, numeric[own_part], neighbours[own_part],
            arrays.query_tokens, arrays.text.items if arrays.text else None,
        )  # fmt: skip
        return inputs, items, neighbours


def _chosen_by_user(arrays: Arrays) -> Ragged:
    """The distinct items that each user clicked in the train window, a row per user."""
    rows = np.flatnonzero(~arrays.is_validation & (arrays.request_user >= 0))
    clicked = arrays.clicked.take(rows)
    users = arrays.request_user[rows].astype(np.int64)[clicked.rows_of_entries()]
    pair = np.unique(users * arrays.items + clicked.ids)
    count = int(arrays.request_user.max(initial=-1)) + 1
    return Ragged(
        offsets_of(np.bincount(pair // arrays.items, minlength=count)), (pair % arrays.items).astype(np.int32)
    )


def request_inputs(
    config: TowerConfig,
    arrays: Arrays,
    rows: I64,
    forgotten: NDArray[np.bool_],
    unread: NDArray[np.bool_] | None = None,
) -> QueryInputs:
    """The inputs of requests as of their times.

    Args:
        forgotten: where nothing is to be known of the user, [B]; unread: where nothing is to be known of the query but
        its text encoder's vector (default: nowhere), [B].
    """
    histories = Histories(
        arrays.recent_queries[rows], arrays.recent_items[rows], arrays.recent_orders[rows],
        arrays.recent_brands[rows], arrays.ordered_tags[rows], arrays.order_history.take(rows),
    ).forget(forgotten)  # fmt: skip
    about_query = of_query(arrays.meta["request_features"])
    numeric = np.array(arrays.request_features[rows])
    numeric[np.ix_(forgotten, ~about_query)] = np.nan
    if unread is not None:
        numeric[np.ix_(unread, about_query)] = np.nan
    queries = arrays.request_query[rows].astype(np.int64)
    reads_text = config.text_width > 0 and config.text_in_query and arrays.text is not None
    text = arrays.text.queries[queries] if reads_text and arrays.text else np.zeros((len(rows), 0), dtype=np.float32)
    return query_inputs(
        config, queries, histories, arrays.query_tokens, arrays.item_tokens, arrays.request_location.take(rows),
        numeric, about_query, text, unread,
    )  # fmt: skip
