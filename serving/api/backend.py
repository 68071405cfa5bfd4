"""The retriever behind the API: warmed up beside the server, called on a bounded number of threads."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from features.store.errors import OnlineStoreUnavailable
from infra.contract.request import Request
from infra.services import ServiceError
from infra.settings import Settings
from serving.api.batching import Batches, OverloadedError
from serving.errors import BadRequest, IncompleteCollection, IndexUnavailable, NoLiveRelease
from serving.item_updates.rows import ItemUpdate
from serving.retrieval import ONLINE_STORE_UNAVAILABLE, Retrieval
from serving.retriever import Retriever
from serving.ubi_log.intake import UserEvent
from training.release.manifest import ReleaseError
from training.text import TextEncoderError

log = logging.getLogger(__name__)

RETRY_S = 2.0
"""Until the next attempt where nothing could be loaded."""
EXPECTED = (NoLiveRelease, IndexUnavailable, ReleaseError, ServiceError, TextEncoderError)
"""What keeps a retriever from starting and says in a sentence what to do."""
PUSH_AGAIN = "`shelfwise promote ID` does (`shelfwise releases` has the ID), `shelfwise rollback` serves the one before"

T = TypeVar("T")


class BadInputError(ValueError):
    """Input that the retriever refuses, in its own sentence."""


class NotReadyError(RuntimeError):
    """Nothing can be answered yet; the message says why."""


class Recorded(NamedTuple):
    """What became of an event."""

    away: list[str]
    """What it is lost to."""
    unknown_item: bool


class Backend:
    """A retriever that comes up in the background. Call it from one event loop."""

    def __init__(self, settings: Settings, make: Callable[[Settings], Retriever] = Retriever) -> None:
        self._settings = settings
        self._make = make
        self._retriever: Retriever | None = None
        self._reason = "loading the live release"
        self._pool = ThreadPoolExecutor(settings.api.threads, thread_name_prefix="shelfwise-api")
        self._most = settings.api.threads + settings.api.max_waiting
        self._pending = 0
        self._batches = Batches(
            self._pool, self._retrieve_many, settings.api, deadline_s=settings.serving.deadline_ms / 1000
        )
        self._starting: asyncio.Task[None] | None = None
        self._made: Future[Retriever] | None = None
        """The retriever that is being made or was: whoever ends the waiting for it still has to close it."""

    @property
    def reason(self) -> str | None:
        """Why nothing is answered yet; None once searches are."""
        return None if self._retriever else self._reason

    @property
    def release_id(self) -> str | None:
        """The release that answers now; None before there is one."""
        return self._retriever.release_id if self._retriever else None

    def start(self) -> None:
        """Begin to warm up; tries again until something is live."""
        self._starting = asyncio.create_task(self._start())

    async def close(self) -> None:
        """Let what runs finish, then close the retriever, also one that was still being made."""
        if self._starting:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown)
        self._retriever = None
        made, self._made = self._made, None
        if made and not made.cancelled() and made.exception() is None:
            await asyncio.to_thread(made.result().close)

    async def search(self, request: Request) -> Retrieval:
        """Retrieve on a thread, together with what else waits.

        Raises:
            BadInputError: the message says what is wrong.
            NotReadyError, OverloadedError: not now.
        """
        if self._retriever is None:
            raise NotReadyError(self._reason)
        try:
            return await self._batches.search(request)
        except BadRequest as error:
            raise BadInputError(str(error)) from error

    async def record(
        self, user: str | None, action: str, query: str | None, item_id: str | None, time: datetime | None
    ) -> Recorded:
        """Record an event, unless it is nobody's.

        Raises:
            BadInputError: an event that makes no sense.
            NotReadyError, OverloadedError: not now.
        """

        def record(retriever: Retriever) -> Recorded:
            unknown = item_id is not None and not retriever.knows(item_id)
            try:
                retriever.record(user, action, query=query, item_id=item_id, time=time)
            except OnlineStoreUnavailable:
                return Recorded([ONLINE_STORE_UNAVAILABLE], unknown)
            return Recorded([], unknown)

        return await self._run(record)

    async def record_all(self, events: Sequence[UserEvent]) -> bool:
        """Record several events; whether the online store was away. One that it refuses is passed over.

        Raises:
            NotReadyError, OverloadedError: not now.
        """

        def record(retriever: Retriever) -> bool:
            for one in events:
                with suppress(BadRequest):
                    retriever.record(one.user, one.action, query=one.query, item_id=one.item_id, time=one.time)
            return False

        try:
            return await self._run(record)
        except OnlineStoreUnavailable:
            return True

    async def items(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """What the catalogue says of each item."""
        return await self._run(lambda r: r.items(item_ids))

    async def fields(self) -> list[dict[str, Any]]:
        """What can be filtered by."""
        return await self._run(lambda r: r.fields())

    async def users(self) -> list[str]:
        """Some known users."""
        return await self._run(lambda r: r.users(self._settings.api.sample_users))

    async def update_items(self, updates: Sequence[ItemUpdate]) -> dict[str, int]:
        """Say what is new of items; how many have updates now.

        Raises:
            BadInputError: a row is wrong; none was taken.
            NotReadyError, OverloadedError: not now.
        """
        try:
            return await self._run(lambda r: r.update_items(updates))
        except OnlineStoreUnavailable as error:
            raise NotReadyError(f"nothing was taken, send it again: {error}") from error

    def statistics(self) -> Mapping[str, Any]:
        """What the retriever counts of its caches and of updates of items."""
        return self._retriever.statistics() if self._retriever else {}

    def _retrieve_many(self, requests: Sequence[Request]) -> list[Retrieval]:
        retriever = self._retriever
        if retriever is None:
            raise NotReadyError("the server stops")
        return retriever.retrieve_many(requests)

    async def _run(self, call: Callable[[Retriever], T]) -> T:
        retriever = self._retriever
        if retriever is None:
            raise NotReadyError(self._reason)
        if self._pending >= self._most:
            raise OverloadedError(f"{self._pending} requests are in progress: come back in a moment")
        self._pending += 1
        future = self._pool.submit(copy_context().run, call, retriever)  # its records carry the request's id
        # Counted down by the thread's end: a caller that hangs up does not free a thread that still works.
        loop = asyncio.get_running_loop()
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._done))
        try:
            return await asyncio.wrap_future(future)
        except BadRequest as error:
            raise BadInputError(str(error)) from error

    def _done(self) -> None:
        self._pending -= 1

    async def _start(self) -> None:
        while self._retriever is None:
            try:
                self._made = self._pool.submit(self._make, self._settings)
                self._retriever = await asyncio.wrap_future(self._made)
                log.info("release %s serves", self._retriever.release_id)
            except EXPECTED as error:
                self._wait_for(str(error))
            except IncompleteCollection as error:
                self._wait_for(f"{error}: {PUSH_AGAIN}")
            except Exception as error:
                log.exception("the retriever could not be made")
                self._wait_for(f"the retriever could not be made ({type(error).__name__}); the server's log says more")
            if self._retriever is None:
                await asyncio.sleep(RETRY_S)

    def _wait_for(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("not ready: %s", reason)
        self._reason = reason
