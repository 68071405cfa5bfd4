"""The objective of a step against a slow loop, and what its weights and ramps do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from infra.settings import Settings, TrainingSettings
from tests.training.conftest import SMALL, with_training
from training.data.arrays import Arrays, prepare_arrays
from training.data.batches import Batch, BatchMaker
from training.losses.objective import ORDER_GAIN, PARTS, SOURCES, BatchVectors, Objective
from training.run.new_towers import tower_config
from training.run.trainer import click_share_of, train

MakeShop = Callable[..., Settings]
OFF: dict[str, tuple[float, float]] = dict.fromkeys(SOURCES, (0.0, 0.0))
ALL_PARTS = {f"weight_{part}": 1.0 for part in PARTS}


@pytest.fixture
def example(make_shop: MakeShop) -> tuple[Arrays, Batch, BatchVectors, Tensor]:
    """A step of 12 requests with vectors out of nowhere, the last three targets' worth of them mined."""
    settings = with_training(make_shop(requests=300, users=15), dynamic=(1.0, 1.0))
    arrays = prepare_arrays(settings)
    examples = np.flatnonzero((arrays.clicked.lengths > 0) & ~arrays.is_validation)
    maker = BatchMaker(arrays, tower_config(settings.training, arrays), settings.training)
    batch = maker.make(examples[-12:], 1)
    generator = torch.Generator().manual_seed(0)

    def unit(rows: int) -> Tensor:
        return torch.nn.functional.normalize(torch.randn(rows, 8, generator=generator, dtype=torch.float64), dim=1)

    mined = torch.arange(0, 40, 3)
    vectors = BatchVectors(unit(12), unit(len(batch.item)).requires_grad_(), unit(len(mined)), batch.pool_item[mined])
    return arrays, batch, vectors, torch.from_numpy(click_share_of(arrays, examples)).double()


def settings_of(**changes: object) -> TrainingSettings:
    return SMALL.model_copy(update={**OFF, **ALL_PARTS, "hard_in_batch_kept": 3, "dynamic_kept": 2, **changes})


def parts_of(
    example: tuple[Arrays, Batch, BatchVectors, Tensor], settings: TrainingSettings, done: float = 1.0
) -> dict[str, float]:
    arrays, batch, vectors, share = example
    found = Objective(settings, share, arrays.items).parts(batch, vectors, done)
    return dict(zip(PARTS, found.tolist(), strict=True))


class Loops:
    """The objectives of the example, one request and one column at a time."""

    def __init__(self, example: tuple[Arrays, Batch, BatchVectors, Tensor], settings: TrainingSettings) -> None:
        self.arrays, self.batch, self.vectors, self.share = example
        self.settings = settings
        self.item = self.batch.item.tolist()
        self.requests = range(len(self.batch.requests))

    def score(self, request: int, target: int) -> float:
        return float(self.vectors.queries[request] @ self.vectors.targets[target].detach())

    def is_negative(self, request: int, item: int, target: int | None = None) -> bool:
        """``target``: which one it is, where those that others chose count."""
        b = self.batch
        if target is not None and self.settings.others_choices:
            chosen = ((torch.arange(len(b.query)), b.chosen_by_request), (b.user, b.chosen_by_user))
            if b.query[request] in b.neighbours[target]:
                return False
        else:
            chosen = ((b.query, b.chosen_by_query), (b.user, b.chosen_by_user))
        return all(
            (int(key[request]), item) not in set(zip(*(part.tolist() for part in pairs), strict=True))
            for key, pairs in chosen
        )

    def columns(self, source: str, request: int) -> list[tuple[float, float, int]]:
        """Score, log of the expected draws and item of each negative."""
        b, size, kept = self.batch, len(self.requests), 10**6
        is_random = source in ("in_batch", "uniform")
        if source in ("in_batch", "hard_in_batch"):
            held = [
                (self.score(request, t), math.log(size * float(self.share[self.item[t]])), self.item[t])
                for t in b.clicked.tolist()
                if self.is_negative(request, self.item[t], t if is_random else None)
            ]
            kept = self.settings.hard_in_batch_kept if source == "hard_in_batch" else kept
        elif source == "uniform":
            log_q = math.log(len(b.uniform) / self.arrays.items)
            held = [
                (self.score(request, t), log_q, self.item[t])
                for t in b.uniform.tolist()
                if self.is_negative(request, self.item[t], t)
            ]
        else:
            log_q = math.log(len(b.pool_item) / self.arrays.items)
            mined = zip(self.vectors.mined, self.vectors.mined_item.tolist(), strict=True)
            held = [(float(self.vectors.queries[request] @ vector), log_q, item) for vector, item in mined]
            kept = self.settings.dynamic_kept
        return sorted((c for c in held if is_random or self.is_negative(request, c[2])), reverse=True)[:kept]

    def mass(self, source: str, request: int, without: set[int]) -> float:
        tau = self.settings.temperature
        return sum(math.exp(s / tau - q) for s, q, item in self.columns(source, request) if item not in without)

    def part(self, name: str, source: str) -> float:
        b, s, tau = self.batch, self.settings, self.settings.temperature
        terms: list[float] = []
        negatives: list[float] = []
        stages: dict[str, list[float]] = {"ordered": [], "clicked": [], "unclicked": []}
        for r in self.requests:
            clicked = self.score(r, int(b.clicked[r]))
            unclicked = [self.score(r, int(t)) for t in b.unclicked[r] if t >= 0]
            ordered = [self.score(r, int(b.ordered[r]))] if b.ordered[r] >= 0 else []
            shown = {self.item[t] for t in b.unclicked[r].tolist() if t >= 0}
            if name == "click":
                terms.append(-math.log(1 / (1 + self.mass(source, r, set()) / math.exp(clicked / tau))))
            elif name == "unclicked":
                mass = self.mass(source, r, shown)
                terms += [-math.log(1 / (1 + mass / math.exp(u / tau))) for u in unclicked]
            elif name == "click_over_unclicked":
                terms += [max(0.0, s.click_margin - clicked + u) for u in unclicked]
            elif name == "order_over_unclicked":
                terms += [max(0.0, s.order_margin - o + u) for o in ordered for u in unclicked]
            elif name == "fused":
                gained = [(o, ORDER_GAIN) for o in ordered] + [(clicked, 1.0)]
                whole = sum(math.exp(x / tau) for x in [*ordered, clicked, *unclicked]) + self.mass(source, r, shown)
                loss = -sum(gain * math.log(math.exp(x / tau) / whole) for x, gain in gained)
                terms.append(loss / sum(gain for _, gain in gained))
            else:
                stages["ordered"] += [max(0.0, s.threshold_ordered - o) for o in ordered]
                stages["clicked"].append(max(0.0, s.threshold_clicked - clicked))
                stages["unclicked"] += [max(0.0, s.threshold_unclicked - u) for u in unclicked]
                negatives += [max(0.0, c - s.threshold_negative) for c, _, _ in self.columns(source, r)]
        if name == "multi_part_hinge":
            return sum(sum(v) for v in (*stages.values(), negatives)) / len(self.requests)
        return sum(terms) / len(terms)


