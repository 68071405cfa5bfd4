"""Training of the towers on requests with a click, epoch by epoch until validation recall stops rising."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.settings import Settings, TrainingSettings
from training import losses
from training.arrays import Arrays, TrainingSetError, prepare_arrays
from training.batches import Batch, encode_requests, look_up, training_batches
from training.candidate import save_candidate
from training.held_out import stopping_and_judging
from training.search import exact_top, recall
from training.towers import TowerConfig, Towers, encode_catalog

Progress = Callable[[str, float], None]
RECALL_AT = (10, 100)


@dataclass(frozen=True)
class TrainingResult:
    """What a run of the trainer came to.

    ``curve`` has one entry per epoch: ``epoch``, ``loss`` and its parts, ``recall@10`` and ``recall@100`` of clicked
    and ordered items of validation requests (None where there are none), ``seconds``.
    """

    candidate_dir: Path
    curve: list[dict[str, Any]]
    best_epoch: int
    examples: int
    """Training requests with a click."""
    examples_per_second: float
    seconds: float
    groups: tuple[str, ...]
    device: str

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "candidate_dir": str(self.candidate_dir)}


def train(settings: Settings, progress: Progress | None = None) -> TrainingResult:
    """Train the towers on the training set on disk, into ``settings.paths.training / "candidate"``.

    On a CPU the same training set, settings and seed give the same weights.

    Args:
        progress: called with a sentence and the share that is done.

    Raises:
        TrainingSetError: there is no training set, or no request of the train window has a click.
    """
    report = progress or (lambda message, share: None)
    with repeatable(_device(settings.training.device)):
        return _train(settings, report)


@contextmanager
def repeatable(device: torch.device) -> Iterator[None]:
    """On a CPU the same inputs give the same bits within, whatever the number of threads did before."""
    if device.type != "cpu":
        yield
        return
    deterministic: Any = torch.utils.deterministic
    before, filled = torch.are_deterministic_algorithms_enabled(), deterministic.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True)
    deterministic.fill_uninitialized_memory = False  # it would write each embedding gradient twice
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        deterministic.fill_uninitialized_memory = filled


def _train(settings: Settings, report: Progress) -> TrainingResult:
    started = time.perf_counter()
    report("turning the training set into arrays", 0.0)
    arrays = prepare_arrays(settings)
    run = _Run(settings, arrays)
    steps_seconds = 0.0
    best, best_epoch, best_weights = -1.0, 0, copy.deepcopy(run.towers.state_dict())
    curve: list[dict[str, Any]] = []
    for epoch in range(1, settings.training.epochs + 1):
        entry = run.epoch(epoch, report)
        steps_seconds += entry["seconds"]
        curve.append({**entry, **run.validate()})
        reached = curve[-1][f"recall@{RECALL_AT[-1]}"]
        report(_line(curve[-1]), epoch / settings.training.epochs)
        if reached is None or reached > best:
            best, best_epoch = reached or 0.0, epoch
            best_weights = copy.deepcopy(run.towers.state_dict())
        elif epoch - best_epoch >= settings.training.patience:
            break
    run.towers.load_state_dict(best_weights)
    result = TrainingResult(
        candidate_dir=settings.paths.training / "candidate",
        curve=curve,
        best_epoch=best_epoch,
        examples=len(run.examples),
        examples_per_second=run.seen / max(steps_seconds, 1e-9),
        seconds=time.perf_counter() - started,
        groups=run.towers.config.groups,
        device=str(run.device),
    )
    save_candidate(result.candidate_dir, run.towers, result.to_json())
    return result


class _Run:
    """Model, optimiser and examples of one training run."""

    def __init__(self, settings: Settings, arrays: Arrays) -> None:
        self.settings: TrainingSettings = settings.training
        self.arrays = arrays
        torch.set_num_threads(self.settings.threads)
        torch.manual_seed(self.settings.seed)
        self.rng = np.random.default_rng(self.settings.seed)
        self.device = _device(self.settings.device)
        self.towers = Towers(tower_config(settings, arrays)).to(self.device)
        has_click = arrays.clicked.lengths > 0
        self.examples = np.flatnonzero(has_click & ~arrays.is_validation)
        if len(self.examples) < 2:
            raise TrainingSetError(
                "fewer than two requests of the train window have a click: there is nothing to learn"
            )
        stopping, _ = stopping_and_judging(arrays, self.settings)
        held = np.random.default_rng(self.settings.seed).permutation(stopping)[: self.settings.validation_requests]
        self.validation = np.sort(held)
        self.click_share = torch.from_numpy(_click_share(arrays, self.examples)).to(self.device)
        self.optimiser = torch.optim.AdamW(
            self.towers.parameters(),
            lr=self.settings.learning_rate,
            weight_decay=self.settings.weight_decay,
            fused=True,
        )
        one_pass = max(1, len(self.examples) // self.settings.batch_size)
        self.steps = one_pass * math.ceil(self.settings.least_steps / one_pass)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, self.settings.learning_rate, total_steps=self.steps * self.settings.epochs, pct_start=0.1
        )
        self.seen = 0

    def epoch(self, number: int, report: Progress) -> dict[str, Any]:
        """A pass over the examples, or as many as make ``least_steps``; the mean of each part of the loss."""
        started, totals = time.perf_counter(), torch.zeros(4)
        self.towers.train()
        for step, batch in enumerate(islice(self.batches(), self.steps), start=1):
            parts = self.parts(batch)
            loss = parts @ self.weights
            self.optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            self.optimiser.step()
            self.schedule.step()
            totals += parts.detach().cpu()
            self.seen += len(batch.requests)
            if step % 20 == 0:
                done = (number - 1 + step / self.steps) / self.settings.epochs
                report(
                    f"epoch {number}: step {step} of {self.steps}, loss {(totals / step) @ self.weights.cpu():.3f}",
                    done,
                )
        mean = totals / self.steps
        names = ("click", "unclicked", "click_over_unclicked", "order_over_unclicked")
        return {
            "epoch": number,
            "loss": float(mean @ self.weights.cpu()),
            **dict(zip(names, mean.tolist(), strict=True)),
            "seconds": time.perf_counter() - started,
        }

    def batches(self) -> Iterator[Batch]:
        """Batches without end, pass after pass."""
        while True:
            yield from training_batches(
                self.arrays,
                self.examples,
                size=self.settings.batch_size,
                unclicked=self.settings.unclicked_per_step,
                uniform=self.settings.uniform_per_step,
                forgotten=self.settings.history_dropout,
                rng=self.rng,
            )

    @property
    def weights(self) -> Tensor:
        s = self.settings
        weights = (s.weight_click, s.weight_unclicked, s.weight_click_over_unclicked, s.weight_order_over_unclicked)
        return torch.tensor(weights, device=self.device)

    def parts(self, batch: Batch) -> Tensor:
        """The four objectives over a batch, not weighted, [4]."""
        s, device = self.settings, self.device
        query_batch, means = look_up(self.towers, self.arrays, batch.query.numpy(), batch.histories, batch.targets)
        items, queries = self.towers.encode_items(means), self.towers.encode_queries(query_batch)
        clicked, ordered, unclicked, columns = (
            t.to(device) for t in (batch.clicked, batch.ordered, batch.unclicked, batch.columns)
        )
        scores = queries @ items[columns].T
        log_q = torch.cat(
            losses.log_expected_counts(
                self.click_share[batch.targets][clicked], len(queries), len(columns) - len(clicked), self.arrays.items
            )
        )
        excluded = losses.known_positives(
            batch.query.to(device),
            batch.user.to(device),
            batch.pair_request.to(device),
            batch.pair_item.to(device),
            columns,
        )
        s_clicked = (queries * items[clicked]).sum(1)
        s_ordered = (queries * items[ordered.clamp(min=0)]).sum(1)
        s_unclicked = torch.einsum("bd,bud->bu", queries, items[unclicked.clamp(min=0)])
        has_order, has_unclicked = ordered >= 0, unclicked >= 0
        own_unclicked = (columns[None, None] == unclicked[..., None]).any(1)
        mass = losses.negative_mass(scores, log_q, excluded, s.temperature)
        unclicked_mass = losses.negative_mass(scores, log_q, excluded | own_unclicked, s.temperature)
        return torch.stack(
            [
                losses.softmax_against(s_clicked, torch.ones_like(has_order), mass, s.temperature),
                losses.softmax_against(s_unclicked, has_unclicked, unclicked_mass, s.temperature),
                losses.hinge_above(s_clicked, s_unclicked, has_unclicked, s.click_margin),
                losses.hinge_above(s_ordered, s_unclicked, has_unclicked & has_order[:, None], s.order_margin),
            ]
        )

    def validate(self) -> dict[str, float | None]:
        """Recall of clicked and ordered items of validation requests, over the items of each request's time."""
        if len(self.validation) == 0:
            return {f"recall@{k}": None for k in RECALL_AT}
        vectors = encode_catalog(self.towers, self.arrays.item_tokens)
        found, _ = exact_top(
            encode_requests(self.towers, self.arrays, self.validation),
            vectors,
            max(RECALL_AT),
            self.arrays.request_time[self.validation],
            self.arrays.item_available,
        )
        wanted = self.arrays.clicked.take(self.validation)
        return {f"recall@{k}": float(recall(found, wanted, k).mean()) for k in RECALL_AT}


