"""A release's items as a Milvus collection: written, and read back to be sure.

Written for what Milvus Lite and Milvus servers have in common: upsert only, no nulls, no NaN, named output fields.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.settings import Settings
from serving.connection import client
from serving.errors import IncompleteCollection
from serving.fields import MAX_VALUE_BYTES, FilterFields, filter_fields
from serving.filters import literal
from serving.index.aliases import one_writer, pointed_at
from serving.index.kinds import METRIC, choice_of, milvus_build
from serving.index.names import names_of

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

    from training.release.release import Release

BATCH_ROWS = 4_000
"""Written, and read back, at a time; a server gives at most 16,384."""
SAMPLE = 1_000
"""Vectors that are compared: pymilvus makes a Python float of each of their entries."""
PAGE_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class PushReport:
    """What a push did. ``seconds`` includes reading back; ``left_out`` names fields that cannot be filtered by."""

    collection: str
    rows: int
    seconds: float
    left_out: tuple[str, ...]


def push(settings: Settings, release: Release) -> PushReport:
    """Bring a release's items into its collection; live stays what it is.

    A collection that is already complete is left alone, one that a killed push left half full is filled again.

    Raises:
        IndexUnavailable: Milvus does not answer.
        IncompleteCollection: what was read back is not what was written.
        ValueError: the release has no items, or a vector that is not finite.
    """
    started = time.perf_counter()
    names = names_of(settings)
    name = names.collection(release.id)
    if len(release.items.ids) == 0 or not np.isfinite(release.items.vectors).all():
        raise ValueError(f"release {release.id} has no items, or a vector that is not finite: train it again")
    fields = filter_fields(release.items.table)
    with one_writer(settings), client(settings) as milvus:
        complete = _is_complete(milvus, name, release)
        if not complete:
            if milvus.has_collection(name) and name not in pointed_at(milvus, names):
                milvus.drop_collection(name)
            if not milvus.has_collection(name):
                _create(milvus, name, release, fields, settings)
            _fill(milvus, name, release, fields)
        # Rows that are not flushed have no index: Milvus Lite then needs ten times as long per search.
        milvus.flush(name)
        if not complete and not _is_complete(milvus, name, release):
            raise IncompleteCollection(f"{name} does not hold the {len(release.items.ids)} items just written to it")
    return PushReport(name, len(release.items.ids), time.perf_counter() - started, fields.left_out)


def check_collection(milvus: MilvusClient, name: str, release: Release) -> None:
    """Read back how many rows a release's collection has, and ids and vectors of ``SAMPLE`` items spread over the
    catalogue; compare them with the release, whose own vectors, checked by their hash, are what memory searches.

    ``push`` reads every id back before the collection can go live. Here that would take 15 s of each start per 100,000
    items, and all vectors half a minute.

    Raises:
        IncompleteCollection: an item is missing or foreign, or a vector is another.
        MilvusException: Milvus failed.
    """
    milvus.load_collection(name, timeout=PAGE_TIMEOUT_S)
    rows, wanted = _row_count(milvus, name), len(release.items.ids)
    if rows != wanted:
        raise IncompleteCollection(
            f"{name} has {rows:,} rows for {wanted:,} items of release {release.id}: push it again"
        )
    known = pa.array(release.items.ids, pa.string())
    spread = known.take(pa.array(np.unique(np.linspace(0, len(known) - 1, SAMPLE).astype(np.int64))))
    found = _rows_with_ids(milvus, name, spread.to_pylist(), ["item_id", "vector"])
    vectors = np.array([row["vector"] for row in found], dtype=np.float32)
    at = _rows_of(pa.array([row["item_id"] for row in found], pa.string()), known)
    if len(found) != len(spread) or not np.array_equal(vectors, release.items.vectors[at]):
        raise IncompleteCollection(f"{name} holds vectors that are not release {release.id}'s: push again")


@dataclass(frozen=True)
class Stored:
    """What a collection holds of the items that it should."""

    wanted: int
    found: pa.Array
    """Item ids of the wanted ones that are there."""
    rows: int
    """Of the collection, whatever they are."""

    @property
    def is_whole(self) -> bool:
        """Whether each wanted item is there, and nothing else."""
        return bool(pc.count_distinct(self.found).as_py() == self.wanted == self.rows)

    @property
    def sha256(self) -> str:
        """Of the sorted ids as JSON."""
        return hashlib.sha256(json.dumps(sorted(self.found.to_pylist())).encode()).hexdigest()

    @property
    def summary(self) -> str:
        return f"holds {len(self.found):,} of {self.wanted:,} items and {self.rows - len(self.found):,} others"


def read_back(settings: Settings, release: Release, collection: str) -> Stored:
    """What a collection holds of the items of a release.

    Raises:
        IndexUnavailable: Milvus does not answer, or has no such collection.
    """
    with client(settings) as milvus:
        return stored_ids(milvus, collection, release.items.ids)


def stored_ids(milvus: MilvusClient, name: str, wanted: Sequence[str]) -> Stored:
    """Read the item ids of a collection back. Raises what pymilvus raises.

    Asked for by id: pymilvus' own iterator, and its ``ids``, paste an id with a quote into an expression unescaped.
    """
    milvus.load_collection(name, timeout=PAGE_TIMEOUT_S)
    found: list[str] = []
    for start in range(0, len(wanted), BATCH_ROWS):
        part = wanted[start : start + BATCH_ROWS]
        found += [row["item_id"] for row in _rows_with_ids(milvus, name, part, ["item_id"])]
    return Stored(len(wanted), pa.array(found, pa.string()), _row_count(milvus, name))


def _row_count(milvus: MilvusClient, name: str) -> int:
    (counted,) = milvus.query(
        name, filter="", output_fields=["count(*)"], consistency_level="Strong", timeout=PAGE_TIMEOUT_S
    )
    return int(counted["count(*)"])


def _rows_with_ids(milvus: MilvusClient, name: str, ids: Sequence[str], columns: list[str]) -> list[dict[str, Any]]:
    return list(
        milvus.query(
            name,
            filter=f"item_id in [{', '.join(map(literal, ids))}]",
            output_fields=columns,
            consistency_level="Strong",
            timeout=PAGE_TIMEOUT_S,
        )
    )


def _rows_of(ids: pa.Array, known: pa.Array) -> np.ndarray:
    """The release's rows of item ids, -1 for what it does not know."""
    return np.asarray(pc.fill_null(pc.index_in(ids, value_set=known), -1).to_numpy())


