"""A process that searches for the server: started, asked over a socket, started again where it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING, Any

from infra.logs import current_ids
from infra.settings import Settings
from serving.api.errors import NotReadyError
from serving.api.frames import frame, receive_async

if TYPE_CHECKING:
    from serving.retriever import Retriever

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Until a process that ended is started again; twice as long each time that it does not come up, up to"""
AGAIN_AT_MOST_S = 30.0
LOADING = "loading the live release"


class ProcessWorker:
    """See :class:`serving.api.workers.Worker`."""

    def __init__(self, settings: Settings, make: Callable[[Settings], Retriever] | None, number: int) -> None:
        """``number``: by which logs name it."""
        self._settings, self._make, self._number = settings, make, number
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._ids = count()
        self._release_id: str | None = None
        self._reason: str | None = LOADING
        self._closing = False
        self._keeping: asyncio.Task[None] | None = None
        self._changed: Callable[[], None] = lambda: None
        self.ends = 0
        """How often it ended without being told to."""

    @property
    def reason(self) -> str | None:
        """See :class:`serving.api.workers.Worker`."""
        return self._reason

    @property
    def release_id(self) -> str | None:
        """See :class:`serving.api.workers.Worker`."""
        return self._release_id

    @property
    def outstanding(self) -> int:
        """See :class:`serving.api.workers.Worker`."""
        return len(self._asked)

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process else None

    def start(self, changed: Callable[[], None]) -> None:
        """See :class:`serving.api.workers.Worker`."""
        self._changed = changed
        self._keeping = asyncio.create_task(self._keep())

    def ask(self, operation: str, *arguments: Any) -> asyncio.Future[Any]:
        """See :class:`serving.api.workers.Worker`."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if self._writer is None or self._reason is not None:
            answer.set_exception(NotReadyError(self._reason or LOADING))
            return answer
        number = next(self._ids)
        self._asked[number] = answer
        self._writer.write(frame((number, dict(current_ids()), operation, arguments)))
        return answer

    async def close(self) -> None:
        """See :class:`serving.api.workers.Worker`. One that does not end in time is killed."""
        self._closing = True
        if self._keeping is None:
            return
        if self._asked:
            await asyncio.wait(self._asked.values(), timeout=self._settings.api.shutdown_seconds)
        if self._writer is not None:
            self._writer.close()  # the end of what it reads tells it to close its retriever and end
        process = self._process
        if process is not None:
            try:
                await asyncio.to_thread(process.wait, self._settings.api.shutdown_seconds)
            except subprocess.TimeoutExpired:
                log.warning("search process %d did not end, and is killed", self._number)
                process.kill()
        self._keeping.cancel()
        await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        pause = AGAIN_S
        while True:
            try:
                came_up = await self._run()
            except OSError as error:
                log.error("search process %d cannot be started: %s", self._number, error)
                came_up = False
            if self._closing:
                return
            self.ends += 1
            pause = AGAIN_S if came_up else min(2 * pause, AGAIN_AT_MOST_S)
            await asyncio.sleep(pause)

    async def _run(self) -> bool:
        """Start a process and hear it until it ends; whether it had come up."""
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "serving.api.worker_process", str(theirs.fileno())]
            process = self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        writer.write(frame((self._settings, self._make)))
        self._writer = writer
        came_up = False
        try:
            while True:
                told = await receive_async(reader)
                if told[0] is None:
                    _, self._release_id, self._reason = told
                    came_up |= self._reason is None
                    self._changed()
                else:
                    self._answered(*told)
        except (EOFError, OSError):
            pass
        except Exception:
            log.exception("search process %d says what cannot be read, and is killed", self._number)
            process.kill()
        finally:
            self._writer, self._release_id = None, None
            self._reason = "the server stops" if self._closing else "the process that searches ended, and starts again"
            writer.close()
        status = await asyncio.to_thread(process.wait)
        lost, self._asked = self._asked, {}
        if not self._closing:
            log.error(
                "search process %d %s with %d requests in it, and is started again",
                self._number, _how_it_ended(status), len(lost),
            )  # fmt: skip
        for answer in lost.values():
            if not answer.done():
                answer.set_exception(NotReadyError("the process that searched for it ended: ask again"))
        return came_up

    def _answered(self, number: int, answer: Any, error: Exception | None) -> None:
        asked = self._asked.pop(number, None)
        if asked is None or asked.done():  # who asked has hung up
            return
        if error is None:
            asked.set_result(answer)
        else:
            asked.set_exception(error)


def _how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    with suppress(ValueError):
        return f"was ended by {signal.Signals(-status).name}"
    return f"was ended by signal {-status}"
