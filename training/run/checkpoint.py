"""What a killed training run resumes from: weights, optimiser state, and where it was. safetensors and JSON."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

TENSORS, STATE = "state.safetensors", "state.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunState:
    """Where a run is: the next step of ``epoch`` (from 1), and what it has come to so far."""

    epoch: int
    step: int
    totals: list[float]
    """Sums of the objectives over the steps of this epoch."""
    curve: list[dict[str, Any]]
    best: list[float]
    """Recall@100 of each validation request by the best weights so far; none where there are none."""
    best_epoch: int
    seconds: float
    """Spent in steps."""


class Checkpoint:
    """The checkpoint of one run, named by what it trains on and how; one of another run is not read."""

    def __init__(self, folder: Path, run: str) -> None:
        self._folder = folder
        self._run = run

    def save(self, towers: nn.Module, best: dict[str, Tensor], optimiser: Optimizer, at: RunState) -> None:
        """Replace the checkpoint, whole or not at all."""
        building = self._folder.with_name(f".{self._folder.name}.new")
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        state = optimiser.state_dict()["state"]
        moments = {f"optimiser.{i}.{k}": v for i, entry in state.items() for k, v in entry.items()}
        tensors = {f"towers.{k}": v for k, v in towers.state_dict().items()} | moments
        tensors |= {f"best.{k}": v for k, v in best.items()}
        save_file({k: v.detach().cpu().contiguous().clone() for k, v in tensors.items()}, building / TENSORS)
        content = {"run": self._run, "sha256": _sha256(building / TENSORS), **at.__dict__}
        (building / STATE).write_text(json.dumps(content), encoding="utf-8")
        old = self._old()
        shutil.rmtree(old, ignore_errors=True)
        if self._folder.exists():
            self._folder.rename(old)
        building.rename(self._folder)
        shutil.rmtree(old, ignore_errors=True)

    def load(self, towers: nn.Module, optimiser: Optimizer) -> tuple[RunState, dict[str, Tensor]] | None:
        """Put the run back where it was; its state and best weights, or None where there is none of this run.

        A damaged checkpoint is logged and not used: the run costs its time again, a wrong model would cost more.
        """
        if not self._folder.exists() and self._old().exists():
            self._old().rename(self._folder)  # killed between the two moves of a save
        if not (self._folder / STATE).exists():
            return None
        try:
            content = dict(json.loads((self._folder / STATE).read_text(encoding="utf-8")))
            if content.pop("run") != self._run:
                return None
            if content.pop("sha256") != _sha256(self._folder / TENSORS):
                raise ValueError(f"{TENSORS} is not what was written")
            at = RunState(**content)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("the checkpoint %s is damaged (%s): training starts anew", self._folder, error)
            return None
        tensors = load_file(self._folder / TENSORS)
        parts: dict[str, dict[str, Tensor]] = {"towers": {}, "best": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            part, _, key = name.partition(".")
            parts[part][key] = tensor
        towers.load_state_dict(parts["towers"])
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in parts["optimiser"].items():
            number, _, key = name.partition(".")
            state.setdefault(int(number), {})[key] = tensor
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        return at, parts["best"]

    def remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        shutil.rmtree(self._old(), ignore_errors=True)

    def _old(self) -> Path:
        return self._folder.with_name(f".{self._folder.name}.old")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
