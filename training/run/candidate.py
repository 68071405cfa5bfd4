"""The model of the run in progress: weights and configuration in a folder, before it is a release."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file

from infra.settings import Settings
from training.data.arrays import prepare_arrays
from training.data.held_out import stopping_and_judging
from training.model.encoding import encode_catalog, encode_requests
from training.model.tower_config import TowerConfig
from training.model.towers import Towers
from training.quality_prior import QualityPrior, fit_prior, items_with_quality, query_with_prior
from training.release.manifest import INDEX

WEIGHTS = "model.safetensors"
CONFIG = "config.json"
TRAINING = "training.json"
QUALITY_PRIOR = "quality_prior.json"
RANKER = "ranker.json"
EVALUATION = "evaluation.json"
TUNING_REQUESTS = 200
"""The latest requests, whose vectors the index tuner and the gate on the index search for."""


def save_candidate(folder: Path, towers: Towers, training: dict[str, Any]) -> None:
    """Write weights, tower configuration and what the trainer reports."""
    folder.mkdir(parents=True, exist_ok=True)
    # First: what was found out about other weights says nothing about these, and a run may be killed in between.
    for name in (QUALITY_PRIOR, RANKER, INDEX, EVALUATION):
        (folder / name).unlink(missing_ok=True)
    save_file({k: v.contiguous().cpu() for k, v in towers.state_dict().items()}, folder / WEIGHTS)
    (folder / CONFIG).write_text(json.dumps(towers.config.to_json(), indent=2), encoding="utf-8")
    (folder / TRAINING).write_text(json.dumps(training, indent=2), encoding="utf-8")


def load_candidate(folder: Path) -> Towers:
    """The towers of a candidate, in evaluation mode.

    Raises:
        FileNotFoundError: nothing was trained into this folder, or by an earlier version.
    """
    if not (folder / WEIGHTS).exists():
        raise FileNotFoundError(f"no candidate model under {folder}: train one first")
    if "settings" not in read_training(folder):
        raise FileNotFoundError(f"the candidate under {folder} is of an earlier version of Shelfwise: train it again")
    config = TowerConfig.from_json(json.loads((folder / CONFIG).read_text(encoding="utf-8")))
    towers = Towers(config)
    towers.load_weights(load_file(folder / WEIGHTS))
    return towers.eval()


def fit_candidate_prior(settings: Settings, folder: Path) -> QualityPrior:
    """Find the weights of the quality prior for a candidate, and write them beside it.

    They are found on the requests of the users who also chose the epoch, so that none of them judges the result.

    Raises:
        FileNotFoundError: there is no candidate.
    """
    towers, arrays = load_candidate(folder), prepare_arrays(settings)
    requests, _ = stopping_and_judging(arrays)
    items = encode_catalog(towers, arrays, arrays.cut, kept=settings.training.graph_kept)
    for name in (RANKER, INDEX, EVALUATION):
        (folder / name).unlink(missing_ok=True)
    prior = fit_prior(settings, arrays, encode_requests(towers, arrays, requests), items, requests)
    (folder / QUALITY_PRIOR).write_text(json.dumps(prior.to_json(), indent=2), encoding="utf-8")
    return prior


def item_vectors(settings: Settings, folder: Path) -> NDArray[np.float32]:
    """Vectors of all items as of the end of the log, as the release will carry them, [items, width + f].

    Raises:
        FileNotFoundError: there is no candidate, or nothing was found out about its quality prior.
    """
    towers, arrays, prior = load_candidate(folder), prepare_arrays(settings), load_prior(folder)
    vectors = encode_catalog(towers, arrays, arrays.end, kept=settings.training.graph_kept)
    if not prior.weights.on:
        return vectors
    return items_with_quality(vectors, prior.quality(arrays, arrays.end, settings.features.rate_prior))


def latest_query_vectors(settings: Settings, folder: Path, count: int = TUNING_REQUESTS) -> NDArray[np.float32]:
    """Vectors of the latest requests of the log, with the quality prior in force, [n, width + f]; n is at most count.

    Raises:
        FileNotFoundError: there is no candidate, or nothing was found out about its quality prior.
    """
    towers, arrays, prior = load_candidate(folder), prepare_arrays(settings), load_prior(folder)
    requests = np.arange(len(arrays.request_time))[-count:]
    vectors = encode_requests(towers, arrays, requests)
    return query_with_prior(vectors, prior.in_force)


def load_prior(folder: Path) -> QualityPrior:
    """What :func:`fit_candidate_prior` wrote.

    Raises:
        FileNotFoundError: nothing was written for this candidate.
    """
    return QualityPrior.from_json(json.loads((folder / QUALITY_PRIOR).read_text(encoding="utf-8")))


def save_index(folder: Path, index: Mapping[str, Any]) -> None:
    """Write what the index tuner measured and chose for the vectors of this candidate."""
    (folder / INDEX).write_text(json.dumps(index, indent=2), encoding="utf-8")


def read_index(folder: Path) -> dict[str, Any]:
    """What :func:`save_index` wrote; empty where the tuner did not run."""
    file = folder / INDEX
    return dict(json.loads(file.read_text(encoding="utf-8"))) if file.exists() else {}


def read_training(folder: Path) -> dict[str, Any]:
    """What the trainer reported on a candidate."""
    return dict(json.loads((folder / TRAINING).read_text(encoding="utf-8")))
