"""What is read of a user while something of theirs is recorded."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from features.store import RequestFeatures
from features.store.online import OnlineFeatures
from infra.settings import ServingSettings
from serving import Retriever
from tests.serving.small_shop import make_shop, publish_user
from tests.serving.test_retriever import PATIENT, put_live

LONG = ServingSettings(user_cache_seconds=600)
WAIT_S = 30


class HeldReads(OnlineFeatures):
    """The online store, of which a read of ``u1`` can be held after Redis answered and before the caller gets it."""

    read = threading.Event()
    let_go = threading.Event()

    def requests(self, user_ids: Sequence[str], queries: Sequence[str], now: datetime) -> list[RequestFeatures]:
        found = super().requests(user_ids, queries, now)
        if "u1" in user_ids and not self.read.is_set():
            self.read.set()
            assert self.let_go.wait(WAIT_S)
        return found


@pytest.fixture
def retriever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Retriever]:
    shop = make_shop(tmp_path, items=60, serving=LONG, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=[])
    put_live(shop, shop.release())
    monkeypatch.setattr("serving.retriever.OnlineFeatures", HeldReads)
    HeldReads.read.clear()
    HeldReads.let_go.clear()
    with Retriever(shop.settings) as retriever:
        yield retriever


def recent_items(retriever: Retriever) -> list[str]:
    features = retriever.retrieve("u1", "lamp", k=1, explain=True).features
    assert features is not None
    return features["recent_items"]


def test_a_read_that_began_before_an_event_was_recorded_does_not_hide_it(retriever: Retriever) -> None:
    with ThreadPoolExecutor(1) as other:
        before = other.submit(recent_items, retriever)
        assert HeldReads.read.wait(WAIT_S)
        retriever.record("u1", "click", item_id="i7")
        HeldReads.let_go.set()
        assert before.result(WAIT_S) == ["i0"]
    assert recent_items(retriever) == ["i7", "i0"]
    hits = retriever.statistics()["cache"]["users"]["hits"]
    assert recent_items(retriever) == ["i7", "i0"]
    assert retriever.statistics()["cache"]["users"]["hits"] == hits + 1, "what is read after the event is held"
