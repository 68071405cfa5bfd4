"""A release: one trained model with all that must go live together, in an immutable, content-addressed folder.

It is three things: its manifest, its item table and its query encoder. Pushing, listing and checking a release read the
first two and load neither torch nor a text encoder; the third is loaded when a query is first to be encoded.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from training.release.items import ItemTable
from training.release.manifest import TEXT_ENCODER, Manifest, read_json, read_manifest

if TYPE_CHECKING:
    from training.model.query_encoder import QueryEncoder


@dataclass(frozen=True)
class Release:
    """A verified release."""

    manifest: Manifest
    items: ItemTable

    @property
    def id(self) -> str:
        return self.manifest.id

    @cached_property
    def encoder(self) -> QueryEncoder:
        """Requests to query vectors [width + f].

        Raises:
            TextEncoderError: the release reads text with weights that are not installed here.
        """
        return _load_encoder(self.manifest, self.items.ids)


def load_release(path: Path) -> Release:
    """Verify a release and open it.

    Raises:
        ReleaseError: the folder is missing, damaged or of a schema version that is not read.
    """
    manifest = read_manifest(path)
    return Release(manifest, ItemTable(manifest))


def _load_encoder(manifest: Manifest, item_ids: list[str]) -> QueryEncoder:
    import numpy as np
    from safetensors.numpy import load_file
    from safetensors.torch import load_file as load_tensors

    from training.data.location import LocationBuckets
    from training.data.ragged import Ragged
    from training.data.scalars import QuantileTransform
    from training.model.query_encoder import Preprocessing, QueryEncoder
    from training.model.towers import TowerConfig, Towers
    from training.text import load_saved

    path = manifest.path
    config = TowerConfig.from_json(manifest.config["towers"])
    towers = Towers(config)
    weights = load_tensors(path / "model.safetensors")
    if "familiar" in weights:  # the name of schema version 2
        weights["in_vocabulary"] = weights.pop("familiar")
    towers.load_state_dict(weights)
    stored = load_file(path / "item_tokens.safetensors")
    tokens = {group: Ragged(stored[f"{group}.offsets"], stored[f"{group}.ids"]) for group in config.history_groups}
    fitted = read_json(path / "preprocessing.json")
    preprocessing = Preprocessing(
        numeric=QuantileTransform.from_json(fitted["request_figures"]),
        location=LocationBuckets.from_json(fitted["location"]),
        text=load_saved(path / TEXT_ENCODER) if config.text_width and config.text_in_query else None,
    )
    prior = np.array(manifest.config["boosting"]["weights"], dtype=np.float32)
    return QueryEncoder(towers.eval(), tokens, item_ids, preprocessing, prior)
