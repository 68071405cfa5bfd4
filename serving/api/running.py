"""The server of a shop that runs on this machine: its address lies in the shop's folder while it is up.

A note that a killed server left names a process that is gone, or a later one of its id, and is passed over. Of several
servers of a shop the one that came up last is found.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from infra.services.processes import started_at
from serving.api.auth import own_key

if TYPE_CHECKING:
    from infra.settings import Settings
    from serving.retrieval import Retrieval

NOTE = "server.json"
TIMEOUT_S = 10.0
"""Longest that an answer is waited for."""


class RunningServer(NamedTuple):
    """A process that serves the shop over HTTP."""

    host: str
    """By which this machine reaches it."""
    port: int
    pid: int
    started_at: float
    """When the process was started, in seconds since 1970: tells it from a later one of its id."""


@contextmanager
def noted(settings: Settings, host: str, port: int) -> Iterator[None]:
    """Say within the block where this process serves; the folder of the shop has to be there, else nothing is said."""
    note = settings.paths.root / NOTE
    started = started_at(os.getpid())
    if started is None or not note.parent.is_dir():
        yield
        return
    own = RunningServer(_reached_by(host), port, os.getpid(), started)
    temporary = note.with_suffix(f".{own.pid}")
    temporary.write_text(json.dumps(own._asdict()), encoding="utf-8")
    temporary.replace(note)
    try:
        yield
    finally:
        if _read(note) == own:
            with suppress(FileNotFoundError):
                note.unlink()


def running_server(settings: Settings) -> RunningServer | None:
    """The server of the shop on this machine; None where there is none."""
    found = _read(settings.paths.root / NOTE)
    return found if found is not None and started_at(found.pid) == found.started_at else None


def search_by(server: RunningServer, settings: Settings, asked: dict[str, Any]) -> Retrieval | None:
    """What a running server answers to ``POST /search``; None where it gives no answer: it is not ready, has another
    key, refuses the request or does not answer in time. It is not logged as a search of the shop's."""
    headers = {"Content-Type": "application/json"}
    key = own_key(settings.api)
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    connection = http.client.HTTPConnection(server.host, server.port, timeout=TIMEOUT_S)
    try:
        connection.request("POST", "/search", json.dumps({**asked, "shown": 0}), headers)
        response = connection.getresponse()
        answer = response.read()
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    if response.status != http.client.OK:
        return None
    from pydantic import TypeAdapter

    from serving.retrieval import Retrieval

    return TypeAdapter(Retrieval).validate_json(answer)


def _read(note: Path) -> RunningServer | None:
    try:
        told = json.loads(note.read_text(encoding="utf-8"))
        return RunningServer(str(told["host"]), int(told["port"]), int(told["pid"]), float(told["started_at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _reached_by(host: str) -> str:
    """The address by which this machine reaches a server that listens on ``host``: one that listens everywhere is on
    loopback too."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"
