"""Which release is live: the alias ``items_live`` is the one truth, ``items_previous`` what was live before it.

A file next to the releases remembers the last answer, for a server that starts while Milvus is away.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from filelock import FileLock

from features.partitions import write_json
from infra.settings import Settings
from serving.connection import client
from serving.errors import IncompleteCollection, NoLiveRelease

if TYPE_CHECKING:
    from pathlib import Path

    from pymilvus import MilvusClient

PREFIX = "items_"
LIVE = "items_live"
PREVIOUS = "items_previous"
NEVER = datetime.min.replace(tzinfo=UTC)


def collection_name(release_id: str) -> str:
    """The collection of a release."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,200}", release_id):
        raise ValueError(f"release id {release_id!r}: Milvus takes letters, digits and underscores only")
    return PREFIX + release_id


def promote(settings: Settings, release_id: str) -> None:
    """Make a pushed release live, verify it, and drop collections that roll-back no longer needs.

    Raises:
        IndexUnavailable: Milvus does not answer, or the alias does not point at the release afterwards.
        IncompleteCollection: the release was never pushed.
    """
    name = collection_name(release_id)
    with one_writer(settings), client(settings) as milvus:
        if not milvus.has_collection(name):
            raise IncompleteCollection(f"release {release_id} has no collection: push it first")
        _make_live(milvus, name)
        note_live(settings, release_id)
        _drop_old(milvus, settings, newest=name)


def roll_back(settings: Settings) -> str:
    """Make the release live that was live before, and return its id. Done twice, it is undone.

    Raises:
        NoLiveRelease: nothing is live.
        ValueError: nothing was live before.
    """
    with one_writer(settings), client(settings) as milvus:
        pointed = aliased(milvus)
        if LIVE not in pointed:
            raise nothing_live(settings)
        if pointed.get(PREVIOUS, pointed[LIVE]) == pointed[LIVE]:
            raise ValueError("no release was live before this one: there is nothing to roll back to")
        # Live first: killed between the two moves, it is rolled back, which was the wish.
        _point(milvus, LIVE, pointed[PREVIOUS])
        _point(milvus, PREVIOUS, pointed[LIVE])
        _verify(milvus, pointed[PREVIOUS])
        release_id = pointed[PREVIOUS].removeprefix(PREFIX)
        note_live(settings, release_id)
        return release_id


def kept_release_ids(settings: Settings) -> list[str]:
    """The live release and the one before it: what clean-ups of release folders leave alone.

    Raises:
        IndexUnavailable: Milvus does not answer.
    """
    with client(settings) as milvus:
        return list(dict.fromkeys(name.removeprefix(PREFIX) for name in aliased(milvus).values()))


def live_release_id(settings: Settings) -> str | None:
    """The release that is live, as the alias says; None before the first promotion.

    Raises:
        IndexUnavailable: Milvus does not answer.
    """
    with client(settings) as milvus:
        return read_live(milvus)


def read_live(milvus: MilvusClient, timeout_s: float | None = None) -> str | None:
    """As :func:`live_release_id`, by a client that is open. Raises what pymilvus raises."""
    live = aliased(milvus, timeout_s).get(LIVE)
    return live.removeprefix(PREFIX) if live else None


def nothing_live(settings: Settings) -> NoLiveRelease:
    """What to raise where nothing is live: it names what could be."""
    from training.release import list_releases

    return NoLiveRelease(next((release.id for release in list_releases(settings)), None))


def note_live(settings: Settings, release_id: str) -> None:
    """Remember what Milvus says is live, for a start without it."""
    write_json(_note(settings), {"id": release_id})


def last_known_live(settings: Settings) -> str | None:
    """What :func:`note_live` remembered last; None where nothing was promoted from or served on this machine."""
    note = _note(settings)
    return str(json.loads(note.read_text(encoding="utf-8"))["id"]) if note.exists() else None


def one_writer(settings: Settings) -> FileLock:
    """Pushes and promotions of this machine wait for each other; a killed process lets go of the lock."""
    folder = settings.paths.releases
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".index.lock")


def aliased(milvus: MilvusClient, timeout_s: float | None = None) -> dict[str, str]:
    """Our aliases that exist, each with its collection."""
    existing = set(milvus.list_aliases(timeout=timeout_s)["aliases"])
    ours = [alias for alias in (LIVE, PREVIOUS) if alias in existing]
    return {alias: milvus.describe_alias(alias, timeout=timeout_s)["collection_name"] for alias in ours}


def _note(settings: Settings) -> Path:
    return settings.paths.releases / "live.json"


def _point(milvus: MilvusClient, alias: str, name: str) -> None:
    """Point an alias at a collection, whether or not it exists; a server hides one whose collection was dropped."""
    from pymilvus.exceptions import MilvusException

    try:
        milvus.alter_alias(name, alias)
    except MilvusException:
        milvus.create_alias(name, alias)


def _make_live(milvus: MilvusClient, name: str) -> None:
    """Move the aliases. Killed between the two moves, the old release is live and no predecessor is known."""
    live = aliased(milvus).get(LIVE)
    if live == name:
        return
    if live:
        _point(milvus, PREVIOUS, live)
    _point(milvus, LIVE, name)
    _verify(milvus, name)


def _verify(milvus: MilvusClient, name: str) -> None:
    if aliased(milvus).get(LIVE) != name:
        raise IncompleteCollection(f"{LIVE} does not point at {name} after it was moved there")


def _drop_old(milvus: MilvusClient, settings: Settings, newest: str) -> None:
    """Drop the oldest collections beyond ``kept_releases``, never an aliased one nor one newer than ``newest``."""
    from training.release import list_releases

    pointed = set(aliased(milvus).values())
    mine = [n for n in milvus.list_collections() if n.startswith(PREFIX)]
    trained_at = {collection_name(r.id): r.trained_at for r in list_releases(settings)}
    # A collection without a release's folder cannot serve: it counts as the oldest.
    age = {name: trained_at.get(name, NEVER) for name in mine}
    older = sorted((n for n in mine if n not in pointed and age[n] <= age[newest]), key=age.__getitem__, reverse=True)
    for name in older[max(0, settings.index.kept_releases - len(pointed)) :]:
        milvus.drop_collection(name)
