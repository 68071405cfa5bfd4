"""Training of the towers on requests with a click, epoch by epoch until validation recall surely rises no more."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from infra.contract.errors import TrainingSetError
from infra.contract.names import LEAST_CLICKED_REQUESTS
from infra.progress import Progress
from infra.settings import Settings, TrainingSettings
from training.data.arrays import Arrays, prepare_arrays
from training.data.batches import BatchMaker
from training.data.held_out import stopping_and_judging
from training.data.prefetch import prefetched
from training.distributed import agreed, first_process_first, process_group, rank
from training.losses.objective import PARTS, Objective
from training.model.encoding import encode_catalog, encode_requests
from training.model.search import exact_top, recall
from training.run.candidate import save_candidate
from training.run.checkpoint import Checkpoint, RunState
from training.run.new_towers import new_towers
from training.run.step import TrainingStep
from training.run.warm_start import start_from_release
from training.text import load_text_encoder
from training.versions import dependencies

log = logging.getLogger(__name__)

RECALL_AT = (10, 100)
EACH = "each"
"""Name of the recalls of each validation request."""
VALIDATION_REQUESTS = 4_000
"""Most validation requests that are searched after each epoch."""
LEAST_ERRORS = 1.0
"""Standard errors by which a later epoch has to lead the best one: a small log has few queries, of which more epochs
learn by heart what they cost all others, and validation requests, which ask the same, do not tell."""
MACHINE = {"device", "threads", "build_memory", "checkpoint_steps"}
"""Settings that do not change what is trained."""


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
    encoders: tuple[str, ...]
    groups: tuple[str, ...]
    device: str
    recipe: str
    started_from: str
    """``scratch``, or the release whose weights it started from."""
    resumed: bool
    """Whether it resumed from the checkpoint of a run that was killed."""
    dependencies: dict[str, str]
    """Versions of Python and of the libraries that train and serve."""
    settings: dict[str, Any]
    """The group ``training`` that it was trained with, without ``MACHINE``."""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "candidate_dir": str(self.candidate_dir)}


def train(settings: Settings, progress: Progress | None = None, live: Path | None = None) -> TrainingResult:
    """Train the towers on the training set on disk, into ``settings.paths.training / "candidate"``.

    On a CPU the same training set, settings and seed give the same weights, whether or not the run was killed and went
    on from its checkpoint between.

    Args:
        progress: called with a sentence and the share that is done.
        live: folder of the release that serves, for ``settings.training.start == "live"``.

    Raises:
        TrainingSetError: there is no training set, or no request of the train window has a click.
    """
    device = _device(settings.training.device)
    with process_group(device), repeatable(device):
        return _Run(settings, device, progress or (lambda message, share: None), live).train()


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


class _Run:
    """Model, optimiser and examples of one training run."""

    def __init__(self, settings: Settings, device: torch.device, report: Progress, live: Path | None) -> None:
        self.began = time.perf_counter()
        report("turning the training set into arrays", 0.0)
        self.settings: TrainingSettings = settings.training
        self.report = report
        self.device = device
        with first_process_first():
            self.arrays = arrays = prepare_arrays(settings)
        self.folder = settings.paths.training / "candidate"
        torch.set_num_threads(self.settings.threads)
        torch.manual_seed(self.settings.seed)
        self.examples = np.flatnonzero((arrays.clicked.lengths > 0) & ~arrays.is_validation)
        if len(self.examples) < LEAST_CLICKED_REQUESTS:
            raise TrainingSetError(
                "fewer than two requests of the train window have a click: there is nothing to learn"
            )
        self.towers = new_towers(self.settings, arrays).to(device)
        self.started_from = "scratch"
        if self.settings.start == "live" and live is None:
            log.warning("there is no live release to start from: starting from scratch")
        elif self.settings.start == "live" and live is not None:
            encoder = load_text_encoder(settings) if self.towers.config.text_width else None
            fingerprint, location = encoder.fingerprint if encoder else None, arrays.meta["location"]
            self.started_from = start_from_release(self.towers, live, arrays.cut, fingerprint, location)
        per_pass = max(1, len(self.examples) // self.settings.batch_size)
        self.steps = per_pass * math.ceil(self.settings.least_steps / per_pass)
        click_share = torch.from_numpy(click_share_of(arrays, self.examples)).to(device)
        objective = Objective(self.settings, click_share, arrays.items)
        self.weights = objective.weights.cpu()
        self.step = TrainingStep(self.towers, objective, self.settings, self.steps * self.settings.epochs, device)
        self.maker = BatchMaker(arrays, self.towers.config, self.settings)
        stopping, _ = stopping_and_judging(arrays)
        held = np.random.default_rng(self.settings.seed).permutation(stopping)[:VALIDATION_REQUESTS]
        self.validation = np.sort(held)
        run = json.dumps([arrays.meta["fingerprint"], self.started_from, self.settings.model_dump(mode="json")])
        self.checkpoint = Checkpoint(settings.paths.training / "checkpoint", hashlib.sha256(run.encode()).hexdigest())
        self.best = self._weights()

    def train(self) -> TrainingResult:
        at = RunState(epoch=1, step=0, totals=[0.0] * len(PARTS), curve=[], best=[], best_epoch=0, seconds=0.0)
        with first_process_first():  # it may have to move the checkpoint back
            found = self.checkpoint.load(self.towers, self.step.optimiser)
        if found:
            at, self.best = found
        elif self.started_from != "scratch":
            at = replace(at, best=agreed(self._validate())[EACH])
        while at.epoch <= self.settings.epochs and at.epoch - at.best_epoch <= self.settings.patience:
            at = self._epoch(at)
        self.towers.load_state_dict(self.best)
        seen = len(at.curve) * self.steps * min(self.settings.batch_size, len(self.examples))
        result = TrainingResult(
            candidate_dir=self.folder,
            curve=at.curve,
            best_epoch=at.best_epoch,
            examples=len(self.examples),
            examples_per_second=seen / max(at.seconds, 1e-9),
            seconds=time.perf_counter() - self.began,
            encoders=self.towers.config.encoders,
            groups=self.towers.config.groups,
            device=str(self.device),
            recipe=self.settings.recipe,
            started_from=self.started_from,
            resumed=found is not None,
            dependencies=dependencies(),
            settings=self.settings.model_dump(mode="json", exclude=MACHINE),
        )
        if rank() == 0:
            save_candidate(result.candidate_dir, self.towers, result.to_json())
            self.checkpoint.remove()
        return result

    def _epoch(self, at: RunState) -> RunState:
        """The rest of the epoch that ``at`` is in, and its validation."""
        totals, began = torch.tensor(at.totals, dtype=torch.float64), time.perf_counter()
        batches = self.maker.epoch(self.examples, at.epoch - 1, self.steps, at.step)
        self.towers.train()
        before = (at.epoch - 1) * self.steps
        for step, batch in enumerate(prefetched(batches), start=at.step):
            totals += self.step(batch, before + step).cpu()
            done = step + 1
            if done % 20 == 0:
                loss = float((totals / done).float() @ self.weights)
                share = (before + done) / (self.steps * self.settings.epochs)
                self.report(f"epoch {at.epoch}: step {done} of {self.steps}, loss {loss:.3f}", share)
            if done % self.settings.checkpoint_steps == 0 and done < self.steps:
                self._save(at, step=done, totals=totals.tolist(), seconds=at.seconds + time.perf_counter() - began)
        seconds = time.perf_counter() - began
        mean = (totals / self.steps).float()
        entry: dict[str, Any] = {"epoch": at.epoch, "loss": float(mean @ self.weights)}
        validated = agreed(self._validate())
        reached, best, best_epoch = validated.pop(EACH), at.best, at.best_epoch
        entry |= dict(zip(PARTS, mean.tolist(), strict=True)) | {"seconds": seconds} | validated
        # what live learned is older: whatever is better than it is newer, too
        if leads(reached, best, LEAST_ERRORS if best_epoch else 0.0):
            best, best_epoch, self.best = reached, at.epoch, self._weights()
        self.report(_line(entry), at.epoch / self.settings.epochs)
        after = RunState(
            epoch=at.epoch + 1,
            step=0,
            totals=[0.0] * len(PARTS),
            curve=[*at.curve, entry],
            best=best,
            best_epoch=best_epoch,
            seconds=at.seconds + seconds,
        )
        self._save(after)
        return after

    def _save(self, at: RunState, **changes: Any) -> None:
        if rank() == 0:
            state = RunState(**{**at.__dict__, **changes})
            self.checkpoint.save(self.towers, self.best, self.step.optimiser, state)

    def _weights(self) -> dict[str, Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self.towers.state_dict().items()}

    def _validate(self) -> dict[str, Any]:
        """Recall of clicked and ordered items of validation requests, over the items of each request's time; and the
        last one of each request."""
        if len(self.validation) == 0:
            return {f"recall@{k}": None for k in RECALL_AT} | {EACH: []}
        arrays = self.arrays
        found, _ = exact_top(
            encode_requests(self.towers, arrays, self.validation),
            encode_catalog(self.towers, arrays, arrays.cut, kept=self.settings.graph_kept),
            max(RECALL_AT),
            arrays.request_time[self.validation],
            arrays.item_available,
        )
        wanted = arrays.clicked.take(self.validation)
        each = [recall(found, wanted, k) for k in RECALL_AT]
        means = {f"recall@{k}": float(values.mean()) for k, values in zip(RECALL_AT, each, strict=True)}
        return means | {EACH: each[-1].tolist()}


def leads(recalls: Sequence[float], best: Sequence[float], errors: float) -> bool:
    """Whether the mean of recalls leads that of the best ones, request for request, by more than ``errors`` standard
    errors of the difference; where there is nothing to lead it does."""
    if not len(best):
        return True
    lead = np.asarray(recalls) - np.asarray(best)
    return bool(lead.mean() > errors * lead.std() / len(lead) ** 0.5)


def click_share_of(arrays: Arrays, examples: NDArray[np.int64]) -> NDArray[np.float32]:
    """How often each item is the drawn positive of an example, [items], sums to 1."""
    clicked = arrays.clicked.take(examples)
    weights = np.repeat(1 / clicked.lengths, clicked.lengths)
    return (np.bincount(clicked.ids, weights=weights, minlength=arrays.items) / len(examples)).astype(np.float32)


def _device(name: str) -> torch.device:
    """``auto``: this process's own GPU where there is one."""
    if name == "auto" and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu" if name == "auto" else name)


def _line(entry: dict[str, Any]) -> str:
    recalls = ", ".join(f"recall@{k} {entry[f'recall@{k}']:.3f}" for k in RECALL_AT if entry[f"recall@{k}"] is not None)
    return f"epoch {entry['epoch']}: loss {entry['loss']:.3f}, {recalls or 'no validation request'}"
