"""A release as it serves: its query tower, its collection, its filter fields and its clock, always together."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from infra.settings import Settings
from serving.errors import IndexUnavailable
from serving.fields import FilterFields, filter_fields
from serving.filters import Filter
from serving.index import collection_name, search_params

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymilvus import MilvusClient

    from training.release import Release

REPLAY_AFTER = timedelta(days=2)
"""A log that ends longer than this before the training is a replay of the past."""


@dataclass(frozen=True)
class Hit:
    """An item found. ``score`` is the cosine of query and item vector, and the boost where the release boosts."""

    item_id: str
    score: float


@dataclass(frozen=True)
class ServedRelease:
    """One release with all that serves it; no request mixes two."""

    release: Release
    collection: str
    index_type: str
    fields: FilterFields
    clock_offset: timedelta
    """How far the wall clock is ahead of the shop's time: not zero where an old log is replayed."""

    def search_index(
        self, milvus: MilvusClient, vector: NDArray[np.float32], k: int, wanted: Filter, timeout_s: float
    ) -> list[Hit]:
        """The best k items by Milvus. ``vector`` is [dim]. Raises what pymilvus raises."""
        found = milvus.search(
            self.collection,
            data=[vector],
            anns_field="vector",
            limit=min(k, len(self.release.item_ids)),
            filter=wanted.expression(),
            output_fields=["item_id"],
            search_params=search_params(self.index_type, k),
            # A collection was read back whole before it went live; a stronger level costs a server 200 ms per search.
            consistency_level="Eventually",
            timeout=timeout_s,
        )
        return [Hit(hit["entity"]["item_id"], float(hit["distance"])) for hit in found[0]]

    def search_memory(self, vector: NDArray[np.float32], k: int, wanted: Filter) -> list[Hit]:
        """The best k items by exact search over the release's own vectors, with the same filters."""
        scores = self.release.item_vectors @ vector
        mask = wanted.mask(self.fields.columns)
        rows = np.arange(len(scores)) if mask is None else np.flatnonzero(mask)
        if k < len(rows):
            rows = rows[np.argpartition(scores[rows], -k)[-k:]]
        rows = rows[np.argsort(-scores[rows], kind="stable")]
        return [Hit(self.release.item_ids[row], float(scores[row])) for row in rows]

    def describe(self, item_id: str) -> str:
        """An item for people: its title, else its category and price, else its id."""
        row = pc.index(self.release.items["item_id"], item_id).as_py()
        if row < 0:
            return item_id
        (item,) = self.release.items.slice(row, 1).to_pylist()
        if item.get("title"):
            return str(item["title"])
        price = item.get("price")
        parts = [" > ".join(item.get("category_path") or []), "" if price is None else f"{price:g}"]
        return ", ".join(part for part in parts if part) or item_id


def load_served(settings: Settings, release_id: str) -> ServedRelease:
    """Load a release from its folder.

    Raises:
        ReleaseError: the folder is missing, or not what its manifest says.
    """
    from features.store import FEATURE_SERVICE
    from training.release import ReleaseError, load_release

    release = load_release(settings.paths.releases / release_id)
    if release.feature_service != FEATURE_SERVICE:
        raise ReleaseError(
            f"release {release_id} reads the feature service {release.feature_service}, this program serves"
            f" {FEATURE_SERVICE}: train again"
        )
    if release.id != release_id:
        raise ReleaseError(f"the folder of release {release_id} holds release {release.id}: copy the right one")
    return ServedRelease(
        release=release,
        collection=collection_name(release_id),
        index_type=release.config["index"]["index_type"],
        fields=filter_fields(release.items),
        clock_offset=clock_offset(release.trained_at, release.data_until),
    )


def clock_offset(trained_at: datetime, data_until: datetime) -> timedelta:
    """How far the wall clock is ahead of the shop's time.

    Feature TTLs count from the time of the request. Where the log of a day in 2018 is replayed, every feature would be
    years old: the shop's time then goes on from the log's end as the wall clock does from the training.
    """
    behind = trained_at - data_until
    return behind if behind > REPLAY_AFTER else timedelta(0)


def warm(served: ServedRelease, milvus: MilvusClient, timeout_s: float) -> None:
    """Run the tower and the search once, so that no request pays for what is made on first use.

    Raises:
        IndexUnavailable: Milvus is away or does not have the collection.
    """
    from serving.connection import failures

    vector = served.release.encode_query("warm up")
    with failures():
        milvus.load_collection(served.collection, timeout=timeout_s)
        if not served.search_index(milvus, vector, 1, Filter(), timeout_s):
            raise IndexUnavailable(f"{served.collection} answers with nothing")
