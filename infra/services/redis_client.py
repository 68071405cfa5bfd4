"""Where Redis is, and the one place that makes a client of it: one that fails fast, whatever stands there.

redis-py's own retries block for seconds where a server is away: here a step is tried once, within its time-out.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from infra.services.supervisor import ServiceError
from infra.settings.redis_url import RedisUrl, read_redis_url

if TYPE_CHECKING:
    from redis import Redis
    from redis.cluster import RedisCluster
    from redis.sentinel import Sentinel

PROBE_MS = 500


@dataclass(frozen=True)
class RedisAddress:
    """Where Redis is, in one of the forms of ``online.redis_url``. Printing it does not show a password."""

    url: str = field(repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)

    def __repr__(self) -> str:
        return f"RedisAddress({self})"

    def __str__(self) -> str:
        scheme, _, rest = self.url.partition("://")
        return f"{scheme}://{rest.rpartition('@')[2].partition('?')[0]}"

    @property
    def parts(self) -> RedisUrl:
        """The URL taken apart."""
        return read_redis_url(self.url)

    @property
    def is_cluster(self) -> bool:
        """Whether keys lie on several servers: a transaction's must lie in one slot, and a pipeline has no order."""
        return self.parts.kind == "cluster"

    def connect(self, timeout_ms: int) -> Redis:
        """A client whose every step (connect, ask a sentinel, ask a node) fails within ``timeout_ms``. Nothing is asked
        before its first use, and a server that comes back is found again.

        A cluster's client has the same methods; a transaction of keys in several slots is refused.
        """
        parts = self.parts
        if parts.kind == "cluster":
            return cast("Redis", LazyCluster(lambda: self._cluster(timeout_ms)))
        if parts.kind == "sentinel":
            database = _options(parts.plain).get("db", 0)
            found: Redis = self._sentinel(timeout_ms).master_for(parts.primary, db=database)
            return found
        from redis import Redis

        client: Redis = Redis.from_url(self.url, **_patience(timeout_ms), retry=_once(), **self._tls())
        return client

    def refuse_another_kind(self) -> None:
        """Refuse a URL that leads to something of another kind than it says: a node of a cluster behind ``redis://``
        would answer for its own share of the keys alone.

        One that does not answer, or refuses us, is not refused here: serving begins without it.

        Raises:
            ServiceError: says what stands there and what to write.
        """
        from redis.exceptions import RedisClusterException, RedisError

        try:
            said = {
                "single": self._said_of_single,
                "cluster": self._said_of_cluster,
                "sentinel": self._said_of_sentinels,
            }
            wrong = said[self.parts.kind]()
        except (RedisError, RedisClusterException):
            return
        if wrong:
            raise ServiceError(f"{self} {wrong} in SHELFWISE_ONLINE__REDIS_URL")

    def _said_of_single(self) -> str | None:
        client = self.connect(PROBE_MS)
        try:
            told = [_text(part) for part in cast(list[Any], client.execute_command("HELLO"))]  # any ACL user may ask it
        finally:
            client.close()
        mode = dict(zip(told[::2], told[1::2], strict=False)).get("mode")
        if mode == "cluster":
            return (
                "is a node of a Redis Cluster, not a server alone: write redis+cluster:// (with TLS rediss+cluster://)"
            )
        return "is a sentinel: write redis+sentinel://HOST:PORT/PRIMARY" if mode == "sentinel" else None

    def _said_of_cluster(self) -> str | None:
        from redis.exceptions import RedisClusterException

        client = self.connect(PROBE_MS)
        try:
            client.get("shelfwise")
        except RedisClusterException as error:
            if "Cluster mode is not enabled" in str(error):
                return "is no Redis Cluster: write redis:// (with TLS rediss://), or redis+sentinel:// behind sentinels"
            raise
        finally:
            client.close()
        return None

    def _said_of_sentinels(self) -> str | None:
        from redis.exceptions import ConnectionError as RedisConnectionError
        from redis.exceptions import ResponseError
        from redis.exceptions import TimeoutError as RedisTimeoutError

        known: dict[str, Any] = {}
        for sentinel in self._sentinel(PROBE_MS).sentinels:
            try:
                known |= cast(dict[str, Any], sentinel.sentinel_masters())
            except ResponseError as error:
                if "unknown command" in str(error).lower():
                    return "is no sentinel: write redis:// (with TLS rediss://), or redis+cluster:// of a cluster"
                raise
            except (RedisConnectionError, RedisTimeoutError):
                continue
            finally:
                sentinel.close()
        if not known or self.parts.primary in known:
            return None
        return f"names {self.parts.primary!r}, and the sentinels know {', '.join(sorted(known))}: name it"

    def _sentinel(self, timeout_ms: int) -> Sentinel:
        from redis.sentinel import Sentinel

        parts = self.parts
        options = {k: v for k, v in _options(parts.plain).items() if k not in ("host", "port", "db")}
        shared = {**_patience(timeout_ms), **self._tls()}
        account = {"username": self.sentinel_username, "password": self.sentinel_password}
        return Sentinel(
            list(parts.nodes),
            sentinel_kwargs={**shared, "ssl": parts.has_tls, **account, "retry": _once()},
            **{**shared, "ssl": parts.has_tls, **options, "retry": _once()},
        )

    def _cluster(self, timeout_ms: int) -> RedisCluster:
        from infra.services.redis_cluster import FailFastCluster

        parts = self.parts
        options = {k: v for k, v in _options(parts.plain).items() if k not in ("host", "port", "db")}
        return FailFastCluster(
            parts.nodes, {**_patience(timeout_ms), **self._tls(), **({"ssl": True} if parts.has_tls else {}), **options}
        )

    def _tls(self) -> dict[str, Any]:
        """redis-py's names of the files; none without TLS, where it knows no such names."""
        if not self.parts.has_tls:
            return {}
        named = {"ssl_ca_certs": self.ca_file, "ssl_certfile": self.cert_file, "ssl_keyfile": self.key_file}
        return {name: str(file) for name, file in named.items() if file}


class LazyCluster:
    """A cluster's client, made when it is first used: redis-py's asks the nodes where it is made, and Redis may be away
    when serving begins."""

    def __init__(self, make: Callable[[], RedisCluster]) -> None:
        self._make = make
        self._made: RedisCluster | None = None
        self._making = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if self._made is None:
            with self._making:
                self._made = self._made or self._make()
        return getattr(self._made, name)

    def close(self) -> None:
        """Let go of the connections."""
        if self._made is not None:
            self._made.close()


def _patience(timeout_ms: int) -> dict[str, Any]:
    return {"socket_timeout": timeout_ms / 1000, "socket_connect_timeout": timeout_ms / 1000}


def _once() -> Any:
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Retry(NoBackoff(), 0)


def _options(plain: str) -> dict[str, Any]:
    """User, password, database and what follows the ``?``, as redis-py reads them."""
    from redis.connection import parse_url

    return {name: value for name, value in parse_url(plain).items() if name != "connection_class"}


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
