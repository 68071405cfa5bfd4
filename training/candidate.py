"""The model of the run in progress: weights and configuration in a folder, before it is a release."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from infra.settings import Settings
from training.arrays import prepare_arrays
from training.boosting import Boosting, fit_boosting
from training.encoding import encode_catalog, encode_requests
from training.held_out import stopping_and_judging
from training.towers import TowerConfig, Towers

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TRAINING = "training.json"
BOOSTING = "boosting.json"


def save_candidate(folder: Path, towers: Towers, training: dict[str, Any]) -> None:
    """Write weights, tower configuration and what the trainer reports."""
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous().cpu() for k, v in towers.state_dict().items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(towers.config.to_json(), indent=2), encoding="utf-8")
    (folder / TRAINING).write_text(json.dumps(training, indent=2), encoding="utf-8")
    (folder / BOOSTING).unlink(missing_ok=True)


def load_candidate(folder: Path) -> Towers:
    """The towers of a candidate, in evaluation mode.

    Raises:
        FileNotFoundError: nothing was trained into this folder.
    """
    if not (folder / WEIGHTS).exists():
        raise FileNotFoundError(f"no candidate model under {folder}: train one first")
    config = TowerConfig.from_json(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    towers = Towers(config)
    towers.load_state_dict(load_file(folder / WEIGHTS))
    return towers.eval()


def boost_candidate(settings: Settings, folder: Path) -> Boosting:
    """Find the weights of quality boosting for a candidate, and write them beside it.

    They are found on the requests of the users who also chose the epoch, so that none of them judges the result.

    Raises:
        FileNotFoundError: there is no candidate.
    """
    towers, arrays = load_candidate(folder), prepare_arrays(settings)
    requests, _ = stopping_and_judging(arrays, settings.training)
    items = encode_catalog(towers, arrays, arrays.cut, kept=settings.training.graph_kept)
    boosting = fit_boosting(settings, arrays, encode_requests(towers, arrays, requests), items, requests)
    (folder / BOOSTING).write_text(json.dumps(boosting.to_json(), indent=2), encoding="utf-8")
    return boosting


def load_boosting(folder: Path) -> Boosting:
    """What :func:`boost_candidate` wrote.

    Raises:
        FileNotFoundError: nothing was written for this candidate.
    """
    return Boosting.from_json(json.loads((folder / BOOSTING).read_text(encoding="utf-8")))


def read_training(folder: Path) -> dict[str, Any]:
    """What the trainer reported on a candidate."""
    return dict(json.loads((folder / TRAINING).read_text(encoding="utf-8")))
