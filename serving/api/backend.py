"""What the routes ask: searches in batches, all else one by one, of whichever worker has least to do."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from infra.settings import Settings
from serving.api.batching import Batches
from serving.api.errors import NotReadyError, OverloadedError
from serving.api.models import SearchRequest
from serving.api.outcomes import Answered, Recorded
from serving.api.statistics import Statistics
from serving.api.workers import Worker, workers_of
from serving.item_updates.rows import ItemUpdate
from serving.ubi_log.intake import UserEvent

if TYPE_CHECKING:
    from serving.api.workers import Make

TELL_S = 1.0
"""Longest that a worker is waited for that is told what another one did, or asked what it counted."""


class Backend:
    """Workers that come up in the background. Call it from one event loop."""

    def __init__(self, settings: Settings, make: Make | None = None) -> None:
        """``make``: see :func:`serving.api.workers.workers_of`."""
        self._workers: list[Worker] = workers_of(settings, make)
        self._statistics = Statistics(len(self._workers))
        self._most = settings.api.threads + settings.api.max_waiting
        self._pending = 0
        self._batches = Batches(self._workers, settings.api, deadline_s=settings.serving.deadline_ms / 1000)

    @property
    def reason(self) -> str | None:
        """Why nothing is answered yet; None once searches are."""
        reasons = [worker.reason for worker in self._workers]
        return None if None in reasons else reasons[0]

    @property
    def release_id(self) -> str | None:
        """The release that answers now; None before there is one. See :attr:`release_ids`."""
        return next(iter(self.release_ids), None)

    @property
    def release_ids(self) -> list[str]:
        """The releases that answer now; several for as long as workers take to see a promotion."""
        told = [worker.release_id for worker in self._workers if worker.reason is None]
        return list(dict.fromkeys(release_id for release_id in told if release_id))

    @property
    def answering(self) -> int:
        """How many workers answer now."""
        return sum(worker.reason is None for worker in self._workers)

    @property
    def processes(self) -> list[int]:
        """Ids of the processes that search beside this one."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def ends(self) -> int:
        """How often one of these ended without being told to."""
        return sum(worker.ends for worker in self._workers)

    def start(self) -> None:
        """Begin to warm up; tries again until something is live."""
        gc.collect()
        gc.freeze()
        for worker in self._workers:
            worker.start(self._batches.begin)

    async def close(self) -> None:
        """Let what runs finish, then close the retrievers, also those that were still being made."""
        await asyncio.gather(*(worker.close() for worker in self._workers))

    def overloaded(self) -> str | None:
        """Why a search that arrives now is to be refused; None where it would be answered in time."""
        return self._batches.overloaded()

    async def search(self, request: SearchRequest) -> Answered:
        """Retrieve, together with what else waits.

        Raises:
            BadInputError: the message says what is wrong.
            NotReadyError, OverloadedError: not now.
        """
        self._ready_workers()
        return await self._batches.search(request)

    async def record(
        self, user: str | None, action: str, query: str | None, item_id: str | None, time: datetime | None
    ) -> Recorded:
        """Record an event, unless it is nobody's.

        Raises:
            BadInputError: an event that makes no sense.
            NotReadyError, OverloadedError: not now.
        """
        known = [] if user is None else [user]
        recorded: Recorded = await self._one("record", user, action, query, item_id, time, told="forget", to=known)
        return recorded

    async def record_all(self, events: Sequence[UserEvent]) -> bool:
        """Record several events; whether the online store was away. One that it refuses is passed over.

        Raises:
            NotReadyError, OverloadedError: not now.
        """
        away: bool = await self._one("record_all", events, told="forget", to=[event.user for event in events])
        return away

    async def items(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """What the catalogue says of each item."""
        found: list[dict[str, Any]] = await self._one("items", item_ids)
        return found

    async def fields(self) -> list[dict[str, Any]]:
        """What can be filtered by."""
        found: list[dict[str, Any]] = await self._one("fields")
        return found

    async def users(self) -> list[str]:
        """Some known users."""
        found: list[str] = await self._one("users")
        return found

    async def update_items(self, updates: Sequence[ItemUpdate]) -> dict[str, int]:
        """Say what is new of items; how many have updates now.

        Raises:
            BadInputError: a row is wrong; none was taken.
            NotReadyError, OverloadedError: not now.
        """
        counts: dict[str, int] = await self._one("update_items", updates, told="read_item_updates")
        return counts

    async def statistics(self) -> Mapping[str, Any]:
        """What the retrievers count of their caches and of updates of items, as one; empty before there is one."""
        asked = {n: worker.ask("statistics") for n, worker in enumerate(self._workers) if worker.reason is None}
        if asked:
            await asyncio.wait(asked.values(), timeout=TELL_S)
        for number, told in asked.items():
            if told.done() and told.exception() is None:
                self._statistics.told(number, self._workers[number].ends, told.result())
        return self._statistics.together() if asked else {}

    def _ready_workers(self) -> list[Worker]:
        ready = [worker for worker in self._workers if worker.reason is None]
        if not ready:
            raise NotReadyError(self.reason or "nothing answers")
        return ready

    async def _one(self, operation: str, *arguments: Any, told: str = "", to: Sequence[Any] | None = None) -> Any:
        """What one worker answers; then the others are ``told`` by the operation of that name, before who asked is."""
        ready = self._ready_workers()
        if self._pending >= self._most:
            raise OverloadedError(f"{self._pending} requests are in progress: come back in a moment")
        asked = min(ready, key=lambda worker: worker.outstanding)
        work = asyncio.ensure_future(asked.ask(operation, *arguments))
        self._pending += 1
        work.add_done_callback(self._done)
        # A caller that hangs up does not free a place where work goes on.
        answer = await asyncio.shield(work)
        others = [worker.ask(told, *([] if to is None else [to])) for worker in ready if told and worker is not asked]
        if others:
            # One that ended meanwhile, or fails, reads all anew or says so in its own log.
            _, late = await asyncio.wait(others, timeout=TELL_S)
            for other in set(others) - late:
                other.exception()
        return answer

    def _done(self, work: asyncio.Future[Any]) -> None:
        self._pending -= 1
        if not work.cancelled():
            work.exception()  # read, also where who asked has hung up
