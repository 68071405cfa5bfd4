"""Marks on the shards of a Redis Cluster, by which it is noticed that one lost rows.

What was materialized is recorded on one shard, while the rows lie on all. One that came back empty, or whose replica
took over before it had the last rows, would leave its users unknown until they do something: its marks are gone or old.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from redis import Redis

MARKS = 256
"""One in each 64 of the 16,384 slots: a shard with 127 slots that follow one another has one."""


def mark_keys(project: str, view: str) -> list[str]:
    """Where the marks of a view lie; what is in braces decides the slot."""
    return [f"shelfwise:materialized_mark:{{{tag}}}:{view}:{project}" for tag in _tags()]


def write_marks(client: Redis, keys: Sequence[str], record: str) -> None:
    """Mark every shard as having the rows of a record."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.set(key, _mark(record))
        pipeline.execute()


def are_marked(client: Redis, keys: Sequence[str], record: str) -> bool:
    """Whether every shard has the rows of a record."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.get(key)
        return set(pipeline.execute()) <= {_mark(record).encode()}


def _mark(record: str) -> str:
    return hashlib.sha256(record.encode()).hexdigest()[:16]


@cache
def _tags() -> tuple[int, ...]:
    """A number per mark, in whose slots no two share a stretch."""
    from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

    found: dict[int, int] = {}
    for number in count():
        found.setdefault(key_slot(str(number).encode()) * MARKS // REDIS_CLUSTER_HASH_SLOTS, number)
        if len(found) == MARKS:
            return tuple(found.values())
    raise AssertionError("count() ends")
