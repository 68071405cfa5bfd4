"""``python -m serving.api.worker_process FD``: a process that searches for a server, asked over an inherited socket.

Started by :mod:`serving.api.process_worker`; the first object that it reads is the settings and what makes a retriever.
It ends when the server closes the socket, or ends itself.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from infra.telemetry import silence
from infra.threads import wait_quietly

LOOK_S = 0.1
"""Between two looks whether it came up, or another release serves."""


def main(descriptor: int) -> None:
    """Search until the server has no more to ask."""
    # Who stops the server by Ctrl-C or its group by a signal means the server, which lets requests finish first.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    silence()
    wait_quietly()
    from serving.api.frames import frame, receive
    from serving.api.logs import write_logs
    from serving.api.searcher import Searcher

    channel = socket.socket(fileno=descriptor)
    stream = channel.makefile("rb")
    settings, make = receive(stream)
    searcher = Searcher(settings, make) if make else Searcher(settings)
    write_logs(settings, lambda: searcher.release_id)
    sending, stop = threading.Lock(), threading.Event()

    def send(told: bytes) -> None:
        with sending, suppress(OSError):  # a server that has gone hears nothing; the reader below sees that, and ends
            channel.sendall(told)

    def tell_state() -> None:
        said = None
        while not stop.is_set():
            state = None, searcher.release_id, searcher.reason
            if state != said:
                send(frame(state))
                said = state
            stop.wait(LOOK_S)

    def answer(number: int, ids: dict[str, Any], operation: str, arguments: Sequence[Any]) -> None:
        found, error = _answer(searcher, ids, operation, arguments)
        send(frame((number, found, error)))

    searcher.start()
    telling = threading.Thread(target=tell_state, name="shelfwise-state", daemon=True)
    telling.start()
    with ThreadPoolExecutor(settings.api.threads, thread_name_prefix="shelfwise-api") as pool:
        try:
            while True:
                pool.submit(answer, *receive(stream))
        except (EOFError, OSError):
            stop.set()
    searcher.close()
    logging.shutdown()
    os._exit(0)  # at an ordinary end libraries complain of one another's leaks


def _answer(searcher: Any, ids: dict[str, Any], operation: str, arguments: Sequence[Any]) -> tuple[Any, Any]:
    """What the searcher returns, or else what it raises."""
    from infra.logs import logged_with

    with logged_with(**ids):
        try:
            found = getattr(searcher, operation)(*arguments)
        except Exception as error:
            return None, _told(error)
    if operation == "search":
        found = [_told(one) if isinstance(one, Exception) else one for one in found]
    return found, None


def _told(error: Exception) -> Exception:
    """What the server can read of an error; of one that is a fault, the traceback stays here."""
    from serving.api.errors import BadInputError, NotReadyError

    if isinstance(error, BadInputError | NotReadyError):
        return error
    logging.getLogger(__name__).error("a request failed", exc_info=error)
    return RuntimeError(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    main(int(sys.argv[1]))
