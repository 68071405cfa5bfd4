"""Start from the weights of the release that serves, where they fit."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path

import torch
from safetensors.torch import load_file

from training.towers import Towers

FAMILIAR = "familiar"

log = logging.getLogger(__name__)


def start_from_release(towers: Towers, folder: Path, cut: int) -> str:
    """Copy every weight of a release that has the same name and shape; return the release's id, or ``scratch``.

    Which tokens are familiar is no weight: it is what the log of this run says.

    A release that learned from requests at or after ``cut`` (microseconds since 1970) is not used: its weights would
    have seen what is to judge this run.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    learned_until = datetime.fromisoformat(config["data_window"]["cut"]).timestamp() * 1e6
    if learned_until > cut:
        log.warning("release %s learned from later requests than this run may: starting from scratch", folder.name)
        return "scratch"
    held = load_file(folder / "model.safetensors")
    own = {name: value for name, value in towers.state_dict().items() if name != FAMILIAR}
    fitting = {name: value for name, value in held.items() if name in own and own[name].shape == value.shape}
    if len(fitting) < len(own):
        log.warning("%d of %d weights start anew: the towers changed", len(own) - len(fitting), len(own))
    with torch.no_grad():
        for name, value in fitting.items():
            own[name].copy_(value)
    return folder.name
