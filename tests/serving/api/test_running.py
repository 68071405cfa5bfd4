"""A server is found by the note that it leaves while it serves; what it answers is what this process would."""

from __future__ import annotations

import json
import os
import signal

import pytest
from pydantic import SecretStr

from infra.settings import Settings
from orchestration.searching import searched
from serving.api.running import NOTE, noted, running_server, search_by
from serving.hits import title_of
from serving.retriever import Retriever
from tests.serving.api.test_server import answers, server
from tests.serving.small_shop import Shop
from tests.serving.test_retriever import wait_for

ASKED = {"user": "u1", "query": "red sheos", "k": 5, "filters": {"price": {"lt": 1e6}}, "items": True}


def with_key(settings: Settings, key: str) -> Settings:
    return settings.model_copy(update={"api": settings.api.model_copy(update={"key": SecretStr(key)})})


@pytest.mark.server
def test_a_running_server_answers_until_it_is_killed(shop: Shop) -> None:
    note = shop.settings.paths.root / NOTE
    with server(shop) as (process, url):
        wait_for(lambda: answers(f"{url}/readyz"), seconds=60)
        found = running_server(shop.settings)
        assert found is not None and found.pid == process.pid and url.endswith(f":{found.port}")
        by_server = search_by(found, shop.settings, ASKED)
        assert by_server is not None
        with Retriever(shop.settings) as retriever:
            here = retriever.retrieve("u1", "red sheos", k=5, filters={"price": {"lt": 1e6}}, items=True)
        assert (by_server.corrected, by_server.release_id) == (here.corrected, here.release_id)
        hits = [
            [(hit.item_id, hit.score, title_of(hit.item or {})) for hit in answer.hits] for answer in (by_server, here)
        ]
        assert hits[0] == hits[1]
        assert searched(shop.settings, "u1", "red sheos", 5, None, correct=True).hits
        assert search_by(found, shop.settings, {**ASKED, "k": 0}) is None, "refused: this process says why"
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert note.exists() and running_server(shop.settings) is None
    assert search_by(found, shop.settings, ASKED) is None
    with pytest.raises(ValueError, match="k must be"):
        searched(shop.settings, "u1", "red sheos", 0, None, correct=True)


@pytest.mark.server
def test_the_key_is_sent_and_a_stopped_server_takes_its_note_along(shop: Shop) -> None:
    locked = with_key(shop.settings, "*" * 10)  # as settings that hold a secret are dumped for the process
    with server(Shop(**{**vars(shop), "settings": locked})) as (process, url):
        wait_for(lambda: answers(f"{url}/readyz"), seconds=60)
        found = running_server(locked)
        assert found is not None and search_by(found, locked, ASKED) is not None
        assert search_by(found, shop.settings, ASKED) is None, "without the key"
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert not (shop.settings.paths.root / NOTE).exists()


def test_a_note_of_another_process_or_none_is_passed_over(shop: Shop) -> None:
    note = shop.settings.paths.root / NOTE
    with noted(shop.settings, "0.0.0.0", 80):
        found = running_server(shop.settings)
        assert found is not None and (found.host, found.port, found.pid) == ("127.0.0.1", 80, os.getpid())
        later = {**found._asdict(), "started_at": found.started_at - 1}
        for text in (json.dumps(later), "{}", "[1]", "{", '{"host": "::1", "port": "x", "pid": 1, "started_at": 1}'):
            note.write_text(text, encoding="utf-8")
            assert running_server(shop.settings) is None
    assert note.exists(), "it was written over by another since"
    note.unlink()
    with noted(shop.settings, "::", 80):
        assert running_server(shop.settings) == found._replace(host="::1")
    assert not note.exists()
