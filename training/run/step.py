"""One training step: mine, encode, score, and move the weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from infra.settings import TrainingSettings
from training.data.batches import Batch
from training.distributed import gather, own_slice, sum_gradients
from training.losses.mining import mine_hard_negatives
from training.losses.objective import BatchVectors, Objective
from training.model.inputs import ItemInputs, look_up
from training.model.towers import Towers

WARM_UP = 0.1
WEIGHT_DECAY = 1e-5


def learning_rate(step: int, steps: int, highest: float) -> float:
    """Rises linearly over the first tenth of the steps, then falls as a half cosine towards zero."""
    done = step / max(steps, 1)
    if done < WARM_UP:
        return highest * (0.04 + 0.96 * done / WARM_UP)
    return highest * max(0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))), 1e-4)


class TrainingStep:
    """A step of a run of ``steps`` steps in all: what it does depends on its number and its batch alone."""

    def __init__(
        self, towers: Towers, objective: Objective, settings: TrainingSettings, steps: int, device: torch.device
    ) -> None:
        self.towers = towers
        self.optimiser = torch.optim.AdamW(
            towers.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True
        )
        self._objective = objective
        self._settings = settings
        self._steps = steps
        self._device = device
        self._mixed = settings.mixed_precision and device.type == "cuda"
        if settings.compile:
            towers.item.layers.compile()
            towers.query.layers.compile()

    def __call__(self, batch: Batch, number: int) -> Tensor:
        """Take step ``number`` (from 0); the objectives of its batch, not weighted, without a gradient."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(number, self._steps, self._settings.learning_rate)
        parts = self.parts(batch, number / self._steps)
        self.optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(parts @ self._objective.weights)
        sum_gradients(self.towers)
        self.optimiser.step()
        return parts.detach()

    def parts(self, batch: Batch, done: float) -> Tensor:
        """The objectives of a batch, with their gradient."""
        mined, mined_item = self._mined(batch, done)
        targets = batch.targets if mined is None else batch.targets.followed_by(mined)
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._mixed):
            requests, items = look_up(self.towers, batch.queries, targets)
            queries, encoded = self.towers.encode_queries(requests), self.towers.encode_items(items)
        own = len(batch.targets)
        vectors = BatchVectors(
            gather(queries.float()), gather(encoded[:own].float()), gather(encoded[own:].float()), mined_item
        )
        return self._objective.parts(batch, vectors, done)

    def _mined(self, batch: Batch, done: float) -> tuple[ItemInputs | None, Tensor]:
        """This process's part of the mined negatives, and the items of all of them."""
        if batch.pool is None or not self._objective.weight_of("dynamic", done):
            return None, torch.zeros(0, dtype=torch.int64, device=self._device)
        pool_item = batch.pool_item.to(self._device)
        excluded = self._objective.excluded(batch, pool_item)
        places = mine_hard_negatives(self.towers, batch, excluded, self._settings.dynamic_kept, gather)
        own = own_slice(len(pool_item))
        mine = places[(places >= own.start) & (places < own.stop)] - own.start
        return batch.pool.take(mine.cpu()), pool_item[places]
