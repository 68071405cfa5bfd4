"""The vector index: a Milvus collection per release, and the alias that says which one is live.

Written for what Milvus Lite and Milvus servers have in common: upsert only, no nulls, no NaN, named output fields.
The alias ``items_live`` is the one truth of what is live; ``items_previous`` points at what was live before it.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from filelock import FileLock

from infra.settings import Settings
from serving.connection import client
from serving.errors import IncompleteCollection, NoLiveRelease
from serving.fields import MAX_VALUE_BYTES, FilterFields, filter_fields

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

    from training.release import Release

PREFIX = "items_"
LIVE = "items_live"
PREVIOUS = "items_previous"
METRIC = "IP"
"""Inner product: the score that the towers are trained on."""
BATCH_ROWS = 4_000
PAGE_ROWS = 16_000
"""Ids read back at a time; a server gives at most 16,384."""
NEVER = datetime.min.replace(tzinfo=UTC)

_BUILD: dict[str, dict[str, int]] = {
    "FLAT": {},
    "HNSW": {"M": 16, "efConstruction": 200},
    "IVF_FLAT": {"nlist": 128},
}


@dataclass(frozen=True)
class PushReport:
    """What a push did. ``seconds`` includes reading back; ``left_out`` names fields that cannot be filtered by."""

    collection: str
    rows: int
    seconds: float
    left_out: tuple[str, ...]


def collection_name(release_id: str) -> str:
    """The collection of a release."""
    if not re.fullmatch(r"[A-Za-z0-9_]{1,200}", release_id):
        raise ValueError(f"release id {release_id!r}: Milvus takes letters, digits and underscores only")
    return PREFIX + release_id


def search_params(index_type: str, k: int) -> dict[str, Any]:
    """Search parameters for the best ``k``; a server refuses HNSW with ``ef`` below ``k``."""
    params = {"FLAT": {}, "HNSW": {"ef": max(256, 2 * k)}, "IVF_FLAT": {"nprobe": 32}}[index_type]
    return {"metric_type": METRIC, "params": params}


def push(settings: Settings, release: Release) -> PushReport:
    """Bring a release's items into its collection; live stays what it is.

    A collection that is already complete is left alone, one that a killed push left half full is filled again.

    Raises:
        IndexUnavailable: Milvus does not answer.
        IncompleteCollection: what was read back is not what was written.
        ValueError: the release has no items, or a vector that is not finite.
    """
    started = time.perf_counter()
    name = collection_name(release.id)
    if len(release.item_ids) == 0 or not np.isfinite(release.item_vectors).all():
        raise ValueError(f"release {release.id} has no items, or a vector that is not finite: train it again")
    fields = filter_fields(release.items)
    with _one_writer(settings), client(settings) as milvus:
        complete = _is_complete(milvus, name, release)
        if not complete:
            if milvus.has_collection(name) and name not in _aliased(milvus).values():
                milvus.drop_collection(name)
            if not milvus.has_collection(name):
                _create(milvus, name, release, fields)
            _fill(milvus, name, release, fields)
        # Rows that are not flushed have no index: Milvus Lite then needs ten times as long per search.
        milvus.flush(name)
        if not complete and not _is_complete(milvus, name, release):
            raise IncompleteCollection(f"{name} does not hold the {len(release.item_ids)} items just written to it")
    return PushReport(name, len(release.item_ids), time.perf_counter() - started, fields.left_out)


def promote(settings: Settings, release_id: str) -> None:
    """Make a pushed release live, verify it, and drop collections that roll-back no longer needs.

    Raises:
        IndexUnavailable: Milvus does not answer, or the alias does not point at the release afterwards.
        IncompleteCollection: the release was never pushed.
    """
    name = collection_name(release_id)
    with _one_writer(settings), client(settings) as milvus:
        if not milvus.has_collection(name):
            raise IncompleteCollection(f"release {release_id} has no collection: push it first")
        _make_live(milvus, name)
        _drop_old(milvus, settings, newest=name)


def roll_back(settings: Settings) -> str:
    """Make the release live that was live before, and return its id. Done twice, it is undone.

    Raises:
        NoLiveRelease: nothing is live.
        ValueError: nothing was live before.
    """
    with _one_writer(settings), client(settings) as milvus:
        aliased = _aliased(milvus)
        if LIVE not in aliased:
            raise NoLiveRelease()
        if aliased.get(PREVIOUS, aliased[LIVE]) == aliased[LIVE]:
            raise ValueError("no release was live before this one: there is nothing to roll back to")
        _make_live(milvus, aliased[PREVIOUS])
        return aliased[PREVIOUS].removeprefix(PREFIX)


def kept_release_ids(settings: Settings) -> list[str]:
    """The live release and the one before it: what clean-ups of release folders leave alone.

    Raises:
        IndexUnavailable: Milvus does not answer.
    """
    with client(settings) as milvus:
        return list(dict.fromkeys(name.removeprefix(PREFIX) for name in _aliased(milvus).values()))


def live_release_id(settings: Settings) -> str | None:
    """The release that is live, as the alias says; None before the first promotion.

    Raises:
        IndexUnavailable: Milvus does not answer.
    """
    with client(settings) as milvus:
        return read_live(milvus)


def read_live(milvus: MilvusClient, timeout_s: float | None = None) -> str | None:
    """As :func:`live_release_id`, by a client that is open. Raises what pymilvus raises."""
    live = _aliased(milvus, timeout_s).get(LIVE)
    return live.removeprefix(PREFIX) if live else None


def _one_writer(settings: Settings) -> FileLock:
    """Pushes and promotions of this machine wait for each other; a killed process lets go of the lock."""
    folder = settings.paths.releases
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / ".index.lock")


def _aliased(milvus: MilvusClient, timeout_s: float | None = None) -> dict[str, str]:
    """Our aliases that exist, each with its collection."""
    existing = set(milvus.list_aliases(timeout=timeout_s)["aliases"])
    ours = [alias for alias in (LIVE, PREVIOUS) if alias in existing]
    return {alias: milvus.describe_alias(alias, timeout=timeout_s)["collection_name"] for alias in ours}


def _point(milvus: MilvusClient, alias: str, name: str) -> None:
    """Point an alias at a collection, whether or not it exists; a server hides one whose collection was dropped."""
    from pymilvus.exceptions import MilvusException

    try:
        milvus.alter_alias(name, alias)
    except MilvusException:
        milvus.create_alias(name, alias)


def _make_live(milvus: MilvusClient, name: str) -> None:
    """Move the aliases. Killed between the two moves, the old release is live and no predecessor is known."""
    live = _aliased(milvus).get(LIVE)
    if live == name:
        return
    if live:
        _point(milvus, PREVIOUS, live)
    _point(milvus, LIVE, name)
    if _aliased(milvus).get(LIVE) != name:
        raise IncompleteCollection(f"{LIVE} does not point at {name} after it was moved there")


def _drop_old(milvus: MilvusClient, settings: Settings, newest: str) -> None:
    """Drop the oldest collections beyond ``kept_releases``, never an aliased one nor one newer than ``newest``."""
    from training.release import list_releases

    aliased = set(_aliased(milvus).values())
    mine = [n for n in milvus.list_collections() if n.startswith(PREFIX)]
    trained_at = {collection_name(r.id): r.trained_at for r in list_releases(settings)}
    # A collection without a release's folder cannot serve: it counts as the oldest.
    age = {name: trained_at.get(name, NEVER) for name in mine}
    older = sorted((n for n in mine if n not in aliased and age[n] <= age[newest]), key=age.__getitem__, reverse=True)
    for name in older[max(0, settings.index.kept_releases - len(aliased)) :]:
        milvus.drop_collection(name)


def _create(milvus: MilvusClient, name: str, release: Release, fields: FilterFields) -> None:
    index = milvus.prepare_index_params()
    kind = release.config["index"]["index_type"]
    index.add_index("vector", index_type=kind, metric_type=METRIC, params=_BUILD[kind])
    schema = _schema(milvus, release, fields)
    milvus.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def _schema(milvus: MilvusClient, release: Release, fields: FilterFields) -> CollectionSchema:
    from pymilvus import DataType

    schema = milvus.create_schema(auto_id=False, enable_dynamic_field=False)
    longest = max(len(item.encode()) for item in release.item_ids)
    schema.add_field("item_id", DataType.VARCHAR, is_primary=True, max_length=max(64, longest))
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=release.item_vectors.shape[1])
    for field in fields.by_name.values():
        for column in field.columns:
            if field.kind == "number":
                schema.add_field(column, DataType.DOUBLE)
            else:
                schema.add_field(column, DataType.VARCHAR, max_length=MAX_VALUE_BYTES)
    return schema


def _fill(milvus: MilvusClient, name: str, release: Release, fields: FilterFields) -> None:
    for start in range(0, len(release.item_ids), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        columns: dict[str, Any] = {"item_id": list(release.item_ids[part]), "vector": release.item_vectors[part]}
        columns |= {c: fields.columns[c][part].to_pylist() for c in fields.columns.column_names}
        # pymilvus 3 takes rows only; zip turns the columns into them without a step per value of our own.
        milvus.upsert(name, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def _is_complete(milvus: MilvusClient, name: str, release: Release) -> bool:
    """Whether the collection holds each item of the release, and nothing else, as read back from it."""
    if not milvus.has_collection(name):
        return False
    milvus.load_collection(name)
    return bool(_stored_ids(milvus, name).sort().equals(pa.array(release.item_ids, pa.string()).sort()))


def _stored_ids(milvus: MilvusClient, name: str) -> pa.Array:
    """Item ids in a collection, in no order."""
    pages = milvus.query_iterator(name, batch_size=PAGE_ROWS, output_fields=["item_id"], consistency_level="Strong")
    ids: list[str] = []
    while page := pages.next():
        ids += [row["item_id"] for row in page]
    pages.close()
    return pa.array(ids, pa.string())