@pytest.mark.parametrize("others_choices", [True, False])
@pytest.mark.parametrize("source", SOURCES)
def test_every_part_with_each_source_alone_equals_loops(
    example: tuple[Arrays, Batch, BatchVectors, Tensor], source: str, others_choices: bool
) -> None:
    settings = settings_of(**{source: (0.0, 0.7)}, temperature=0.2, others_choices=others_choices)
    loops = Loops(example, settings)
    for name, value in parts_of(example, settings).items():
        assert value == pytest.approx(loops.part(name, source), rel=1e-5), name


def test_sources_mix_by_their_weights(example: tuple[Arrays, Batch, BatchVectors, Tensor]) -> None:
    mixed = parts_of(example, settings_of(in_batch=(1.0, 1.0), uniform=(3.0, 3.0)))["click"]
    alone = [parts_of(example, settings_of(**{name: (1.0, 1.0)}))["click"] for name in ("in_batch", "uniform")]
    assert mixed == pytest.approx(0.25 * alone[0] + 0.75 * alone[1])


@pytest.mark.parametrize("part", PARTS)
def test_a_weight_of_zero_switches_a_part_off(example: tuple[Arrays, Batch, BatchVectors, Tensor], part: str) -> None:
    settings = settings_of(**{f"weight_{part}": 0.0}, uniform=(1.0, 1.0))
    found = parts_of(example, settings)
    assert found.pop(part) == 0
    assert all(value > 0 for value in found.values())


def test_ramps_are_linear_and_then_constant() -> None:
    settings = settings_of(uniform=(1.0, 0.3), hard_in_batch=(0.0, 2.0), ramp_share=0.4)
    objective = Objective(settings, torch.ones(1), 1)
    for done, uniform, hard in [(0, 1.0, 0.0), (0.1, 0.825, 0.5), (0.2, 0.65, 1.0), (0.4, 0.3, 2.0), (0.9, 0.3, 2.0)]:
        assert objective.weight_of("uniform", done) == pytest.approx(uniform)
        assert objective.weight_of("hard_in_batch", done) == pytest.approx(hard)
        assert objective.weight_of("dynamic", done) == 0
    at_once = Objective(settings_of(uniform=(1.0, 0.3), ramp_share=0.0), torch.ones(1), 1)
    assert [at_once.weight_of("uniform", done) for done in (0.0, 1.0)] == pytest.approx([0.3, 0.3])


def test_no_negative_at_all_still_has_a_gradient(example: tuple[Arrays, Batch, BatchVectors, Tensor]) -> None:
    arrays, batch, vectors, share = example
    only_click = settings_of(**{f"weight_{part}": float(part == "click") for part in PARTS})
    nothing = replace(vectors, mined=vectors.mined[:0], mined_item=vectors.mined_item[:0])
    loss = Objective(only_click, share, arrays.items).parts(batch, nothing, 0.0).sum()
    torch.autograd.backward(loss)
    assert loss.item() == 0
    assert vectors.targets.grad is not None
    assert not vectors.targets.grad.any()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["fused", "multi_part_hinge"])
@pytest.mark.parametrize("source", SOURCES)
def test_each_source_alone_trains(make_shop: MakeShop, part: str, source: str) -> None:
    weights = {f"weight_{name}": float(name == part) for name in PARTS}
    settings = with_training(make_shop(requests=500), epochs=2, **weights, **OFF | {source: (1.0, 1.0)})
    curve = train(settings).curve
    assert curve[-1][part] < curve[0][part]
    assert curve[-1]["loss"] == pytest.approx(curve[-1][part])
