"""The manifest of a release: which files go live together, their hashes, and what they say of themselves.

safetensors, Parquet and JSON only. ``manifest.json`` has the SHA-256 of every file; the id is the SHA-256 over the
entries of what the model *is*. What only describes the run (wall clock, evaluation, model card) is checked but not part
of the id: the same input, searched by the same index, gives the same release. Nothing here loads torch or a text
encoder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.settings import Settings

log = logging.getLogger(__name__)

SCHEMA_VERSION = 4
ITEM_FILES = {2: "items.json", 3: "items.parquet", 4: "items.parquet"}
"""Schema version -> the file of the item table. A release of the versions before still serves: an upgrade must
not stop a shop."""
MANIFEST = "manifest.json"
CLOCK = "clock.json"
IDENTITY = (
    "config.json",
    "item_tokens.safetensors",
    "item_vectors.safetensors",
    ITEM_FILES[SCHEMA_VERSION],
    "model.safetensors",
    "preprocessing.json",
)
RANKER, ITEM_NUMERIC = "ranker.json", "item_numeric.safetensors"
ITEM_TEXT = "item_text.safetensors"
"""The items' vectors by the text encoder; absent where the query tower reads no text."""
LEXICAL, GRAPH = "lexical", "graph"
"""Folders of its sources: BM25 over the items' text, and the walks of the query-item graph."""
RANKING = (
    RANKER,
    ITEM_NUMERIC,
    f"{LEXICAL}/size.json",
    f"{GRAPH}/queries.parquet",
    f"{GRAPH}/visits.safetensors",
    f"{GRAPH}/words/size.json",
)
"""The second stage's order, what it reads of items, and what each of its sources has at least; from schema version 4
on."""
TEXT_ENCODER = "text_encoder"
"""Folder of the text encoder's files, where the query tower reads one."""
SPELLING = "spelling.parquet"
"""The words that queries are corrected to; a release of before there was one corrects nothing."""
FOLDERS = (TEXT_ENCODER, LEXICAL, GRAPH)
DESCRIPTION = (CLOCK, "evaluation.json", "model_card.md", "training.json")
CATALOG_ALONE = "catalogue alone"
"""The recipe of a release that learned from no log."""
INDEX = "index.json"
"""Which index searches the item vectors, as measured on one machine. What was chosen and what it loses is part of the
id, by ``config.json``; the figures of time in here are not. Absent where no tuner ran."""
CHOICE = ("type", "params", "recall_loss")
"""What of the tuner's choice is part of what a release is."""


class ReleaseError(ValueError):
    """A release folder that is missing or not what its manifest says; the message says which."""


class SecondStageError(ReleaseError):
    """A release whose second stage cannot be used; all else of it serves."""


def is_catalog_alone(folder: Path) -> bool:
    """Whether the release in a folder is of the catalogue alone; one that does not say how it was made is not."""
    file = folder / "training.json"
    return file.exists() and json.loads(file.read_text(encoding="utf-8")).get("recipe") == CATALOG_ALONE


@dataclass(frozen=True)
class ReleaseInfo:
    """A release on disk, not verified."""

    id: str
    path: Path
    trained_at: datetime


@dataclass(frozen=True)
class Manifest:
    """A verified release as it describes itself."""

    id: str
    path: Path
    schema_version: int
    config: Mapping[str, Any]
    evaluation: Mapping[str, Any]
    index: Mapping[str, Any]
    """What the index tuner measured and chose; empty where it did not run."""
    trained_at: datetime
    catalog_at: datetime
    """When the catalogue landed that its items are of: what was said of them before is in it. Of a release that does
    not know, when it was trained."""

    @property
    def item_file(self) -> Path:
        """The item table."""
        return self.path / ITEM_FILES[self.schema_version]

    @property
    def data_until(self) -> datetime:
        """The end of the data window; of a release that learned from no log, when it was made."""
        window = self.config["data_window"]
        return self.trained_at if window["end"] == window["train_start"] else _time(window["end"])

    @property
    def feature_service(self) -> str:
        return str(self.config["feature_service"])


def verify_release(path: Path) -> dict[str, Any]:
    """Check schema version, file list, every hash and the id; return what ``manifest.json`` holds.

    Raises:
        ReleaseError: one of them does not hold.
    """
    try:
        text = (path / MANIFEST).read_bytes()
    except FileNotFoundError as error:
        raise ReleaseError(f"{path} is no release: it has no {MANIFEST}; copy it again or train again") from error
    manifest = parse_manifest(text, str(path))
    check_manifest(manifest, path.name)
    for file, entry in manifest["files"].items():
        if not (path / file).is_file():
            raise ReleaseError(f"release {path.name} lacks {file}: copy it again or train again")
        if file_entry(path / file) != entry:
            raise ReleaseError(
                f"{file} of release {path.name} is not what the manifest says: copy it again or train again"
            )
    return manifest


