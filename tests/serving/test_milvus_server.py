"""A real Milvus server by URI, an old one from PyPI: push, swap, filters, and going on while it is away."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.settings import ServingSettings
from serving import Retriever
from serving.filters import parse_filters
from serving.index import kept_release_ids, live_release_id, names_of, promote, push, roll_back
from serving.index_loss import served_loss
from serving.loading import load_served
from tests.serving.small_shop import HOSTILE, Shop, make_shop
from tests.serving.test_retriever import PATIENT, wait_for

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(
        importlib.util.find_spec("milvus") is None, reason="the server has wheels for Linux on x86_64 only"
    ),
]

PATIENT_SERVING = ServingSettings(refresh_seconds=0.2, cache_size=0, index_timeout_ms=5_000, deadline_ms=5_000)


class Server:
    """The server, on a port of its own."""

    def __init__(self, folder: Path) -> None:
        from milvus import MilvusServer

        self._server: Any = MilvusServer()
        self._server.set_base_dir(str(folder))
        self._server.start()
        self.uri = f"http://127.0.0.1:{self._server.listen_port}"

    def stop(self) -> None:
        # its own stop is the one that leaves no child behind
        self._server.stop()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("milvus"))
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["FLAT", "HNSW"])
def shop(server: Server, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Shop:
    index = {"uri": server.uri, "index_type": request.param}
    home = tmp_path_factory.mktemp(request.param)
    return make_shop(home, items=300, serving=PATIENT_SERVING, online=PATIENT, index=index)


def test_the_loss_is_that_of_the_collection_itself(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    release, other = shop.release(1), shop.release(2)
    for pushed in (release, other):
        push(shop.settings, pushed)
    queries = np.stack([release.encoder.encode(text) for text in ("red shoes", "mug", "a blue lamp")])
    lost = served_loss(shop.settings, release.id, queries)
    assert lost.keys() == {100, 1000}
    assert max(lost.values()) <= 0.01
    names = names_of(shop.settings)
    monkeypatch.setattr(type(names), "collection", lambda *_: f"{names.prefix}{other.id}")
    assert min(served_loss(shop.settings, release.id, queries).values()) > 0.01


def test_the_server_answers_as_memory_does_and_follows_a_swap(shop: Shop) -> None:
    first, second = shop.release(1), shop.release(2)
    for release in (first, second):
        push(shop.settings, release)
        promote(shop.settings, release.id)
    assert live_release_id(shop.settings) == second.id
    assert kept_release_ids(shop.settings) == [second.id, first.id]
    exact = load_served(shop.settings, second.id)
    vector = exact.release.encoder.encode("red shoes")[None]
    with Retriever(shop.settings) as retriever:
        for filters in (None, {"price": {"gt": 0}}, *({"brand": value} for value in HOSTILE if "\x00" not in value)):
            answer = retriever.retrieve(None, "red shoes", k=40, filters=filters)
            assert answer.fallbacks == [], filters
            found = [hit.item_id for hit in answer.hits]
            assert len(found) == len(set(found))
            (expected,) = exact.search_memory(vector, 40, parse_filters(filters, exact.fields))
            assert [h.score for h in answer.hits] == pytest.approx(expected[1].tolist(), abs=1e-4), filters
        roll_back(shop.settings)
        wait_for(lambda: retriever.retrieve(None, "red shoes").release_id == first.id)
        assert retriever.retrieve(None, "red shoes", k=5).fallbacks == []
