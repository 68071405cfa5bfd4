"""Searches that arrive together are answered together, each as it would be alone, and overload is refused early."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any

import pytest

from infra.contract.request import Request
from infra.settings import ApiSettings, Settings
from serving.api.batch_time import BatchTime
from serving.api.batching import Batches
from serving.api.errors import BadInputError, NotReadyError, OverloadedError
from serving.api.models import SearchRequest
from serving.api.outcomes import Answered
from serving.api.workers import ThreadWorker
from serving.errors import IndexUnavailable
from serving.retrieval import Retrieval
from serving.retriever import Retriever
from tests.serving.small_shop import Shop

WAIT_S = 60
QUERIES = ["red shoes", "blue mug", "lamp", "red sheos", "shoes acme", "", "mug", "i6"]


class Held(Retriever):
    """A retriever whose first call waits until it is let go; it notes the size of each batch."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.sizes: list[int] = []
        self.began, self.let_go = threading.Event(), threading.Event()

    def retrieve_many(self, requests: Sequence[Request]) -> list[Retrieval]:
        self.sizes.append(len(requests))
        self.began.set()
        assert self.let_go.wait(WAIT_S)
        return super().retrieve_many(requests)


@pytest.fixture(scope="module")
def settings(shop: Shop) -> Settings:
    # No caches: an answer that was kept would be the same by itself.
    serving = shop.settings.serving.model_copy(update={"cache_size": 0})
    return shop.settings.model_copy(update={"serving": serving})


@pytest.fixture(scope="module")
def retriever(settings: Settings) -> Iterator[Retriever]:
    with Retriever(settings) as retriever:
        yield retriever


def run(
    settings: Settings,
    use: Callable[[Batches, Any], Awaitable[None]],
    deadline_s: float = WAIT_S,
    make: type[Held] = Held,
    **changes: int,
) -> list[int]:
    """Use batches over a retriever that is held; the sizes of the batches that it got."""
    made: list[Held] = []

    def make_held(settings: Settings) -> Held:
        made.append(make(settings))
        return made[0]

    async def in_loop() -> None:
        worker = ThreadWorker(settings, make_held)
        worker.start(lambda: None)
        while worker.reason is not None:
            await asyncio.sleep(0.02)
        await use(Batches([worker], ApiSettings.model_validate(changes), deadline_s), made[0])
        await worker.close()

    asyncio.run(in_loop())
    return made[0].sizes


