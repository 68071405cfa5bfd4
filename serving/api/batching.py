"""Searches that arrive while others are answered are answered together, in the order in which they came.

One at a time they fight for the interpreter: the more threads, the fewer answers. Nobody is waited for: a search that
finds a thread free begins at once, alone; what arrives until a thread is free again is the next batch.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from typing import NamedTuple

from infra.contract.request import Request
from infra.settings import ApiSettings
from serving.answers import LARGEST_CACHED_K
from serving.errors import IndexUnavailable, NoLiveRelease
from serving.retrieval import Retrieval

Answers = list[Retrieval | Exception]
NEWEST = 0.2
"""Weight of the newest batch in the mean of how long one takes."""


class OverloadedError(RuntimeError):
    """More requests wait than can be answered in time."""


class _Waiting(NamedTuple):
    request: Request
    answer: asyncio.Future[Retrieval]
    until: float
    """When it has waited too long, on the loop's clock."""


class Batches:
    """Answers searches on a few threads of ``pool``. For one event loop."""

    def __init__(
        self,
        pool: Executor,
        retrieve_many: Callable[[Sequence[Request]], list[Retrieval]],
        settings: ApiSettings,
        deadline_s: float,
    ) -> None:
        """``deadline_s``: longest that a search is to wait for those before it."""
        self._pool, self._retrieve_many = pool, retrieve_many
        self._threads, self._largest, self._most = settings.search_threads, settings.max_batch, settings.max_waiting
        self._deadline_s = deadline_s
        self._waiting = deque[_Waiting]()
        self._running = 0
        self._batch_s = 0.0

    async def search(self, request: Request) -> Retrieval:
        """The answer to one search.

        Raises:
            OverloadedError: it would wait too long.
            Whatever ``retrieve_many`` raises at it.
        """
        self._refuse_where_overloaded()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Retrieval] = loop.create_future()
        self._waiting.append(_Waiting(request, answer, loop.time() + self._deadline_s))
        self._begin()
        return await answer

    def _refuse_where_overloaded(self) -> None:
        ahead = len(self._waiting)
        full_batches = ahead // self._largest
        if ahead >= self._most or full_batches * self._batch_s / self._threads > self._deadline_s:
            raise OverloadedError(f"{ahead} searches wait already: come back in a moment")

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting and self._running < self._threads:
            batch = self._next()
            if not batch:
                return
            self._running += 1
            began = loop.time()

            def ended(work: Future[Answers], batch: list[_Waiting] = batch, began: float = began) -> None:
                loop.call_soon_threadsafe(self._end, batch, work, began)

            try:
                work = self._pool.submit(self._answers, [one.request for one in batch])
            except RuntimeError:  # the pool is shut down
                self._running -= 1
                for one in batch:
                    one.answer.set_exception(OverloadedError("the server stops"))
            else:
                work.add_done_callback(ended)

    def _next(self) -> list[_Waiting]:
        """The longest waiting ones; one that takes long by itself makes no other wait for it."""
        batch: list[_Waiting] = []
        while self._waiting and len(batch) < self._largest:
            if self._waiting[0].answer.cancelled():
                self._waiting.popleft()
                continue
            if batch and _takes_long(self._waiting[0].request):
                break
            batch.append(self._waiting.popleft())
            if _takes_long(batch[-1].request):
                break
        return batch

    def _answers(self, requests: Sequence[Request]) -> Answers:
        """Of each request an answer or what went wrong with it: a bad one does not spoil those beside it."""
        try:
            return list(self._retrieve_many(requests))
        except (NoLiveRelease, IndexUnavailable) as error:
            # Of the server, which would fail at each as well, and take as long for every one of them.
            return [error] * len(requests)
        except Exception as error:
            if len(requests) == 1:
                return [error]
            return [answer for request in requests for answer in self._answers([request])]

    def _end(self, batch: list[_Waiting], work: Future[Answers], began: float) -> None:
        self._running -= 1
        seconds = asyncio.get_running_loop().time() - began
        self._batch_s += NEWEST * (seconds - self._batch_s)
        for one, answer in zip(batch, work.result(), strict=True):
            if one.answer.cancelled():
                continue
            if isinstance(answer, Exception):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
        self._refuse_the_late()
        self._begin()

    def _refuse_the_late(self) -> None:
        """Who waited past the deadline has gone, or is about to: no time is spent on them that others wait for."""
        now = asyncio.get_running_loop().time()
        while self._waiting and self._waiting[0].until < now:
            late = self._waiting.popleft().answer
            if not late.cancelled():
                late.set_exception(OverloadedError("it waited past the deadline: come back in a moment"))


def _takes_long(request: Request) -> bool:
    return request.explain or request.k > LARGEST_CACHED_K
