"""What goes wrong with the feature store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from infra.services import RedisAddress


class OnlineStoreUnavailable(RuntimeError):  # noqa: N818 - it names a state, in which serving continues
    """Redis does not answer, or refuses; serving continues without user features."""


class RegistryError(RuntimeError):
    """The database of Feast's registry cannot be used; the message says what to do."""


@contextmanager
def reported(address: RedisAddress) -> Iterator[None]:
    """Turn an error of the Redis client into OnlineStoreUnavailable."""
    from redis.exceptions import AskError, ReadOnlyError, RedisClusterException, RedisError

    try:
        yield
    except (RedisError, RedisClusterException) as error:
        hint = ""
        if isinstance(error, AskError) and not address.is_cluster:  # MOVED is one of them
            hint = "; it is a node of a Redis Cluster: write redis+cluster:// in SHELFWISE_ONLINE__REDIS_URL"
        elif isinstance(error, ReadOnlyError):
            hint = "; it is a replica: name its primary, or its sentinels, in SHELFWISE_ONLINE__REDIS_URL"
        raise OnlineStoreUnavailable(f"{address} failed: {type(error).__name__}: {error}{hint}") from error