async def waiting(batches: Batches, requests: Sequence[SearchRequest]) -> list[asyncio.Task[Answered]]:
    """Searches that have all arrived."""
    tasks = [asyncio.create_task(batches.search(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


def test_what_waits_is_answered_together_as_it_would_be_alone(settings: Settings, retriever: Retriever) -> None:
    requests = [
        SearchRequest(user=user, query=query, k=k, filters=filters)
        for query in QUERIES
        for user, k, filters in (("u1", 10, None), (None, 20, None), ("u1", 10, {"price": {"lt": 50}}))
    ]
    alone = [retriever.retrieve_many([request])[0] for request in requests]

    async def use(batches: Batches, held: Held) -> None:
        tasks = await waiting(batches, requests)
        assert await asyncio.to_thread(held.began.wait, WAIT_S)
        held.let_go.set()
        for task, expected in zip(tasks, alone, strict=True):
            answer = await task
            told = json.loads(answer.body)
            assert answer.hits == [hit["item_id"] for hit in told["hits"]] == [hit.item_id for hit in expected.hits]
            assert [hit["score"] for hit in told["hits"]] == pytest.approx([h.score for h in expected.hits], abs=1e-4)
            assert told.get("confident") == expected.confident
            assert (answer.personalized, answer.corrected, answer.fallbacks) == (
                expected.personalized, expected.corrected, expected.fallbacks,
            )  # fmt: skip

    sizes = run(settings, use, search_threads=1, max_batch=16)
    assert sizes == [1, 16, len(requests) - 17]


def test_a_bad_one_is_refused_alone_and_a_long_one_delays_none_before_it(settings: Settings) -> None:
    good, bad, long = (
        SearchRequest(user=None, query="mug"),
        SearchRequest(user=None, query="x" * 2_000),
        SearchRequest(user=None, query="mug", explain=True),
    )

    async def use(batches: Batches, held: Held) -> None:
        first, *tasks = await waiting(batches, [good, good, bad, good, long, good])
        held.let_go.set()
        found = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [type(answer) for answer in found] == [
            Answered, Answered, BadInputError, Answered, Answered, Answered,
        ]  # fmt: skip

    # The batch of three, each of it alone as one was bad, then the long one and what came after it.
    assert run(settings, use, search_threads=1) == [1, 3, 1, 1, 1, 1, 1]


def test_overload_is_refused_at_once_and_is_over_when_the_queue_is_short(settings: Settings) -> None:
    mug = SearchRequest(user=None, query="mug")

    async def use(batches: Batches, held: Held) -> None:
        tasks = await waiting(batches, [mug] * 4)
        assert batches.overloaded()
        with pytest.raises(OverloadedError, match="3 searches wait"):
            await batches.search(mug)
        tasks[-1].cancel()  # hung up
        held.let_go.set()
        await asyncio.gather(*tasks[:-1])
        assert batches.overloaded() is None
        await batches.search(mug)

    assert run(settings, use, search_threads=1, max_waiting=3) == [1, 2, 1]


def test_who_would_wait_past_the_deadline_is_refused(settings: Settings) -> None:
    mug = SearchRequest(user=None, query="mug")

    async def use(batches: Batches, held: Held) -> None:
        held.let_go.set()
        await batches.search(mug)  # tells how long one takes
        held.let_go.clear()
        (running,) = await waiting(batches, [mug])
        with pytest.raises(OverloadedError, match="answered in time, 0 searches wait"):
            await batches.search(mug)
        held.let_go.set()
        assert isinstance(await running, Answered)

    run(settings, use, deadline_s=1e-9, search_threads=1, max_batch=1)


def test_who_waits_is_refused_at_the_deadline_also_while_a_batch_goes_on(settings: Settings) -> None:
    mug = SearchRequest(user=None, query="mug")

    async def use(batches: Batches, held: Held) -> None:
        running, late = await waiting(batches, [mug] * 2)
        with pytest.raises(OverloadedError, match="past the deadline"):
            await asyncio.wait_for(late, WAIT_S)
        assert not running.done()
        held.let_go.set()
        assert isinstance(await running, Answered)

    assert run(settings, use, deadline_s=0.1, search_threads=1) == [1]


def test_a_worker_that_is_closed_answers_that_the_server_stops(settings: Settings) -> None:
    async def in_loop() -> None:
        worker = ThreadWorker(settings, None)
        worker.start(lambda: None)
        while worker.reason is not None:
            await asyncio.sleep(0.02)
        batches = Batches([worker], ApiSettings(), WAIT_S)
        asked = await waiting(batches, [SearchRequest(user=None, query="mug")])
        await worker.close()
        assert isinstance(await asked[0], Answered), "what began is finished"
        with pytest.raises(NotReadyError, match="stops"):
            await worker.ask("search", [SearchRequest(user=None, query="mug")])

    asyncio.run(in_loop())


def test_a_failure_of_the_server_is_not_asked_again_for_each(settings: Settings) -> None:
    class Broken(Held):
        def retrieve_many(self, requests: Sequence[Request]) -> list[Retrieval]:
            super().retrieve_many(requests)
            raise IndexUnavailable("nothing works")

    async def use(batches: Batches, held: Held) -> None:
        first = await waiting(batches, [SearchRequest(user=None, query="lamp")])
        await asyncio.to_thread(held.began.wait, WAIT_S)
        later = await waiting(batches, [SearchRequest(user=None, query=query) for query in QUERIES])
        held.let_go.set()
        outcomes = await asyncio.gather(*first, *later, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["nothing works"] * (1 + len(QUERIES))

    assert run(settings, use, make=Broken) == [1, len(QUERIES)]


def test_a_fault_that_one_request_meets_is_its_own(settings: Settings) -> None:
    class Faulty(Held):
        def retrieve_many(self, requests: Sequence[Request]) -> list[Retrieval]:
            answers = super().retrieve_many(requests)
            if any(request.query == QUERIES[0] for request in requests):
                raise TypeError("not thought of")
            return answers

    async def use(batches: Batches, held: Held) -> None:
        first = await waiting(batches, [SearchRequest(user=None, query="lamp")])
        await asyncio.to_thread(held.began.wait, WAIT_S)
        later = await waiting(batches, [SearchRequest(user=None, query=query) for query in QUERIES])
        held.let_go.set()
        _, faulty, *others = await asyncio.gather(*first, *later, return_exceptions=True)
        assert isinstance(faulty, TypeError)
        assert all(isinstance(answer, Answered) for answer in others)

    run(settings, use, make=Faulty)


def test_who_waited_past_the_deadline_is_refused_and_the_next_is_answered(settings: Settings) -> None:
    async def use(batches: Batches, held: Held) -> None:
        first = await waiting(batches, [SearchRequest(user=None, query="lamp")])
        await asyncio.to_thread(held.began.wait, WAIT_S)
        late = await waiting(batches, [SearchRequest(user=None, query=query) for query in QUERIES])
        await asyncio.sleep(0.2)
        held.let_go.set()
        outcomes = await asyncio.gather(*first, *late, return_exceptions=True)
        assert isinstance(outcomes[0], Answered), "what began is finished"
        assert all(isinstance(outcome, OverloadedError) for outcome in outcomes[1:])
        assert (await batches.search(SearchRequest(user=None, query="mug"))).hits

    assert run(settings, use, deadline_s=0.1) == [1, 1]


def test_how_long_a_batch_takes_is_told_by_its_size_and_larger_ones_are_cut() -> None:
    time = BatchTime()
    assert (time.at_most(32), time.largest_within(0.1, 32)) == (0.0, 32), "nothing is known yet"
    for size in [1, 32, 8, 1, 16, 32] * 20:
        time.learn(size, 0.02 + 0.005 * size)
    assert time.at_most(32) == pytest.approx(0.18, abs=0.01)
    assert time.largest_within(0.1, 32) == pytest.approx(16, abs=1)
    assert time.largest_within(0.01, 32) == 8, "smaller ones cost more than they save"
    assert time.largest_within(1.0, 32) == 32


def test_noise_makes_no_batch_seem_shorter_and_is_allowed_for() -> None:
    time = BatchTime()
    for size, seconds in [(1, 0.3), (32, 0.1), (8, 0.2)] * 10:  # the larger the faster: chance
        time.learn(size, seconds)
    assert time.at_most(32) >= 0.2 and time.at_most(1) >= 0.2
