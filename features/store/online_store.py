"""Feast's Redis online store with a client of ours.

Feast's connection string splits a password at its commas, knows no unix sockets, no sentinel's own account, and cannot
carry a retry policy, without which a call blocks for seconds when Redis is away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final, Literal

from feast.infra.online_stores.helpers import _mmh3, _redis_key, _redis_key_prefix
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from infra.services import RedisAddress

SCAN_BATCH = 1_000
STORE_TYPE: Final = "features.store.online_store.FastFailRedisOnlineStore"


class FastFailRedisOnlineStoreConfig(RedisOnlineStoreConfig):  # type: ignore[misc] # Feast is not typed
    """Feast finds this class by the store's name followed by ``Config``."""

    type: Literal["features.store.online_store.FastFailRedisOnlineStore"] = STORE_TYPE
    address: RedisAddress | None = None
    """None where only the offline store is used."""
    timeout_ms: int = 50
    skip_dedup: bool = True
    """Feast would keep a stored row that is not older than the one written. After a repair the right row may be older,
    or of the same time with other values; we write one row per entity, the right one, so it overwrites."""


class FastFailRedisOnlineStore(RedisOnlineStore):  # type: ignore[misc] # Feast is not typed
    """Redis, a Redis Cluster or what sentinels name, without retries."""

    _client: Any = None

    def _get_client(self, online_store_config: FastFailRedisOnlineStoreConfig) -> Any:
        if self._client is None:
            if online_store_config.address is None:
                raise ValueError("This feature store was opened for offline use; open it with a Redis address.")
            self._client = online_store_config.address.connect(online_store_config.timeout_ms)
        return self._client

    def delete_others(self, config: Any, table: Any, keep: Iterable[str]) -> int:
        """Delete the rows of a feature view whose entity is not in ``keep``; return how many there were."""
        (join_key,) = table.join_keys
        project, version = config.project, config.entity_key_serialization_version
        kept = {
            _redis_key(project, EntityKey(join_keys=[join_key], entity_values=[Value(string_val=value)]), version)
            for value in keep
        }
        fields = [*(_mmh3(f"{table.name}:{feature.name}") for feature in table.features), f"_ts:{table.name}"]
        client = self._get_client(config.online_store)
        pattern = _escaped(_redis_key_prefix([join_key])) + b"*" + project.encode()
        deleted = 0
        batch: list[bytes] = []
        for key in client.scan_iter(pattern, count=SCAN_BATCH):
            if key not in kept:
                batch.append(key)
            if len(batch) == SCAN_BATCH:
                deleted += _delete_fields(client, batch, fields)
                batch.clear()
        return deleted + _delete_fields(client, batch, fields)


def _delete_fields(client: Any, keys: list[bytes], fields: list[Any]) -> int:
    """Delete the fields of one feature view: another view of the same entity lies under the same key."""
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.hdel(key, *fields)
        return sum(1 for removed in pipeline.execute() if removed)


def _escaped(prefix: bytes) -> bytes:
    """The prefix with the characters that mean something in a Redis pattern taken literally."""
    return re.sub(rb"([\[\]*?\\^])", rb"\\\1", prefix)
