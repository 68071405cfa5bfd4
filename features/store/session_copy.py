"""What users did since the last batch, which lies in Redis alone, as a table: for a copy of the shop."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from features.store.errors import reported
from features.store.session import session_prefix
from infra.services import redis_address
from infra.settings import Settings

SESSIONS = pa.schema([("user_id", pa.string()), ("entry", pa.binary()), ("time_us", pa.int64())])
TIMEOUT_MS = 10_000
AT_ONCE = 1_000
"""Users per round trip."""


def read_sessions(settings: Settings) -> pa.Table:
    """Every recorded event, by user. Raises OnlineStoreUnavailable where Redis is away."""
    address, prefix = redis_address(settings), session_prefix(settings.project)
    rows: list[tuple[str, bytes, int]] = []
    with reported(address):
        client = address.connect(TIMEOUT_MS)
        keys: list[bytes] = list(client.scan_iter(match=f"{prefix}*", count=AT_ONCE))
        for start in range(0, len(keys), AT_ONCE):
            some = keys[start : start + AT_ONCE]
            with client.pipeline(transaction=False) as pipeline:
                for key in some:
                    pipeline.zrange(key, 0, -1, withscores=True)
                found: list[Any] = pipeline.execute()
            rows += [
                (key.decode().removeprefix(prefix), entry, int(time))
                for key, own in zip(some, found, strict=True)
                for entry, time in own
            ]
        client.close()
    return pa.table(list(zip(*rows, strict=True)) if rows else SESSIONS.empty_table().columns, schema=SESSIONS)


def add_sessions(settings: Settings, events: pa.Table) -> None:
    """Record what :func:`read_sessions` gave beside what is there; an event that is there stays one."""
    address, prefix = redis_address(settings), session_prefix(settings.project)
    with reported(address):
        client = address.connect(TIMEOUT_MS)
        for batch in events.to_batches(max_chunksize=10_000):
            users = batch["user_id"].to_pylist()
            with client.pipeline(transaction=False) as pipeline:
                for user, entry, time in zip(
                    users, batch["entry"].to_pylist(), batch["time_us"].to_pylist(), strict=True
                ):
                    pipeline.zadd(prefix + user, {entry: time})
                for user in set(users):
                    pipeline.expire(prefix + user, settings.online.session_ttl)
                pipeline.execute()
        client.close()
