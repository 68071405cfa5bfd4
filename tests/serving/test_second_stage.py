"""The second stage turned off, failing at a request, and damaged before it serves: an answer is given each time."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from infra.contract.request import Request
from infra.settings import ServingSettings
from serving import second_stages
from serving.api.app import create_app
from serving.errors import BadRequest
from serving.live import Live
from serving.ranking import Ranking
from serving.retriever import Retriever
from tests.serving.api.conftest import LOCAL, OPEN, wait_until_ready
from tests.serving.small_shop import Shop, make_shop, publish_user
from tests.serving.test_retriever import PATIENT, exact_ids, put_live
from training.evaluation import EvaluationReport
from training.release.release import Release, load_release
from training.release.writer import write_release

pytestmark = pytest.mark.server

SERVING = ServingSettings(refresh_seconds=0.2)
FAILED = ["second_stage_failed"]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    home = tmp_path_factory.mktemp("second_stage")
    shop = replace(make_shop(home, items=300, serving=SERVING, online=PATIENT, api=OPEN), unknown="hybrid")
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0", "i6"], orders=["i6"])
    put_live(shop, shop.release())
    return shop


ANSWERED = """
import sys
from infra.settings import Settings
from serving import Retriever
with Retriever(Settings.model_validate_json(sys.argv[1])) as retriever:
    answer = retriever.retrieve("u1", "red shoes", explain=True)
    assert answer.hits and answer.personalized and not answer.fallbacks, answer
    assert retriever.retrieve(None, "").hits
