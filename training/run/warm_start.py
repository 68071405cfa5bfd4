"""Start from the weights of the release that serves, where they mean the same."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from training.data.ngrams import Hasher
from training.model.tower_config import TowerConfig
from training.model.towers import Towers
from training.release.manifest import ReleaseError, verify_release

IN_VOCABULARY = "in_vocabulary"
TOKENS = "terms.tokens.weight"

log = logging.getLogger(__name__)


def start_from_release(
    towers: Towers, folder: Path, cut: int, text_encoder: str | None, location: Mapping[str, Any]
) -> str:
    """Copy the weights of a release; return its id, or ``scratch`` where it is damaged or they would not mean the same.

    Which tokens are in-vocabulary is no weight: it is what the log of this run says. Where the buckets of places moved,
    the embeddings of their numbers start anew: they belong to other places now.

    Args:
        cut: microseconds since 1970. A release that learned from requests at or after it is not used: its weights would
            have seen what is to judge this run.
        text_encoder: fingerprint of this run's, None where it reads no text; location: ``LocationBuckets.to_json``.
    """
    try:
        verify_release(folder)
    except ReleaseError as error:
        return _scratch(folder, str(error))
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    learned_until = datetime.fromisoformat(config["data_window"]["cut"]).timestamp() * 1e6
    if learned_until > cut:
        return _scratch(folder, "it learned from later requests than this run may")
    if not _alike(config["towers"], towers.config):
        return _scratch(folder, "it has other towers")
    fitted = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
    if not {"text_encoder", "location"} <= fitted.keys():
        return _scratch(folder, "an older version wrote it, which did not say what its text encoder and places were")
    if fitted["text_encoder"] != text_encoder:
        return _scratch(folder, "its text encoder is another")
    held = load_file(folder / "model.safetensors")
    own = towers.state_dict()
    buckets = _bucket_tokens(towers.config, location)
    if fitted["location"] != location:
        held[TOKENS][buckets] = own[TOKENS][buckets].cpu()
    with torch.no_grad():
        for name, value in own.items():
            if name != IN_VOCABULARY:
                value.copy_(held[name])
    return folder.name


def _scratch(folder: Path, reason: str) -> str:
    log.warning("not starting from release %s, but from scratch: %s", folder.name, reason)
    return "scratch"


def _alike(held: Mapping[str, Any], own: TowerConfig) -> bool:
    """Whether weights have the same places and meanings; where the edges of prices lie is the catalogue's."""
    try:
        return replace(TowerConfig.from_json(held), price_edges=own.price_edges) == own
    except TypeError:  # a release of other code
        return False


def _bucket_tokens(config: TowerConfig, location: Mapping[str, Any]) -> torch.Tensor:
    """The token buckets of the numbers of places."""
    labels = [f"#geo{k} {number}" for k, centroids in location.items() for number in range(len(centroids))]
    return torch.from_numpy(Hasher(config.buckets, 1).labels(labels).ids.astype("int64"))
