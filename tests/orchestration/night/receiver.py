"""A webhook receiver that listens on loopback and can be down, slow or unwilling."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Receiver:
    """What came in, and how the next ones are answered."""

    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    """Of the messages that were taken."""
    asked: int = 0
    """Requests in all."""
    answers: list[int] = field(default_factory=list)
    """Statuses of the next answers, the first first; 200 when there are no more."""
    slow_s: float = 0.0


@contextmanager
def receiving(port: int = 0) -> Iterator[Receiver]:
    """A receiver while the block runs."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            receiver.asked += 1
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status = receiver.answers.pop(0) if receiver.answers else 200
            time.sleep(receiver.slow_s)
            if status == 200:
                receiver.bodies.append(body)
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "2")
            with suppress(ConnectionError):  # the caller may have hung up
                self.end_headers()
                self.wfile.write(b"ok")

        def do_GET(self) -> None:  # where a redirected POST would arrive
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    receiver.url = f"http://127.0.0.1:{server.server_port}/services/T0/SECRET"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