def parse_manifest(text: bytes, place: str) -> dict[str, Any]:
    """What a ``manifest.json`` holds.

    Raises:
        ReleaseError: it is none; ``place`` is where it lies.
    """
    try:
        manifest = json.loads(text)
        return {**manifest, "id": str(manifest["id"]), "files": dict(manifest["files"])}
    except (ValueError, KeyError, TypeError) as error:
        raise ReleaseError(f"the manifest of {place} cannot be read: {error}; copy it again or train again") from error


def check_manifest(manifest: Mapping[str, Any], name: str) -> None:
    """Check what a manifest says by itself: schema version, file list, and that the id is theirs.

    Raises:
        ReleaseError: one of them does not hold; ``name`` is the release's.
    """
    schema, files = manifest.get("schema_version"), manifest["files"]
    if schema not in ITEM_FILES:
        raise ReleaseError(
            f"release {name} has schema version {schema}, this program reads"
            f" {' and '.join(map(str, ITEM_FILES))}: train again"
        )
    listed = {file for file in files if file.split("/")[0] not in FOLDERS or file in RANKING}
    expected = {*IDENTITY, *DESCRIPTION, *RANKING} if schema >= 4 else {*IDENTITY, *DESCRIPTION}
    if (
        listed - {INDEX, ITEM_TEXT, SPELLING} != expected - {ITEM_FILES[SCHEMA_VERSION]} | {ITEM_FILES[schema]}
        or any(".." in file.split("/") for file in files)
        or any(not isinstance(entry, dict) or entry.keys() != {"sha256", "size"} for entry in files.values())
    ):
        raise ReleaseError(
            f"the manifest of release {name} lists {sorted(files)}, not the files of a release: copy it again or"
            " train again"
        )
    if manifest["id"] != content_id(files):
        raise ReleaseError(
            f"release {name} claims the id {manifest['id']}, its files have {content_id(files)}: copy it again or"
            " train again"
        )


def read_manifest(path: Path) -> Manifest:
    """Verify a release and read how it describes itself.

    Raises:
        ReleaseError: the folder is missing, damaged or of a schema version that is not read.
    """
    manifest = verify_release(path)
    clock = read_json(path / CLOCK)
    return Manifest(
        id=manifest["id"],
        path=path,
        schema_version=manifest["schema_version"],
        config=read_json(path / "config.json"),
        evaluation=read_json(path / "evaluation.json"),
        index=read_json(path / INDEX) if INDEX in manifest["files"] else {},
        trained_at=trained_at(clock),
        catalog_at=_time(clock.get("catalog_at") or clock["trained_at"]),
    )


def list_releases(settings: Settings) -> list[ReleaseInfo]:
    """Releases on disk, the newest first. A folder without manifest or clock is no release."""
    found = []
    for manifest in settings.paths.releases.glob(f"[!.]*/{MANIFEST}"):
        clock = manifest.with_name(CLOCK)
        try:
            trained = trained_at(read_json(clock))
        except FileNotFoundError:
            continue
        except (ValueError, KeyError) as error:
            # One damaged release must not keep the others from going live.
            log.warning("release %s is left out, %s cannot be read: %s", manifest.parent.name, clock, error)
            continue
        found.append(ReleaseInfo(manifest.parent.name, manifest.parent, trained))
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


def trained_at(clock: Mapping[str, Any]) -> datetime:
    """When a release was trained, as its ``clock.json`` says. Raises KeyError, ValueError where it does not."""
    return _time(clock["trained_at"])


def catalog_landed_at(settings: Settings) -> str | None:
    """When the catalogue in use landed, ISO 8601, as its report says; None where it does not."""
    report = settings.paths.reports / "catalog.json"
    return read_json(report).get("landed_at") if report.exists() else None


def content_id(files: Mapping[str, Any]) -> str:
    """The id of a release with these manifest entries by file."""
    identity = {name: entry for name, entry in files.items() if name not in (*DESCRIPTION, INDEX)}
    entries = json.dumps(identity, sort_keys=True)
    return hashlib.sha256(entries.encode()).hexdigest()[:12]


def file_entry(path: Path) -> dict[str, Any]:
    """The manifest's entry of a file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


def read_json(path: Path) -> dict[str, Any]:
    """A JSON file of a release."""
    return dict(json.loads(path.read_text(encoding="utf-8")))


def _time(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