def tower_config(settings: Settings, arrays: Arrays) -> TowerConfig:
    """The towers that fit a catalogue: the groups it fills, the widths of the settings."""
    t = settings.training
    return TowerConfig(
        groups=tuple(arrays.item_tokens),
        buckets=t.buckets,
        token_dim=t.token_dim,
        dim=t.dim,
        hidden=t.hidden,
        max_query_tokens=t.max_query_tokens,
        max_item_tokens=t.max_item_tokens,
        recent_queries=arrays.recent_queries.shape[1],
        recent_items=arrays.recent_items.shape[1],
        recent_orders=arrays.recent_orders.shape[1],
        price_edges=tuple(arrays.meta["price_edges"]),
    )


def _click_share(arrays: Arrays, examples: NDArray[np.int64]) -> NDArray[np.float32]:
    """How often each item is the drawn positive of an example, [items], sums to 1."""
    clicked = arrays.clicked.take(examples)
    weights = np.repeat(1 / clicked.lengths, clicked.lengths)
    return (np.bincount(clicked.ids, weights=weights, minlength=arrays.items) / len(examples)).astype(np.float32)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(name)


def _line(entry: dict[str, Any]) -> str:
    recalls = ", ".join(f"recall@{k} {entry[f'recall@{k}']:.3f}" for k in RECALL_AT if entry[f"recall@{k}"] is not None)
    return f"epoch {entry['epoch']}: loss {entry['loss']:.3f}, {recalls or 'no validation request'}"
