"""A release: one trained model with all that must go live together, in an immutable, content-addressed folder.

safetensors and JSON only. ``manifest.json`` has the SHA-256 of every file; the id is the SHA-256 over the entries of
what the model *is*. What only describes the run (wall clock, evaluation, model card) is checked but not part of the id:
the same input, searched by the same index, gives the same release.
"""

from __future__ import annotations

import hashlib
import json
import logging
import platform
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from infra.contract.names import ITEM_COUNTS
from infra.contract.request import NO_CONTEXT, RequestContext
from infra.settings import Settings
from training.data.location import LocationBuckets
from training.data.ragged import Ragged
from training.data.scalars import QuantileTransform
from training.model.query_encoder import Preprocessing, QueryEncoder
from training.model.towers import TowerConfig, Towers
from training.text import load_saved

log = logging.getLogger(__name__)

SCHEMA_VERSION = 2
MANIFEST = "manifest.json"
IDENTITY = (
    "config.json",
    "item_tokens.safetensors",
    "item_vectors.safetensors",
    "items.json",
    "model.safetensors",
    "preprocessing.json",
)
TEXT_ENCODER = "text_encoder"
"""Folder of the text encoder's files, where the query tower reads one."""
DESCRIPTION = ("clock.json", "evaluation.json", "model_card.md", "training.json")
INDEX = "index.json"
"""Which index searches the item vectors, as measured on one machine. What was chosen and what it loses is part of the
id, by ``config.json``; the figures of time in here are not. Absent where no tuner ran."""
CHOICE = ("type", "params", "recall_loss")
"""What of the tuner's choice is part of what a release is."""
ITEM_TYPES: dict[str, pa.DataType] = {
    "item_id": pa.string(),
    "title": pa.string(),
    "category_path": pa.list_(pa.string()),
    "brand": pa.string(),
    "price": pa.float64(),
    "rating": pa.float64(),
    "rating_count": pa.float64(),
    "attributes": pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])),
    "tags": pa.list_(pa.string()),
    "available_from": pa.int64(),
    **dict.fromkeys(ITEM_COUNTS, pa.int64()),
}
"""Catalogue fields that a release carries for filters and display; ``available_from`` in microseconds since 1970.
``ITEM_COUNTS`` are how the item was met in the 30 days before the end of the data window."""


LIBRARIES = (
    "torch", "numpy", "safetensors", "transformers", "pyarrow", "duckdb", "feast", "faiss-cpu", "pymilvus",
    "milvus-lite",
)  # fmt: skip
"""What a release is trained and served with."""


class ReleaseError(ValueError):
    """A release folder that is missing or not what its manifest says; the message says which."""


@dataclass(frozen=True)
class Release:
    """A loaded release. Row ``i`` of ``items`` and ``item_vectors`` [n, width + f] is item ``item_ids[i]``: a unit
    vector, then its quality features where the release boosts."""

    id: str
    path: Path
    config: Mapping[str, Any]
    towers: Towers
    item_ids: list[str]
    item_vectors: NDArray[np.float32]
    items: pa.Table
    evaluation: Mapping[str, Any]
    index: Mapping[str, Any]
    """What the index tuner measured and chose; empty where it did not run."""
    trained_at: datetime
    encoder: QueryEncoder

    @property
    def data_until(self) -> datetime:
        """The end of the data window."""
        return _time(self.config["data_window"]["end"])

    @property
    def feature_service(self) -> str:
        return str(self.config["feature_service"])

    def encode_query(self, text: str, context: RequestContext = NO_CONTEXT) -> NDArray[np.float32]:
        """Query vector [width + f]; without a context it is that of an unknown user.

        Raises:
            ValueError: a location that names what is none, or of the wrong type.
        """
        return self.encoder.encode(text, context)


@dataclass(frozen=True)
class ReleaseInfo:
    """A release on disk, not loaded and not verified."""

    id: str
    path: Path
    trained_at: datetime


def verify_release(path: Path) -> dict[str, Any]:
    """Check schema version, file list, every hash and the id; return the manifest.

    Raises:
        ReleaseError: one of them does not hold.
    """
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        schema, files, name = manifest["schema_version"], dict(manifest["files"]), str(manifest["id"])
    except FileNotFoundError as error:
        raise ReleaseError(f"{path} is no release: it has no {MANIFEST}; copy it again or train again") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the manifest of {path} cannot be read: {error}; copy it again or train again") from error
    if schema != SCHEMA_VERSION:
        raise ReleaseError(
            f"release {path.name} has schema version {schema}, this program reads {SCHEMA_VERSION}: train again"
        )
    listed = {file for file in files if not file.startswith(f"{TEXT_ENCODER}/")}
    if listed - {INDEX} != {*IDENTITY, *DESCRIPTION}:
        raise ReleaseError(
            f"the manifest of release {path.name} lists {sorted(files)}, not the files of a release: copy it again or"
            " train again"
        )
    for file, entry in files.items():
        if not (path / file).is_file():
            raise ReleaseError(f"release {path.name} lacks {file}: copy it again or train again")
        if file_entry(path / file) != entry:
            raise ReleaseError(
                f"{file} of release {path.name} is not what the manifest says: copy it again or train again"
            )
    if name != content_id(files):
        raise ReleaseError(
            f"release {path.name} claims the id {name}, its files have {content_id(files)}: copy it again or"
            " train again"
        )
    return dict(manifest)


