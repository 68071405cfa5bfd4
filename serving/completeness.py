"""What a collection holds, read back from it: how many items, and a hash that two equal sets of ids share."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

from infra.settings import Settings
from serving.connection import client

PAGE_ROWS = 16_000
"""A server gives at most 16,384 at a time."""


@dataclass(frozen=True)
class Held:
    """A set of item ids."""

    count: int
    sha256: str
    """Of the sorted ids as JSON."""


def held(ids: Iterable[str]) -> Held:
    """Count and hash of item ids."""
    ordered = sorted(ids)
    return Held(len(ordered), hashlib.sha256(json.dumps(ordered).encode()).hexdigest())


def read_back(settings: Settings, collection: str) -> Held:
    """What a collection holds.

    Raises:
        IndexUnavailable: Milvus does not answer, or has no such collection.
    """
    with client(settings) as milvus:
        milvus.load_collection(collection)
        pages = milvus.query_iterator(
            collection, batch_size=PAGE_ROWS, output_fields=["item_id"], consistency_level="Strong"
        )
        ids: list[str] = []
        while page := pages.next():
            ids += [row["item_id"] for row in page]
        pages.close()
    return held(ids)
