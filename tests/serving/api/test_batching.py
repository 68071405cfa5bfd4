"""Searches that arrive together are answered together, each as it would be alone, and overload is refused early."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from infra.contract.request import Request
from infra.settings import ApiSettings
from serving.api.batching import Batches, OverloadedError
from serving.errors import BadRequest, IndexUnavailable
from serving.retrieval import Retrieval
from serving.retriever import Retriever
from tests.serving.small_shop import Shop

WAIT_S = 60
QUERIES = ["red shoes", "blue mug", "lamp", "red sheos", "shoes acme", "", "mug", "i6"]


class Held:
    """A real retriever whose first call waits until it is let go; it notes the size of each batch."""

    def __init__(self, retriever: Retriever) -> None:
        self._retriever = retriever
        self.sizes: list[int] = []
        self.began, self.let_go = threading.Event(), threading.Event()

    def __call__(self, requests: Sequence[Request]) -> list[Retrieval]:
        self.sizes.append(len(requests))
        self.began.set()
        assert self.let_go.wait(WAIT_S)
        return self._retriever.retrieve_many(requests)


@pytest.fixture(scope="module")
def retriever(shop: Shop) -> Iterator[Retriever]:
    settings = shop.settings
    # No caches: an answer that was kept would be the same by itself.
    serving = settings.serving.model_copy(update={"cache_size": 0})
    with Retriever(settings.model_copy(update={"serving": serving})) as retriever:
        yield retriever


def run(held: Held, use: Callable[[Batches], Awaitable[None]], deadline_s: float = WAIT_S, **changes: int) -> None:
    async def in_loop() -> None:
        with ThreadPoolExecutor(8) as pool:
            await use(Batches(pool, held, ApiSettings.model_validate(changes), deadline_s))

    asyncio.run(in_loop())


async def waiting(batches: Batches, requests: Sequence[Request]) -> list[asyncio.Task[Retrieval]]:
    """Searches that have all arrived."""
    tasks = [asyncio.create_task(batches.search(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


def test_what_waits_is_answered_together_as_it_would_be_alone(retriever: Retriever) -> None:
    requests = [
        Request(user=user, query=query, k=k, filters=filters)
        for query in QUERIES
        for user, k, filters in (("u1", 10, None), (None, 20, None), ("u1", 10, {"price": {"lt": 50}}))
    ]
    alone = [retriever.retrieve_many([request])[0] for request in requests]
    held = Held(retriever)

    async def use(batches: Batches) -> None:
        tasks = await waiting(batches, requests)
        assert await asyncio.to_thread(held.began.wait, WAIT_S)
        held.let_go.set()
        for task, expected in zip(tasks, alone, strict=True):
            answer = await task
            assert [hit.item_id for hit in answer.hits] == [hit.item_id for hit in expected.hits]
            assert [hit.score for hit in answer.hits] == pytest.approx([h.score for h in expected.hits], abs=1e-4)
            assert (answer.personalized, answer.confident, answer.corrected, answer.fallbacks) == (
                expected.personalized, expected.confident, expected.corrected, expected.fallbacks,
            )  # fmt: skip

    run(held, use, search_threads=1, max_batch=16)
    assert held.sizes == [1, 16, len(requests) - 17]


def test_a_bad_one_is_refused_alone_and_a_long_one_delays_none_before_it(retriever: Retriever) -> None:
    held = Held(retriever)
    good, bad, long = (
        Request(user=None, query="mug"),
        Request(user=None, query="--"),
        Request(user=None, query="mug", explain=True),
    )

    async def use(batches: Batches) -> None:
        first, *tasks = await waiting(batches, [good, good, bad, good, long, good])
        held.let_go.set()
        found = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert [type(answer) for answer in found] == [Retrieval, Retrieval, BadRequest, Retrieval, Retrieval, Retrieval]

    run(held, use, search_threads=1)
    # The batch of three, each of it alone as one was bad, then the long one and what came after it.
    assert held.sizes == [1, 3, 1, 1, 1, 1, 1]


def test_overload_is_refused_at_once_and_is_over_when_the_queue_is_short(retriever: Retriever) -> None:
    held = Held(retriever)
    mug = Request(user=None, query="mug")

    async def use(batches: Batches) -> None:
        tasks = await waiting(batches, [mug] * 4)
        with pytest.raises(OverloadedError, match="3 searches wait"):
            await batches.search(mug)
        tasks[-1].cancel()  # hung up
        held.let_go.set()
        await asyncio.gather(*tasks[:-1])
        await batches.search(mug)

    run(held, use, search_threads=1, max_waiting=3)
    assert held.sizes == [1, 2, 1]


def test_who_would_wait_past_the_deadline_is_refused(retriever: Retriever) -> None:
    held = Held(retriever)
    mug = Request(user=None, query="mug")

    async def use(batches: Batches) -> None:
        held.let_go.set()
        await batches.search(mug)  # tells how long one takes
        held.let_go.clear()
        tasks = await waiting(batches, [mug] * 2)  # one runs, one waits: a whole batch
        with pytest.raises(OverloadedError, match="1 searches wait"):
            await batches.search(mug)
        held.let_go.set()
        running, late = await asyncio.gather(*tasks, return_exceptions=True)
        assert isinstance(running, Retrieval) and isinstance(late, OverloadedError)

    run(held, use, deadline_s=1e-9, search_threads=1, max_batch=1)


def test_a_pool_that_is_shut_down_answers_that_the_server_stops(retriever: Retriever) -> None:
    async def in_loop() -> None:
        pool = ThreadPoolExecutor(1)
        batches = Batches(pool, retriever.retrieve_many, ApiSettings(), WAIT_S)
        pool.shutdown()
        with pytest.raises(OverloadedError, match="stops"):
            await batches.search(Request(user=None, query="mug"))

    asyncio.run(in_loop())


def test_a_failure_of_the_server_is_not_asked_again_for_each(retriever: Retriever) -> None:
    class Broken(Held):
        def __call__(self, requests: Sequence[Request]) -> list[Retrieval]:
            super().__call__(requests)
            raise IndexUnavailable("nothing works")

    held = Broken(retriever)

    async def use(batches: Batches) -> None:
        first = await waiting(batches, [Request(user=None, query="lamp")])
        await asyncio.to_thread(held.began.wait, WAIT_S)
        later = await waiting(batches, [Request(user=None, query=query) for query in QUERIES])
        held.let_go.set()
        outcomes = await asyncio.gather(*first, *later, return_exceptions=True)
        assert [str(outcome) for outcome in outcomes] == ["nothing works"] * (1 + len(QUERIES))
        assert held.sizes == [1, len(QUERIES)]

    run(held, use)


def test_a_fault_that_one_request_meets_is_its_own(retriever: Retriever) -> None:
    class Faulty(Held):
        def __call__(self, requests: Sequence[Request]) -> list[Retrieval]:
            answers = super().__call__(requests)
            if any(request.query == QUERIES[0] for request in requests):
                raise TypeError("not thought of")
            return answers

    held = Faulty(retriever)

    async def use(batches: Batches) -> None:
        first = await waiting(batches, [Request(user=None, query="lamp")])
        await asyncio.to_thread(held.began.wait, WAIT_S)
        later = await waiting(batches, [Request(user=None, query=query) for query in QUERIES])
        held.let_go.set()
        _, faulty, *others = await asyncio.gather(*first, *later, return_exceptions=True)
        assert isinstance(faulty, TypeError)
        assert all(isinstance(answer, Retrieval) for answer in others)

    run(held, use)


def test_who_waited_past_the_deadline_is_refused_and_the_next_is_answered(retriever: Retriever) -> None:
    held = Held(retriever)

    async def use(batches: Batches) -> None:
        first = await waiting(batches, [Request(user=None, query="lamp")])
        await asyncio.to_thread(held.began.wait, WAIT_S)
        late = await waiting(batches, [Request(user=None, query=query) for query in QUERIES])
        await asyncio.sleep(0.2)
        held.let_go.set()
        outcomes = await asyncio.gather(*first, *late, return_exceptions=True)
        assert isinstance(outcomes[0], Retrieval), "what began is finished"
        assert all(isinstance(outcome, OverloadedError) for outcome in outcomes[1:])
        assert (await batches.search(Request(user=None, query="mug"))).hits
        assert held.sizes == [1, 1]

    run(held, use, deadline_s=0.1)
