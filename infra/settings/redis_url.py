"""The forms of ``online.redis_url``: one server, a Redis Cluster, or the primary that sentinels name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal
from urllib.parse import unquote, urlsplit

Kind = Literal["single", "cluster", "sentinel"]

FORMS: Final = (
    "redis://[USER:PASSWORD@]HOST:PORT/DB, unix://PATH, redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT or"
    " redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/PRIMARY[/DB]; with TLS rediss instead of redis"
)
SCHEMES: Final[dict[str, Kind]] = {
    **dict.fromkeys(("redis", "rediss", "unix"), "single"),
    **dict.fromkeys(("redis+cluster", "rediss+cluster"), "cluster"),
    **dict.fromkeys(("redis+sentinel", "rediss+sentinel"), "sentinel"),
}
PORTS: Final[dict[Kind, int]] = {"single": 6379, "cluster": 6379, "sentinel": 26379}


@dataclass(frozen=True)
class RedisUrl:
    """A URL of Redis, taken apart as far as redis-py does not do it itself."""

    kind: Kind
    nodes: tuple[tuple[str, int], ...]
    """Of a cluster those that are asked for the others, of sentinels all that are known; none for a single server."""
    primary: str
    """The name by which sentinels know the primary; empty without sentinels."""
    plain: str
    """What is left as redis-py reads it: TLS or not, user, password, database and options of the servers."""

    @property
    def has_tls(self) -> bool:
        """Whether the servers are spoken to by TLS."""
        return self.plain.startswith("rediss://")


def read_redis_url(url: str) -> RedisUrl:
    """Take a URL apart.

    Raises:
        ValueError: it has none of the ``FORMS``; the message does not repeat it, as it holds a password.
    """
    scheme, _, rest = url.partition("://")
    kind = SCHEMES.get(scheme)
    if kind is None:
        raise ValueError(f"it begins with no form that is known; write {FORMS}")
    if kind == "single":
        if scheme != "unix":
            _host(re.split("[/?]", rest)[0] or "localhost", PORTS[kind])
        return RedisUrl(kind, (), "", url)
    before, _, options = rest.partition("?")
    authority, _, path = before.partition("/")
    account, at, hosts = authority.rpartition("@")
    nodes = tuple(_host(host, PORTS[kind]) for host in hosts.split(","))
    parts = path.rstrip("/").split("/") if path.rstrip("/") else []
    if kind == "cluster":
        if parts not in ([], ["0"]):
            raise ValueError("a Redis Cluster has no databases but 0: leave out what follows the hosts")
        primary, database = "", "0"
    elif len(parts) not in (1, 2) or not (len(parts) == 1 or parts[1].isdigit()):
        raise ValueError("after the sentinels comes the name of the primary: redis+sentinel://HOST:PORT,HOST:PORT/NAME")
    else:
        primary, database = unquote(parts[0]), parts[1] if len(parts) == 2 else "0"
    plain = (
        f"{scheme.partition('+')[0]}://{account}{at}{hosts.split(',')[0]}/{database}{'?' + options if options else ''}"
    )
    return RedisUrl(kind, nodes, primary, plain)


def _host(authority: str, port: int) -> tuple[str, int]:
    """Of ``[user:password@]host[:port]``, the latter two."""
    try:
        parts = urlsplit(f"//{authority.strip()}")
        host, port = parts.hostname or "", parts.port or port
    except ValueError:
        host = ""
    if not host:
        raise ValueError(f"it lacks a host or a port in digits (of a password write / ? # @ in percent); write {FORMS}")
    return host, port
