"""The process that serves milvus-lite: ``python -m infra.services.milvus_server DATA_FOLDER STATE_FILE``.

``milvus-lite server`` wants a port chosen beforehand and saves its data only on Ctrl-C, which a detached process does
not get; this binds a free port, writes it down once it answers, and closes the data on SIGTERM.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

from infra.services.processes import started_at

HOST = "127.0.0.1"


def serve(data: Path, state: Path) -> None:
    """Serve the data folder until SIGTERM."""
    signals = {signal.SIGTERM, signal.SIGINT}
    # Before the import, whose threads would otherwise take the signal and end the process with the data open.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    from milvus_lite.adapter.grpc.server import start_server_in_thread

    data.mkdir(parents=True, exist_ok=True)
    server, database, port = start_server_in_thread(data_dir=str(data), host=HOST, port=_port(state))
    temporary = state.with_suffix(".tmp")
    temporary.write_text(
        json.dumps({"pid": os.getpid(), "started_at": started_at(os.getpid()), "port": port}), encoding="utf-8"
    )
    temporary.replace(state)
    signal.sigwait(signals)
    server.stop(grace=2).wait()
    database.close()


def _port(state: Path) -> int:
    """The port of the last time, so that clients that are still open find the server again; 0, any, if it is taken."""
    if not state.exists():
        return 0
    port = int(json.loads(state.read_text(encoding="utf-8"))["port"])
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # gRPC itself would share the port with another gRPC server rather than fail.
            probe.bind((HOST, port))
        except OSError:
            return 0
    return port


if __name__ == "__main__":
    serve(Path(sys.argv[1]), Path(sys.argv[2]))
