"""What goes wrong with the online store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from infra.services import RedisAddress


class OnlineStoreUnavailable(RuntimeError):  # noqa: N818 - it names a state, in which serving continues
    """Redis does not answer, or refuses; serving continues without user features."""


@contextmanager
def reported(address: RedisAddress) -> Iterator[None]:
    """Turn an error of the Redis client into OnlineStoreUnavailable."""
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as error:
        raise OnlineStoreUnavailable(f"{address} failed: {type(error).__name__}: {error}") from error
