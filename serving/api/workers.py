"""Where searches are answered: in the server's own process, or in one beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Protocol

from infra.settings import Settings
from serving.api.errors import NotReadyError
from serving.api.process_worker import ProcessWorker

if TYPE_CHECKING:
    from serving.retriever import Retriever

    Make = Callable[[Settings], Retriever]


class Worker(Protocol):
    """A searcher somewhere. For one event loop."""

    @property
    def pid(self) -> int | None:
        """Of the process that it is in; None: this one, or none now."""
        ...

    @property
    def ends(self) -> int:
        """How often its process ended without being told to."""
        ...

    @property
    def reason(self) -> str | None:
        """Why it answers nothing now; None where it does."""
        ...

    @property
    def release_id(self) -> str | None:
        """The release that answers; None before there is one."""
        ...

    @property
    def outstanding(self) -> int:
        """How much it was asked that it has not answered."""
        ...

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to come up; ``changed`` is called when it has."""
        ...

    def ask(self, operation: str, *arguments: Any) -> asyncio.Future[Any]:
        """What a method of :class:`serving.api.searcher.Searcher` returns or raises; NotReadyError where nothing
        answers, or whatever answered ended."""
        ...

    async def close(self) -> None:
        """Let what runs finish, then close the retriever."""
        ...


class ThreadWorker:
    """A searcher in this process, on ``settings.api.threads`` threads."""

    pid, ends = None, 0

    def __init__(self, settings: Settings, make: Make | None) -> None:
        from serving.api.searcher import Searcher

        self._searcher = Searcher(settings, make) if make else Searcher(settings)
        self._pool = ThreadPoolExecutor(settings.api.threads, thread_name_prefix="shelfwise-api")
        self.outstanding = 0

    @property
    def reason(self) -> str | None:
        """See :class:`Worker`."""
        return self._searcher.reason

    @property
    def release_id(self) -> str | None:
        """See :class:`Worker`."""
        return self._searcher.release_id

    def start(self, changed: Callable[[], None]) -> None:
        """See :class:`Worker`; nobody waits for one that comes up, so nobody is told."""
        self._searcher.start()

    def ask(self, operation: str, *arguments: Any) -> asyncio.Future[Any]:
        """See :class:`Worker`."""
        loop = asyncio.get_running_loop()
        try:
            # Its records carry the request's id.
            work = self._pool.submit(copy_context().run, getattr(self._searcher, operation), *arguments)
        except RuntimeError:  # the pool is shut down
            refused: asyncio.Future[Any] = loop.create_future()
            refused.set_exception(NotReadyError("the server stops"))
            return refused
        self.outstanding += 1
        # Counted down by the thread's end: a caller that hangs up does not free a thread that still works.
        work.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        return asyncio.wrap_future(work)

    async def close(self) -> None:
        """See :class:`Worker`."""
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self._searcher.close)

    def _done(self) -> None:
        self.outstanding -= 1


def workers_of(settings: Settings, make: Make | None = None) -> list[Worker]:
    """As many as ``settings.api.processes`` says.

    Args:
        make: makes a retriever; None: as ever. For a process of its own it is a function or a class of a module that
            can be imported there.
    """
    if settings.api.processes == 0:
        return [ThreadWorker(settings, make)]
    return [ProcessWorker(settings, make, number) for number in range(settings.api.processes)]