def load_release(path: Path) -> Release:
    """Verify a release and load it.

    Raises:
        ReleaseError: the folder is missing, damaged or of another schema version.
        TextEncoderError: the release reads text with weights that are not installed here.
    """
    from safetensors.numpy import load_file
    from safetensors.torch import load_file as load_tensors

    manifest = verify_release(path)
    config = _read_json(path / "config.json")
    towers = Towers(TowerConfig.from_json(config["towers"]))
    towers.load_state_dict(load_tensors(path / "model.safetensors"))
    items = items_from_json(_read_json(path / "items.json"))
    stored = load_file(path / "item_tokens.safetensors")
    tokens = {
        group: Ragged(stored[f"{group}.offsets"], stored[f"{group}.ids"]) for group in towers.config.history_groups
    }
    item_ids = items["item_id"].to_pylist()
    fitted = _read_json(path / "preprocessing.json")
    preprocessing = Preprocessing(
        numeric=QuantileTransform.from_json(fitted["request_figures"]),
        location=LocationBuckets.from_json(fitted["location"]),
        text=load_saved(path / TEXT_ENCODER) if towers.config.text_width and towers.config.text_in_query else None,
    )
    boosting = np.array(config["boosting"]["weights"], dtype=np.float32)
    return Release(
        id=manifest["id"],
        path=path,
        config=config,
        towers=towers.eval(),
        item_ids=item_ids,
        item_vectors=load_file(path / "item_vectors.safetensors")["vectors"],
        items=items,
        evaluation=_read_json(path / "evaluation.json"),
        index=_read_json(path / INDEX) if INDEX in manifest["files"] else {},
        trained_at=_time(_read_json(path / "clock.json")["trained_at"]),
        encoder=QueryEncoder(towers, tokens, item_ids, preprocessing, boosting),
    )


def list_releases(settings: Settings) -> list[ReleaseInfo]:
    """Releases on disk, the newest first. A folder without manifest or clock is no release."""
    found = []
    for manifest in settings.paths.releases.glob(f"[!.]*/{MANIFEST}"):
        clock = manifest.with_name("clock.json")
        try:
            trained_at = _time(_read_json(clock)["trained_at"])
        except FileNotFoundError:
            continue
        except (ValueError, KeyError) as error:
            # One damaged release must not keep the others from going live.
            log.warning("release %s is left out, %s cannot be read: %s", manifest.parent.name, clock, error)
            continue
        found.append(ReleaseInfo(manifest.parent.name, manifest.parent, trained_at))
    return sorted(found, key=lambda r: (r.trained_at, r.id), reverse=True)


def clean_releases(settings: Settings, keep: Collection[str]) -> list[str]:
    """Remove releases beyond the newest ``settings.index.kept_releases``, never one of ``keep``; return their ids."""
    removed = []
    for release in list_releases(settings)[settings.index.kept_releases :]:
        if release.id not in keep:
            # Out of sight at once: killed halfway, half a release would lie among the whole ones.
            unfinished = release.path.with_name(f".{uuid.uuid4().hex}")
            release.path.rename(unfinished)
            shutil.rmtree(unfinished)
            removed.append(release.id)
    return removed


def items_from_json(columns: Mapping[str, Any]) -> pa.Table:
    """``items.json`` to a table, one row per item."""
    return pa.table({name: pa.array(values, ITEM_TYPES[name]) for name, values in columns.items()})


def code_version() -> str:
    """Version of this package; ``unknown`` where it runs without being installed."""
    return _version("shelfwise")


def dependencies() -> dict[str, str]:
    """Versions of Python and of ``LIBRARIES`` here; ``unknown`` for one that is not installed under its name."""
    return {"python": platform.python_version()} | {name: _version(name) for name in LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def content_id(files: Mapping[str, Any]) -> str:
    identity = {name: entry for name, entry in files.items() if name not in (*DESCRIPTION, INDEX)}
    entries = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(entries.encode()).hexdigest()[:12]


def file_entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def _read_json(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
