"""What was said of items, in Redis: a list of batches that all serving processes of a shop add to and read.

A batch is an Arrow table. A process reads what was added since it read last. Now and then one writes the list anew
without the rows that later ones say anew; its *generation* then is another, and each process reads it from the start.
So it is where Redis lost its data.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from features.store.errors import OnlineStoreUnavailable, reported
from infra.services import ServiceError, redis_address
from infra.settings import Settings
from serving.item_updates.latest import needed, said_after
from serving.item_updates.rows import UPDATES, conformed

if TYPE_CHECKING:
    from redis import Redis

TIMEOUT_MS = 2_000
"""No request waits for it; a batch of 100,000 items is a few megabytes."""
MOST_BATCHES = 32
"""Beyond it the list is written anew."""
MOST_ROWS = 200_000
"""Of one batch: its bytes then stay below what Redis takes as one value."""


class UpdateLog:
    """The updates of a shop. Of one thread at a time; each method raises OnlineStoreUnavailable where Redis is away."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Redis | None = None
        prefix = f"shelfwise:item_updates:{settings.project}"
        if settings.online.kind == "cluster":
            prefix = f"{{{prefix}}}"  # what is in braces decides the slot: a transaction's keys have to lie in one
        self._batches, self._generation, self._feed = f"{prefix}:batches", f"{prefix}:generation", f"{prefix}:feed"
        self._read: tuple[bytes | None, int] = (None, 0)
        """Generation and number of the batches that were read."""
        self.updates = UPDATES.empty_table()
        """What was read, but for what later rows say anew."""

    def read(self) -> bool:
        """Read what is new; whether anything was."""
        generation, count = self._read
        with self._answers() as redis, redis.pipeline(transaction=True) as pipeline:
            pipeline.get(self._generation)
            pipeline.llen(self._batches)
            pipeline.lrange(self._batches, count, -1)
            now, length, batches = pipeline.execute()
            if now != generation or length < count:
                pipeline.get(self._generation)
                pipeline.lrange(self._batches, 0, -1)
                now, batches = pipeline.execute()
                self.updates, count = UPDATES.empty_table(), 0
        changed = bool(batches) or (now, count + len(batches)) != self._read
        if batches:
            self.updates = needed(pa.concat_tables([self.updates, *map(_table, batches)]).combine_chunks())
        self._read = (now, count + len(batches))
        return changed

    def add(self, updates: pa.Table, feed: str | None = None) -> None:
        """Add updates, all of them or none, and with them the stamp of the file that they are of."""
        parts = [updates.slice(start, MOST_ROWS) for start in range(0, len(updates), MOST_ROWS)]
        with self._answers(revive=True) as redis, redis.pipeline(transaction=True) as pipeline:
            pipeline.set(self._generation, uuid.uuid4().hex, nx=True)
            if parts:
                pipeline.rpush(self._batches, *map(_bytes, parts))
            if feed is not None:
                pipeline.set(self._feed, feed)
            pipeline.execute()

    def feed(self) -> str | None:
        """The stamp of the file that was added last."""
        with self._answers() as redis:
            found: Any = redis.get(self._feed)
        return found.decode() if found else None

    def shorten(self, after: datetime) -> None:
        """Write the list anew, where it is long, without what later rows say anew and what is not of after a moment."""
        from redis.exceptions import WatchError

        if self._read[1] <= MOST_BATCHES:
            return
        kept = needed(said_after(self.updates, after))
        parts = [_bytes(kept.slice(start, MOST_ROWS)) for start in range(0, len(kept), MOST_ROWS)]
        with self._answers() as redis, redis.pipeline(transaction=True) as pipeline:
            pipeline.watch(self._batches, self._generation)  # type: ignore[no-untyped-call]
            seen: Any = (pipeline.get(self._generation), pipeline.llen(self._batches))
            if seen != self._read:
                return  # somebody added to it, or wrote it anew
            pipeline.multi()
            pipeline.delete(self._batches)
            if parts:
                pipeline.rpush(self._batches, *parts)
            pipeline.set(self._generation, uuid.uuid4().hex)
            try:
                pipeline.execute()
            except WatchError:
                return

    def close(self) -> None:
        """Let go of the connection."""
        if self._client is not None:
            self._client.close()

    @contextmanager
    def _answers(self, revive: bool = False) -> Iterator[Redis]:
        """A client; an embedded Redis that died is started again where ``revive``, else by whoever needs it more."""
        if self._client is None or revive:
            try:
                self._address = redis_address(self._settings)
            except ServiceError as error:
                raise OnlineStoreUnavailable(str(error)) from error
        if self._client is None:
            self._client = self._address.connect(TIMEOUT_MS)
        with reported(self._address):
            yield self._client


def _bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, UPDATES, options=pa.ipc.IpcWriteOptions(compression="lz4")) as writer:
        writer.write_table(table)
    return sink.getvalue().to_pybytes()  # type: ignore[no-any-return]


def _table(batch: bytes) -> pa.Table:
    """A batch, also one that another version wrote."""
    return conformed(pa.ipc.open_stream(batch).read_all())
