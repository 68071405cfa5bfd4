"""Searches that arrive together are answered together.

One pass of tower, features and ranker costs a batch little more than a single search (docs/performance.md), and of a
process each batch has a thread at a time: searches of one process fight for the interpreter. Nobody is waited for: a
search that finds a thread free begins at once, alone; what arrives until a thread is free again is the next batch.
Whoever would not be answered within the deadline is refused, at best before anything was done for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from infra.settings import ApiSettings
from serving.answers import LARGEST_CACHED_K
from serving.api.batch_time import BatchTime
from serving.api.errors import OverloadedError
from serving.api.models import SearchRequest
from serving.api.outcomes import Answered
from serving.api.workers import Worker

BATCH_SHARE = 0.4
"""Of the deadline, that a batch may take: who waits for the one that runs is answered in the next, in time."""
QUEUE_SHARE = 0.8
"""Of the deadline, that waiting and the own batch may take; the rest is for reading, writing and what is misjudged."""

LEAST_SHARE = 0.25
"""Of the deadline, that a search may wait also where batches take longer than there is time for them: else next to none
would be answered by a machine that is that slow."""


class _Waiting(NamedTuple):
    request: SearchRequest
    answer: asyncio.Future[Answered]
    since: float
    """When it arrived, on the loop's clock."""


class Batches:
    """Answers searches on workers. For one event loop."""

    def __init__(self, workers: Sequence[Worker], settings: ApiSettings, deadline_s: float) -> None:
        """``deadline_s``: within which a search is to be answered."""
        self._running = dict.fromkeys(workers, 0)
        self._each, self._largest, self._most = settings.search_threads, settings.max_batch, settings.max_waiting
        self._deadline_s = deadline_s
        self._time = BatchTime()
        self._ends: dict[asyncio.Future[list[Answered | Exception]], float] = {}
        """When each batch that runs is expected to end."""
        self._waiting = deque[_Waiting]()
        self._timer: asyncio.TimerHandle | None = None

    async def search(self, request: SearchRequest) -> Answered:
        """The answer to one search.

        Raises:
            OverloadedError: it would wait too long.
            NotReadyError: what answered it ended.
            Whatever is wrong with the request.
        """
        overloaded = self.overloaded()
        if overloaded:
            raise OverloadedError(overloaded)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answered] = loop.create_future()
        self._waiting.append(_Waiting(request, answer, loop.time()))
        self.begin()
        return await answer

    def overloaded(self) -> str | None:
        """Why a search that arrives now is to be refused; None where it would be answered in time."""
        ahead = len(self._waiting)
        fitting = self._fitting
        batches_before = ahead // (fitting * self._each * max(1, self._ready))
        wait_s = self._until_free_s() + batches_before * self._time.expected(fitting)
        if ahead >= self._most or wait_s > self._patience_s(ahead + 1):
            return f"more is asked than can be answered in time, {ahead} searches wait: come back in a moment"
        return None

    def begin(self) -> None:
        """Have what waits answered, as far as there are workers for it; to be called when one comes up."""
        loop = asyncio.get_running_loop()
        while self._waiting and (worker := self._free()):
            batch = self._next()
            if not batch:
                break
            self._running[worker] += 1
            work = worker.ask("search", [one.request for one in batch])
            began = loop.time()
            self._ends[work] = began + self._time.expected(len(batch))
            work.add_done_callback(partial(self._end, worker, batch, began))
        self._refuse_at_the_deadline()

    @property
    def _ready(self) -> int:
        return sum(worker.reason is None for worker in self._running)

    def _free(self) -> Worker | None:
        """The worker that has least to do, of those that may begin a batch."""
        free = [worker for worker, running in self._running.items() if worker.reason is None and running < self._each]
        return min(free, key=lambda worker: worker.outstanding, default=None)

    def _next(self) -> list[_Waiting]:
        """The longest waiting ones; one that takes long by itself makes no other wait for it."""
        batch: list[_Waiting] = []
        largest = self._fitting
        while self._waiting and len(batch) < largest:
            if self._waiting[0].answer.cancelled():
                self._waiting.popleft()
                continue
            if batch and _takes_long(self._waiting[0].request):
                break
            batch.append(self._waiting.popleft())
            if _takes_long(batch[-1].request):
                break
        return batch

    def _end(
        self, worker: Worker, batch: list[_Waiting], began: float, work: asyncio.Future[list[Answered | Exception]]
    ) -> None:
        self._running[worker] -= 1
        del self._ends[work]
        failed = work.exception()
        answers = [failed] * len(batch) if failed is not None else work.result()
        if failed is None and not _takes_long(batch[0].request):
            self._time.learn(len(batch), asyncio.get_running_loop().time() - began)
        for one, answer in zip(batch, answers, strict=True):
            if one.answer.cancelled():
                continue
            if isinstance(answer, BaseException):
                one.answer.set_exception(answer)
            else:
                one.answer.set_result(answer)
        self._refuse_the_late()
        self.begin()

    @property
    def _fitting(self) -> int:
        """Searches that a batch may have."""
        return self._time.largest_within(BATCH_SHARE * self._deadline_s, self._largest)

    def _patience_s(self, waiting: int) -> float:
        """Longest that a search waits for its batch to begin where so many do."""
        left_s = QUEUE_SHARE * self._deadline_s - self._time.at_most(min(waiting, self._fitting))
        return max(left_s, LEAST_SHARE * self._deadline_s)

    def _until_free_s(self) -> float:
        """Until a batch can begin, if those that run take as long as such do."""
        if self._free() or not self._ends:
            return 0.0
        return max(0.0, min(self._ends.values()) - asyncio.get_running_loop().time())

    def _refuse_the_late(self) -> None:
        """Who waited past the deadline has gone, or is about to: no time is spent on them that others wait for."""
        late = asyncio.get_running_loop().time() - self._patience_s(len(self._waiting))
        while self._waiting and self._waiting[0].since <= late:
            answer = self._waiting.popleft().answer
            if not answer.cancelled():
                answer.set_exception(OverloadedError("it waited past the deadline: come back in a moment"))

    def _refuse_at_the_deadline(self) -> None:
        """See that who waits is refused in time, also where nothing else happens until then."""
        if self._timer is None and self._waiting:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(
                self._waiting[0].since + self._patience_s(len(self._waiting)), self._at_the_deadline
            )

    def _at_the_deadline(self) -> None:
        self._timer = None
        self._refuse_the_late()
        self._refuse_at_the_deadline()


def _takes_long(request: SearchRequest) -> bool:
    return request.explain or request.k > LARGEST_CACHED_K