def _create(milvus: MilvusClient, name: str, release: Release, fields: FilterFields, settings: Settings) -> None:
    index = milvus.prepare_index_params()
    kind, params = milvus_build(choice_of(release), settings.index)
    index.add_index("vector", index_type=kind, metric_type=METRIC, params=params)
    schema = _schema(milvus, release, fields)
    milvus.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


def _schema(milvus: MilvusClient, release: Release, fields: FilterFields) -> CollectionSchema:
    from pymilvus import DataType

    schema = milvus.create_schema(auto_id=False, enable_dynamic_field=False)
    longest = max(len(item.encode()) for item in release.items.ids)
    schema.add_field("item_id", DataType.VARCHAR, is_primary=True, max_length=max(64, longest))
    schema.add_field("vector", DataType.FLOAT_VECTOR, dim=release.items.vectors.shape[1])
    for field in fields.by_name.values():
        for column in field.columns:
            if field.kind == "number":
                schema.add_field(column, DataType.DOUBLE)
            else:
                schema.add_field(column, DataType.VARCHAR, max_length=MAX_VALUE_BYTES)
    return schema


def _fill(milvus: MilvusClient, name: str, release: Release, fields: FilterFields) -> None:
    for start in range(0, len(release.items.ids), BATCH_ROWS):
        part = slice(start, start + BATCH_ROWS)
        columns: dict[str, Any] = {"item_id": list(release.items.ids[part]), "vector": release.items.vectors[part]}
        columns |= {c: fields.columns[c][part].to_pylist() for c in fields.columns.column_names}
        # pymilvus 3 takes rows only; zip turns the columns into them without a step per value of our own.
        milvus.upsert(name, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)])


def _is_complete(milvus: MilvusClient, name: str, release: Release) -> bool:
    """Whether the collection holds each item of the release, and nothing else, as read back from it."""
    return milvus.has_collection(name) and stored_ids(milvus, name, release.items.ids).is_whole
