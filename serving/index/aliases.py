"""Which release is live: the shop's alias ``..._items_live`` is the one truth, ``..._items_previous`` what was before.

A file next to the releases remembers the last answer, for a server that starts while Milvus is away.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from filelock import FileLock

from infra.contract.partitions import write_json
from infra.settings import Settings
from serving.connection import client
from serving.errors import IncompleteCollection, NoLiveRelease
from serving.index.names import Names, names_of

if TYPE_CHECKING:
    from pathlib import Path

    from pymilvus import MilvusClient

NEVER = datetime.min.replace(tzinfo=UTC)


class Pointed(NamedTuple):
    """The collections that the aliases point at; None for an alias that there is not."""

    live: str | None
    previous: str | None


def promote(settings: Settings, release_id: str) -> None:
    """Make a pushed release live, verify it, and drop collections that roll-back no longer needs.

    Where releases travel it is first brought to where servers fetch it.

    Raises:
        IndexUnavailable: Milvus does not answer, or the alias does not point at the release afterwards.
        IncompleteCollection: the release was never pushed.
        ReleaseError: its folder is gone: a clean-up may have come between. StoreUnavailable: it could not be brought
            to ``releases.url``; live stays.
    """
    from training.release.manifest import ReleaseError
    from training.release.places import publish

    publish(settings, release_id)
    names = names_of(settings)
    name = names.collection(release_id)
    with one_writer(settings), client(settings) as milvus:
        if not milvus.has_collection(name):
            raise IncompleteCollection(f"release {release_id} has no collection: push it first")
        if not (settings.paths.releases / release_id).is_dir():
            raise ReleaseError(f"release {release_id} is no longer on disk: `shelfwise releases` lists those there are")
        _make_live(milvus, names, name)
        note_live(settings, release_id)
        _drop_old(milvus, names, settings, newest=name)


def roll_back(settings: Settings) -> str:
    """Make the release live that was live before, and return its id. Done twice, it is undone.

    Raises:
        NoLiveRelease: nothing is live.
        ValueError: nothing was live before.
    """
    names = names_of(settings)
    with one_writer(settings), client(settings) as milvus:
        live, previous = pointed_at(milvus, names)
        if live is None:
            raise nothing_live(settings)
        if previous is None or previous == live:
            raise ValueError("no release was live before this one: there is nothing to roll back to")
        # Live first: killed between the two moves, it is rolled back, which was the wish.
        _point(milvus, names.live, previous)
        _point(milvus, names.previous, live)
        _verify(milvus, names, previous)
        release_id = names.release_id(previous)
        note_live(settings, release_id)
        return release_id


def kept_release_ids(settings: Settings) -> list[str]:
    """The live release and the one before it: what clean-ups of release folders leave alone.

    Raises:
        IndexUnavailable: Milvus does not answer.
    """
    with client(settings) as milvus:
        return kept_ids(settings, milvus)


def live_release_id(settings: Settings) -> str | None:
    """The release that is live, as the alias says; None before the first promotion.

    Raises:
        IndexUnavailable: Milvus does not answer.
    """
    with client(settings) as milvus:
        return read_live(settings, milvus)


def read_live(settings: Settings, milvus: MilvusClient, timeout_s: float | None = None) -> str | None:
    """As :func:`live_release_id`, by a client that is open. Raises what pymilvus raises."""
    names = names_of(settings)
    live = pointed_at(milvus, names, timeout_s).live
    return names.release_id(live) if live else None


def kept_ids(settings: Settings, milvus: MilvusClient, timeout_s: float | None = None) -> list[str]:
    """As :func:`kept_release_ids`, by a client that is open. Raises what pymilvus raises."""
    names = names_of(settings)
    return list(dict.fromkeys(names.release_id(name) for name in pointed_at(milvus, names, timeout_s) if name))


def nothing_live(settings: Settings) -> NoLiveRelease:
    """What to raise where nothing is live: it names what could be."""
    from training.release.manifest import list_releases

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


def pointed_at(milvus: MilvusClient, names: Names, timeout_s: float | None = None) -> Pointed:
    """What the shop's aliases point at."""
    existing = set(milvus.list_aliases(timeout=timeout_s)["aliases"])

    def collection(alias: str) -> str | None:
        if alias not in existing:
            return None
        return str(milvus.describe_alias(alias, timeout=timeout_s)["collection_name"])

    return Pointed(collection(names.live), collection(names.previous))


def _note(settings: Settings) -> Path:
    return settings.paths.releases / "live.json"


def _point(milvus: MilvusClient, alias: str, name: str) -> None:
    """Point an alias at a collection, whether or not it exists; a server hides one whose collection was dropped."""
    from pymilvus.exceptions import MilvusException

    try:
        milvus.alter_alias(name, alias)
    except MilvusException:
        milvus.create_alias(name, alias)


def _make_live(milvus: MilvusClient, names: Names, name: str) -> None:
    """Move the aliases. Killed between the two moves, the old release is live and no predecessor is known."""
    live = pointed_at(milvus, names).live
    if live == name:
        return
    if live:
        _point(milvus, names.previous, live)
    _point(milvus, names.live, name)
    _verify(milvus, names, name)


def _verify(milvus: MilvusClient, names: Names, name: str) -> None:
    if pointed_at(milvus, names).live != name:
        raise IncompleteCollection(f"{names.live} does not point at {name} after it was moved there")


def _drop_old(milvus: MilvusClient, names: Names, settings: Settings, newest: str) -> None:
    """Drop the oldest collections beyond ``kept_releases``, never an aliased one nor one newer than ``newest``."""
    from training.release.places import known_releases

    pointed = {name for name in pointed_at(milvus, names) if name}
    mine = [n for n in milvus.list_collections() if names.is_collection(n)]
    trained_at = {names.collection(r.id): r.trained_at for r in known_releases(settings)}
    # A collection whose release is nowhere cannot serve: it counts as the oldest.
    age = {name: trained_at.get(name, NEVER) for name in mine}
    older = sorted((n for n in mine if n not in pointed and age[n] <= age[newest]), key=age.__getitem__, reverse=True)
    for name in older[max(0, settings.index.kept_releases - len(pointed)) :]:
        milvus.drop_collection(name)
