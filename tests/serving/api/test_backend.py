"""What the API's retriever leaves behind when the server stops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from infra.settings import Settings
from serving.api.backend import Backend
from serving.api.errors import NotReadyError
from serving.api.models import SearchRequest
from serving.retriever import Retriever
from tests.serving.small_shop import Shop

WAIT_S = 60


@pytest.mark.slow
def test_a_retriever_that_is_made_while_the_server_stops_is_closed(shop: Shop) -> None:
    making, make_it = threading.Event(), threading.Event()
    closed: list[str] = []

    class Slow(Retriever):
        def __init__(self, settings: Settings) -> None:
            making.set()
            assert make_it.wait(WAIT_S)
            super().__init__(settings)

        def close(self) -> None:
            super().close()
            closed.append(self.release_id)

    async def stopped_while_it_starts() -> None:
        backend = Backend(shop.settings, Slow)
        backend.start()
        assert await asyncio.to_thread(making.wait, WAIT_S)
        closing = asyncio.create_task(backend.close())
        await asyncio.sleep(0)  # it has cancelled the start and waits for the thread
        make_it.set()
        await closing
        with pytest.raises(NotReadyError):
            await backend.search(SearchRequest(user=None, query="mug"))

    asyncio.run(stopped_while_it_starts())
    assert closed == [shop.release().id]


def test_a_backend_is_closed_once(shop: Shop) -> None:
    closed: list[str] = []

    class Counted(Retriever):
        def close(self) -> None:
            super().close()
            closed.append(self.release_id)

    async def started_and_stopped_twice() -> None:
        backend = Backend(shop.settings, Counted)
        backend.start()
        while backend.reason is not None:
            await asyncio.sleep(0.02)
        await backend.close()
        await backend.close()

    asyncio.run(started_and_stopped_twice())
    assert closed == [shop.release().id]