print(sorted({"torch", "duckdb", "feast", "transformers"} & set(sys.modules)))
"""


def test_an_answer_needs_no_torch(shop: Shop) -> None:
    """Which takes a second of a start, and 200 MiB."""
    command = [sys.executable, "-c", ANSWERED, shop.settings.model_dump_json()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"


@contextmanager
def corrupt(retriever: Retriever) -> Iterator[None]:
    """Its ranker lacks the weight of a feature, as a state that came apart from its release would."""
    live, served = retriever._live, retriever._live.served
    ranker = served.release.ranker
    assert ranker is not None
    short = replace(ranker, weights={name: values[:-1] for name, values in ranker.weights.items()})
    live.served = replace(served, ranking=Ranking(served.release, short))
    yield
    live.served = served


def test_an_explanation_of_a_kept_answer_is_of_the_towers_where_the_second_stage_fails_by_now(shop: Shop) -> None:
    with Retriever(shop.settings) as retriever:
        kept = retriever.retrieve("u1", "red lamp", k=20)
        with corrupt(retriever):
            answer = retriever.retrieve("u1", "red lamp", k=20, explain=True)
            assert (answer.fallbacks, answer.cached, kept.fallbacks) == (FAILED, False, [])
            assert [h.item_id for h in answer.hits] != [h.item_id for h in kept.hits]
            for hit in answer.hits:
                assert hit.why is not None and np.isclose(sum(hit.why.parts.values()), hit.score, atol=1e-4)
        assert retriever.retrieve("u1", "red lamp", k=20, explain=True).hits[0].item_id == kept.hits[0].item_id


def test_a_failing_second_stage_leaves_the_towers_order(
    shop: Shop, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_stages, "LEFT_ALONE_S", 1.0)
    release = shop.release()
    with Retriever(shop.settings) as retriever, caplog.at_level(logging.ERROR, "serving"):
        good = retriever.retrieve(None, "red shoes", k=20)
        assert good.fallbacks == [] and [h.item_id for h in good.hits] != exact_ids(release, "red shoes", 20)
        with corrupt(retriever):
            for query in ("blue mug", "red lamp", "blue lamp", "blue lamp"):
                answer = retriever.retrieve(None, query, k=20, explain=True, items=True)
                assert (answer.fallbacks, answer.corrected, answer.confident) == (FAILED, None, None)
                assert [h.item_id for h in answer.hits] == exact_ids(release, query, 20)
                for hit in answer.hits:
                    assert hit.why is not None and np.isclose(sum(hit.why.parts.values()), hit.score, atol=1e-4)
            assert answer.cached, "it is left alone by now"
            assert retriever.retrieve("u1", "mug").personalized
            listed, searched = retriever.retrieve_many([Request(user="u1", query=q, k=5) for q in ("", "mug")])
            assert len(listed.hits) == len(searched.hits) == 5
            with pytest.raises(BadRequest, match="unknown filter field"):
                retriever.retrieve(None, "mug", filters={"size": "XL"})
            told = [record for record in caplog.records if "second stage" in record.getMessage()]
            assert len(told) == 1 and told[0].exc_info is not None
            assert release.id in told[0].getMessage() and "Traceback" in caplog.text
        time.sleep(1.0)
        again = retriever.retrieve(None, "red shoes", k=20)
        mended = retriever.retrieve(None, "blue mug", k=20)
        assert (again.fallbacks, again.hits, mended.fallbacks) == ([], good.hits, [])
        assert [h.item_id for h in mended.hits] != exact_ids(release, "blue mug", 20), "what stood in is not kept"


class FailsAt(Ranking):
    """Fails at one query, and is counted."""

    asked: list[list[str]]

    def order(self, texts: Sequence[str], *args: Any) -> Any:
        self.asked.append(list(texts))
        if "red lamp" in texts:
            raise FloatingPointError("of one query")
        return super().order(texts, *args)

    def corrected(self, text: str) -> str:
        if text == "blue lapm":
            raise ValueError("of one query")
        return super().corrected(text)


def failing(retriever: Retriever) -> FailsAt:
    served = retriever._live.served
    assert served.release.ranker is not None
    ranking = FailsAt(served.release, served.release.ranker)
    ranking.asked = []
    retriever._live.served = replace(served, ranking=ranking)
    return ranking


def test_one_request_that_fails_costs_the_others_of_its_batch_nothing(shop: Shop) -> None:
    release = shop.release()
    with Retriever(shop.settings) as retriever:
        failing(retriever)
        queries = ["red shoes", "red lamp", "blue lapm", "blue mug"]
        found = retriever.retrieve_many([Request(user=None, query=query, k=20) for query in queries])
        assert [answer.fallbacks for answer in found] == [[], FAILED, FAILED, []]
        assert [hit.item_id for hit in found[1].hits] == exact_ids(release, "red lamp", 20)
        assert [hit.item_id for hit in found[0].hits] != exact_ids(release, "red shoes", 20)
        assert found[2].corrected is None and len(found[2].hits) == 20
        assert retriever.retrieve(None, "red shoes", k=20).cached


def test_what_fails_elsewhere_is_not_blamed_on_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with Retriever(shop.settings) as retriever:
        ranking, search = failing(retriever), Live.search
        calls = iter((True,))

        def once(*args: Any, **options: Any) -> Any:
            if next(calls, False):
                raise RuntimeError("of the index, once")
            return search(*args, **options)

        monkeypatch.setattr(Live, "search", once)
        with pytest.raises(RuntimeError, match="of the index"):
            retriever.retrieve(None, "red shoes")
        assert not ranking.asked and "second stage" not in caplog.text
        assert retriever.retrieve(None, "red shoes").fallbacks == []


def test_over_http_it_is_answered_and_counted(shop: Shop) -> None:
    made: list[Retriever] = []

    def make(*settings: object) -> Retriever:
        made.append(Retriever(*settings))  # type: ignore[arg-type]
        return made[0]

    with TestClient(create_app(shop.settings, make), base_url=LOCAL) as client:
        wait_until_ready(client)
        with corrupt(made[0]):
            answer = client.post("/search", json={"query": "red lamp", "k": 7})
            assert (answer.status_code, answer.json()["fallbacks"], len(answer.json()["hits"])) == (200, FAILED, 7)
            assert client.post("/search", json={"query": "x" * 2_000}).status_code == 422
        assert 'shelfwise_fallbacks_total{fallback="second_stage_failed"} 1.0' in client.get("/metrics").text


def test_turned_off_the_towers_order_serves_and_all_else_goes_on(shop: Shop) -> None:
    off = SERVING.model_copy(update={"second_stage": False})
    with Retriever(shop.settings.model_copy(update={"serving": off})) as retriever:
        answer = retriever.retrieve(None, "red sheos", k=20, explain=True)
        assert (answer.fallbacks, answer.corrected) == ([], "red shoes")
        assert [h.item_id for h in answer.hits] == exact_ids(shop.release(), "red shoes", 20)
        assert all(hit.why is not None and set(hit.why.sources) == {"towers"} for hit in answer.hits)
        assert retriever.retrieve("u1", "mug").personalized
        assert len(retriever.retrieve("u1", "", k=5).hits) == 5


def damaged(shop: Shop, weight: str) -> Release:
    """A release whose ranker cannot be used."""
    shop.release()
    file = shop.settings.paths.training / "candidate" / "ranker.json"
    ranker = json.loads(file.read_text())
    known = ranker["weights"]["known"]
    ranker["weights"]["known"] = known[:-1] if weight == "lost" else [*known[:-1], float("nan")]
    file.write_text(json.dumps(ranker))
    nothing = EvaluationReport(truth="orders", requests=0, items=50, rows=[], slices={})
    return load_release(write_release(shop.settings, file.parent, nothing))


def small(home: Path, serving: ServingSettings) -> Shop:
    return replace(make_shop(home, items=50, serving=serving, online=PATIENT), unknown="hybrid")


@pytest.mark.parametrize("weight", ["lost", "not finite"])
def test_a_release_with_a_damaged_ranker_does_not_serve(tmp_path: Path, weight: str) -> None:
    shop = small(tmp_path, SERVING)
    good = shop.release()
    put_live(shop, good)
    put_live(shop, damaged(shop, weight))
    with Retriever(shop.settings) as retriever:
        answer = retriever.retrieve(None, "mug")
        assert (answer.release_id, answer.fallbacks) == (good.id, ["newer_release_unusable"])


def test_where_it_is_the_only_one_it_serves_without_and_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shop = small(tmp_path, SERVING)
    bad = damaged(shop, "not finite")
    put_live(shop, bad)
    with Retriever(shop.settings) as retriever:
        answer = retriever.retrieve(None, "red shoes", k=20, explain=True)
        assert (answer.release_id, answer.fallbacks) == (bad.id, FAILED)
        assert [hit.item_id for hit in answer.hits] == exact_ids(bad, "red shoes", 20)
        assert retriever.retrieve(None, "", k=5).fallbacks == FAILED
    assert "a weight is not finite" in caplog.text and "Traceback" in caplog.text


def test_turned_off_nothing_is_read_of_the_ranker(tmp_path: Path) -> None:
    off = SERVING.model_copy(update={"second_stage": False})
    shop = small(tmp_path, off)
    good = shop.release()
    put_live(shop, good)
    bad = damaged(shop, "lost")
    put_live(shop, bad)
    with Retriever(shop.settings) as retriever:
        answer = retriever.retrieve(None, "red sheos", k=20)
        assert (answer.release_id, answer.fallbacks, answer.corrected) == (bad.id, [], "red shoes")
        assert [hit.item_id for hit in answer.hits] == exact_ids(bad, "red shoes", 20)
        retriever.update_items([{"item_id": "i1", "in_stock": False}])
        assert retriever.retrieve(None, "red shoes", k=5).fallbacks == [], "nor where items are new"


def test_turned_off_what_fails_at_a_query_falls_back_all_the_same(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> str:
        raise ValueError("no words")

    off = SERVING.model_copy(update={"second_stage": False})
    monkeypatch.setattr(Ranking, "corrected", broken)
    with Retriever(shop.settings.model_copy(update={"serving": off})) as retriever:
        answer = retriever.retrieve(None, "red sheos", k=20)
        assert (answer.fallbacks, answer.corrected) == (FAILED, None)
        assert [h.item_id for h in answer.hits] == exact_ids(shop.release(), "red sheos", 20)
    assert "no words" in caplog.text
