"""Embedded Redis and Milvus, shared by processes: started when first needed, stopped by their last user."""

from __future__ import annotations

from dataclasses import dataclass

from infra.services import supervisor
from infra.services.milvus import MilvusServer
from infra.services.redis import RedisServer
from infra.services.redis_client import RedisAddress
from infra.services.supervisor import Server, ServiceError
from infra.settings import Settings

__all__ = ["RedisAddress", "ServiceError", "ServiceStatus", "milvus_uri", "redis_address", "status", "stop_all"]


@dataclass(frozen=True)
class ServiceStatus:
    """An embedded service as it is now."""

    name: str
    running: bool
    used: bool
    """Whether any process holds it in use."""
    pid: int | None
    address: str | None
    log: str


def redis_address(settings: Settings) -> RedisAddress:
    """Where Redis is: ``online.redis_url`` if set, else an embedded server, started if it is not up.

    Raises ServiceError where none can be had.
    """
    online = settings.online
    if online.redis_url is not None:
        return RedisAddress(
            online.redis_url.get_secret_value(),
            ca_file=online.ca_file,
            cert_file=online.cert_file,
            key_file=online.key_file,
            sentinel_username=online.sentinel_username,
            sentinel_password=online.sentinel_password.get_secret_value() if online.sentinel_password else None,
        )
    return RedisAddress(supervisor.ensure(_redis(settings)).address)


def milvus_uri(settings: Settings) -> str:
    """Where Milvus is: ``index.uri`` if set (with ``index.token``), else an embedded server, started if it is not up.

    Raises ServiceError where none can be had.
    """
    if settings.index.uri is not None:
        return settings.index.uri
    return supervisor.ensure(_milvus(settings)).address


def status(settings: Settings) -> list[ServiceStatus]:
    """The embedded services of this shop."""
    return [_status(server) for server in _servers(settings)]


def stop_all(settings: Settings) -> list[str]:
    """Stop the embedded services of this shop, even if a process uses them; data is kept.

    Returns the names of those that ran. Raises ServiceError if one does not stop.
    """
    return [server.name for server in _servers(settings) if supervisor.stop(server)]


def _status(server: Server) -> ServiceStatus:
    found = server.probe()
    return ServiceStatus(
        name=server.name,
        running=supervisor.is_running(server),
        used=supervisor.is_used(server),
        pid=found.pid if found else None,
        address=found.address if found else None,
        log=str(server.folder / "server.log"),
    )


def _redis(settings: Settings) -> RedisServer:
    return RedisServer(settings.paths.services / "redis")


def _milvus(settings: Settings) -> MilvusServer:
    return MilvusServer(settings.paths.services / "milvus")


def _servers(settings: Settings) -> list[Server]:
    return [_redis(settings), _milvus(settings)]
