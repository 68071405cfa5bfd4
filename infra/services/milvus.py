"""The embedded Milvus: milvus-lite as a local server process, because it locks its folder to one process."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

from infra.services.processes import started_at
from infra.services.supervisor import Running

PROBE_SECONDS = 0.5


class MilvusServer:
    """milvus-lite on a free loopback port (the one it had before, if that is free), its data in ``folder``/data."""

    name = "Milvus"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._state = folder / "server.json"

    def command(self) -> list[str]:
        """See Server."""
        return [sys.executable, "-m", "infra.services.milvus_server", str(self.folder / "data"), str(self._state)]

    def probe(self) -> Running | None:
        """See Server."""
        state = self._read()
        if state is None:
            return None
        pid, port = state
        try:
            socket.create_connection(("127.0.0.1", port), timeout=PROBE_SECONDS).close()
        except OSError:
            return None
        return Running(pid, f"http://127.0.0.1:{port}")

    def last_pid(self) -> int | None:
        """See Server."""
        state = self._read()
        return state[0] if state else None

    def _read(self) -> tuple[int, int] | None:
        """(process id, port) that the server wrote down, if that process is still the one that wrote it."""
        try:
            state = json.loads(self._state.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        pid = int(state["pid"])
        return (pid, int(state["port"])) if started_at(pid) == state["started_at"] else None
