"""Mined negatives: the most similar of the pool, and never an item that is known to fit."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.settings import Settings, TrainingSettings
from tests.training.conftest import with_training
from training.data.arrays import prepare_arrays
from training.data.batches import BatchMaker
from training.losses.mining import mine_hard_negatives
from training.losses.objective import Objective
from training.model.inputs import look_up
from training.run.new_towers import new_towers
from training.run.step import TrainingStep
from training.run.trainer import click_share_of

MakeShop = Callable[..., Settings]


class Made:
    """A shop, its towers and what makes its batches."""

    def __init__(self, shop: Settings) -> None:
        self.shop = shop
        self.arrays = prepare_arrays(shop)
        self.towers = new_towers(shop.training, self.arrays)
        self.maker = BatchMaker(self.arrays, self.towers.config, shop.training)
        self.examples = np.flatnonzero((self.arrays.clicked.lengths > 0) & ~self.arrays.is_validation)

    def objective(self, settings: TrainingSettings) -> Objective:
        share = torch.from_numpy(click_share_of(self.arrays, self.examples))
        return Objective(settings, share, self.arrays.items)


@pytest.fixture
def made(make_shop: MakeShop) -> Made:
    # few items: most of a pool is then a known positive of somebody
    settings = with_training(make_shop(requests=500, items=40, users=10), dynamic=(0.5, 1.0), dynamic_kept=4)
    return Made(settings)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=15)
@given(seed=st.integers(0, 10_000), size=st.integers(2, 24), kept=st.integers(1, 9))
def test_never_a_positive_and_the_most_similar(made: Made, seed: int, size: int, kept: int) -> None:
    arrays, towers, maker, examples = made.arrays, made.towers, made.maker, made.examples
    rows = np.sort(np.random.default_rng(seed).choice(examples, size, replace=False))
    batch = maker.make(rows, seed)
    excluded = made.objective(made.shop.training).excluded(batch, batch.pool_item)
    assert batch.pool is not None
    towers.train()
    found = mine_hard_negatives(towers, batch, excluded, kept, lambda own: own)
    assert towers.training
    assert torch.equal(found, torch.unique(found))
    towers.eval()
    with torch.no_grad():
        requests, pool = look_up(towers, batch.queries, batch.pool)
        scores = towers.encode_queries(requests) @ towers.encode_items(pool).T
    chosen = set(found.tolist())
    picked: set[int] = set()
    for row in range(size):
        own = [
            int(i)
            for k in range(size)
            if batch.query[k] == batch.query[row] or batch.user[k] == batch.user[row]
            for i in arrays.clicked.items[batch.requests[k]]
        ]
        allowed = [c for c in range(len(batch.pool_item)) if not excluded[row, c]]
        assert not {int(batch.pool_item[c]) for c in allowed} & set(own)
        best = sorted((float(scores[row, c]) for c in allowed), reverse=True)[:kept]
        least = best[-1] if best else np.inf  # of equal scores any may be picked
        assert {c for c in allowed if scores[row, c] > least + 1e-6} <= chosen
        picked |= {c for c in allowed if scores[row, c] >= least - 1e-6}
    assert chosen <= picked


def test_mining_needs_a_pool(made: Made) -> None:
    plain = with_training(made.shop, dynamic=(0.0, 0.0)).training
    batch = BatchMaker(made.arrays, made.towers.config, plain).make(made.examples[:8], 0)
    assert batch.pool is None
    with pytest.raises(ValueError, match="without a pool"):
        mine_hard_negatives(made.towers, batch, torch.zeros(8, 0, dtype=torch.bool), 3, lambda own: own)


def test_mining_changes_no_running_statistic(made: Made) -> None:
    towers, batch = made.towers, made.maker.make(made.examples[:16], 0)
    before = {name: value.clone() for name, value in towers.named_buffers()}
    mine_hard_negatives(towers, batch, torch.zeros(16, len(batch.pool_item), dtype=torch.bool), 3, lambda own: own)
    assert all(torch.equal(before[name], value) for name, value in towers.named_buffers())
    assert all(p.grad is None for p in towers.parameters())


def test_a_step_learns_from_what_it_mined(made: Made) -> None:
    weights = {f"weight_{n}": 0.0 for n in ("unclicked", "click_over_unclicked", "order_over_unclicked")}
    only = with_training(made.shop, in_batch=(0.0, 0.0), uniform=(0.0, 0.0), **weights).training
    step = TrainingStep(made.towers, made.objective(only), only, 10, torch.device("cpu"))
    made.towers.train()
    losses = [float(step(made.maker.make(made.examples[:64], 3), number).sum()) for number in range(8)]
    assert losses[-1] < losses[0]
