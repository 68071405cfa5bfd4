"""The retriever: personal, k and filters, switching releases, and what it does when something is away."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.store.clock import clock_offset
from infra.contract.request import Request, RequestContext
from infra.services import status
from infra.settings import OnlineSettings, ServingSettings, Settings
from serving import IndexUnavailable, NoLiveRelease, Retrieval, Retriever
from serving.errors import BadRequest
from serving.index import promote, push
from serving.probe import probe
from serving.request_context import is_personal
from serving.retrieval import NOTHING_TO_SEARCH
from tests.serving.small_shop import END, Shop, make_shop, publish_user
from training.release.manifest import ReleaseError
from training.release.release import Release

pytestmark = pytest.mark.server

QUICK = ServingSettings(refresh_seconds=0.2, cache_size=0)
PATIENT = OnlineSettings(timeout_ms=500)
PUBLISH = """
import sys
from infra.settings import Settings
from serving.index import promote, push
from training.release.release import load_release
settings = Settings.model_validate_json(sys.argv[1])
for release_id in sys.argv[2:]:
    push(settings, load_release(settings.paths.releases / release_id))
    promote(settings, release_id)
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = make_shop(tmp_path_factory.mktemp("retriever"), items=200, serving=QUICK, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0", "i6"], orders=["i6"])
    put_live(shop, shop.release())
    return shop


@pytest.fixture(scope="module")
def retriever(shop: Shop) -> Iterator[Retriever]:
    with Retriever(shop.settings) as retriever:
        yield retriever


def put_live(shop: Shop, release: Release) -> None:
    push(shop.settings, release)
    promote(shop.settings, release.id)


def wait_for(condition: Callable[[], bool], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def exact_ids(release: Release, query: str, k: int) -> list[str]:
    """The best k items for nobody in particular, by the release alone."""
    scores = release.items.vectors @ release.encoder.encode(query)
    return [release.items.ids[row] for row in np.argsort(-scores, kind="stable")[:k]]


def kill_service(settings: Settings, name: str) -> None:
    (pid,) = (s.pid for s in status(settings) if s.name == name)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def test_a_known_user_is_answered_by_their_history(retriever: Retriever) -> None:
    mine = retriever.retrieve("u1", "shoes", k=20, explain=True)
    assert mine.personalized
    assert mine.features == {
        "recent_queries": ["red shoes"],
        "recent_items": ["i0", "i6"],
        "recent_orders": ["i6"],
        "order_history": ["i6"],
        "recent_brands": [],
        "ordered_tags": [],
    }
    nobody = retriever.retrieve(None, "shoes", k=20)
    assert not nobody.personalized
    assert nobody.features is None
    assert [h.score for h in nobody.hits] != [h.score for h in mine.hits]
    assert mine.fallbacks == nobody.fallbacks == []
    assert set(mine.timings_ms) == {"features", "tower", "search", "ranking", "own", "total"}


def test_a_release_that_reads_no_history_is_never_personal(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    unread = shop.settings.training.model_copy(update={"history": "none"})
    shop = replace(shop, settings=shop.settings.model_copy(update={"training": unread}))
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=["i6"])
    put_live(shop, shop.release())
    with Retriever(shop.settings) as retriever:
        mine, nobodys = (retriever.retrieve(user, "shoes", k=20, explain=True) for user in ("u1", None))
    assert mine.features is not None and mine.features["recent_items"] == ["i0"]
    assert not mine.personalized
    assert [(h.item_id, h.score) for h in mine.hits] == [(h.item_id, h.score) for h in nobodys.hits]


def test_numbers_of_a_user_are_personal_where_the_tower_reads_them(shop: Shop) -> None:
    without = replace(shop.release().encoder.towers.config, history="none", request_numeric=0)
    reads = replace(without, request_numeric=6)
    of_user, of_query = RequestContext(numeric={"clicks_7d": 1}), RequestContext(numeric={"query_clicks_30d": 1})
    assert is_personal(of_user, reads)
    assert not is_personal(of_user, without)
    assert not is_personal(of_query, reads)
    history = replace(without, history="mean")
    assert is_personal(RequestContext(recent_orders=["i6"]), history)
    assert not is_personal(RequestContext(order_history=["i6"]), history), "no tower reads it"


def test_what_happens_after_a_batch_that_live_does_not_know_counts_all_the_same(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    publish_user(shop.settings, "u1", queries=[], items=[], orders=[])
    put_live(shop, shop.release())
    with Retriever(shop.settings) as retriever:
        # As if the log that live learned from, and is replayed by, ended ten days ago: before the batch does.
        live = retriever._live
        live.served = replace(live.served, clock_offset=timedelta(days=10))
        assert not retriever.retrieve("new", "mug").personalized
        retriever.record("new", "click", item_id="i3")
        assert retriever.retrieve("new", "mug").personalized


@pytest.mark.parametrize("blank", ["", "  \n", "\u200b"])
def test_without_a_query_items_are_listed_with_the_users_own_first(retriever: Retriever, blank: str) -> None:
    everybody = retriever.retrieve(None, blank, k=20)
    mine = retriever.retrieve("u1", blank, k=20, explain=True)
    assert len(everybody.hits) == len(mine.hits) == 20
    assert mine.personalized and not everybody.personalized
    assert (mine.confident, everybody.corrected) == (None, None), "no log told this release what fits"
    assert {"i0", "i6"} <= {hit.item_id for hit in mine.hits[:10]}, "met and ordered"
    for hit in mine.hits:
        assert hit.why is not None and set(hit.why.parts) == {"popularity", "user"} and not hit.why.sources
        assert np.isclose(sum(hit.why.parts.values()), hit.score, atol=1e-5)
    cheap = retriever.retrieve("u1", blank, k=200, filters={"price": {"lt": 30}})
    prices = [item["price"] for item in retriever.items([hit.item_id for hit in cheap.hits])]
    assert 0 < len(prices) < 200 and all(price < 30 for price in prices)
    searched, listed = retriever.retrieve_many(
        [Request(user="u1", query="shoes", k=5), Request(user="u1", query=blank, k=5)]
    )
    assert [h.item_id for h in listed.hits] == [h.item_id for h in mine.hits[:5]]
    assert {h.item_id for h in searched.hits} == {h.item_id for h in retriever.retrieve("u1", "shoes", k=5).hits}


@pytest.mark.parametrize("query", ["--", "?!—🙂", "  ☕ \n"])
def test_what_cannot_be_searched_finds_nothing_and_says_so(retriever: Retriever, query: str) -> None:
    for _ in range(2):  # the second one is of the cache
        answer = retriever.retrieve("u1", query, k=20, explain=True, items=True, filters={"brand": "Acmee"})
        assert (answer.hits, answer.not_searched) == ([], NOTHING_TO_SEARCH)
        assert (answer.confident, answer.personalized, answer.corrected, answer.fallbacks) == (None, False, None, [])
        assert [unknown.value for unknown in answer.unknown_values] == ["Acmee"]
    texts = ["mug", query, "", "mug", "4"]
    several = retriever.retrieve_many([Request(user="u1", query=text, k=5) for text in texts])
    assert [len(one.hits) for one in several] == [5, 0, 5, 5, 5]
    assert [one.not_searched for one in several] == [None, NOTHING_TO_SEARCH, None, None, None]
    with pytest.raises(BadRequest, match="unknown filter field"):
        retriever.retrieve(None, query, filters={"size": "XL"})


@pytest.mark.parametrize("user", ["nobody knows me", "", "u1'\"\\\n", "🙂"])
def test_an_unknown_user_is_answered_as_nobody(retriever: Retriever, user: str) -> None:
    answer = retriever.retrieve(user, "shoes", k=20)
    assert not answer.personalized
    assert answer.hits == retriever.retrieve(None, "shoes", k=20).hits


def test_hits_are_the_releases_own_best_first(shop: Shop, retriever: Retriever) -> None:
    answer = retriever.retrieve(None, "red shoes", k=25)
    assert answer.release_id == shop.release().id
    assert [h.item_id for h in answer.hits] == exact_ids(shop.release(), "red shoes", 25)


def test_unknown_words_are_served_as_the_shop_spells_them(retriever: Retriever) -> None:
    meant = retriever.retrieve("u1", "red shoes", k=20, explain=True)
    for typed in ("Red  sheos", "RED SHOSE", "redshoes", "red sho-es"):
        answer = retriever.retrieve("u1", typed, k=20, explain=True)
        assert answer.corrected is not None and answer.corrected.lower() == "red shoes" and answer.hits == meant.hits
    assert retriever.retrieve(None, "RED Sheos").corrected == "RED shoes"
    as_typed = retriever.retrieve("u1", "red sheos", k=20, correct=False)
    assert meant.corrected is as_typed.corrected is None
    assert as_typed.hits != retriever.retrieve("u1", "red shoes", k=20).hits
    several = [Request(user=None, query=q, correct=c) for q, c in (("mug", True), ("lampp", True), ("lampp", False))]
    assert [a.corrected for a in retriever.retrieve_many(several)] == [None, "lamp", None]


def test_k_above_the_catalogue_gives_all_and_filters_may_give_none(shop: Shop, retriever: Retriever) -> None:
    assert len(retriever.retrieve(None, "shoes", k=10_000).hits) == len(shop.catalog)
    assert retriever.retrieve(None, "shoes", filters={"brand": "nothing has this"}).hits == []
    found = retriever.retrieve(None, "shoes", k=10_000, filters={"brand": ["Acme", "o'neil"]})
    brands = dict(zip(shop.catalog["item_id"].to_pylist(), shop.catalog["brand"].to_pylist(), strict=True))
    assert {brands[h.item_id] for h in found.hits} == {"Acme", "o'neil"}


def test_items_are_described_by_what_is_known_of_them(shop: Shop, retriever: Retriever) -> None:
    assert retriever.describe("i0") == "red shoes 0"
    assert retriever.describe("not an item") == "not an item"
    assert retriever.release_id == shop.release().id


def test_bad_requests_are_value_errors(retriever: Retriever) -> None:
    for query, k, filters in [("x" * 2_000, 10, None), ("shoes", 0, None), ("shoes", 10, {"nope": 1})]:
        with pytest.raises(ValueError, match=r"query|k must|unknown filter"):
            retriever.retrieve(None, query, k=k, filters=filters)


def test_nothing_promoted_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NoLiveRelease, match="shelfwise run"):
        Retriever(Settings(home=tmp_path))


def test_a_retriever_answers_throughout_while_another_process_promotes(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=200, serving=QUICK, online=PATIENT)
    releases = {r.id: r for r in (shop.release(seed) for seed in (1, 2, 3))}
    first, *later = releases
    put_live(shop, releases[first])
    expected = {i: exact_ids(r, "blue mug", 10) for i, r in releases.items()}
    answers: list[Retrieval] = []
    with Retriever(shop.settings) as retriever:
        command = [sys.executable, "-c", PUBLISH, shop.settings.model_dump_json(), *later]
        child = subprocess.Popen(command)
        while child.poll() is None or answers[-1].release_id != later[-1]:
            answers.append(retriever.retrieve("u1", "blue mug", k=10))
            assert len(answers) < 100_000
        assert child.returncode == 0
    assert {a.release_id for a in answers} >= {first, later[-1]}
    assert all([h.item_id for h in a.hits] == expected[a.release_id] for a in answers)
    assert not any(a.fallbacks for a in answers)


def test_a_corrupt_release_does_not_replace_a_good_one(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    good, bad = shop.release(1), shop.release(2)
    put_live(shop, good)
    with Retriever(shop.settings) as retriever:
        push(shop.settings, bad)
        vectors = bad.manifest.path / "item_vectors.safetensors"
        vectors.write_bytes(vectors.read_bytes()[:-1] + b"?")
        promote(shop.settings, bad.id)
        wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == ["newer_release_unusable"])
        assert retriever.retrieve(None, "mug").release_id == good.id
        promote(shop.settings, good.id)
        wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == [])
    promote(shop.settings, bad.id)
    with Retriever(shop.settings) as retriever:
        answer = retriever.retrieve(None, "mug")
        assert (answer.release_id, answer.fallbacks) == (good.id, ["newer_release_unusable"])
    shutil.rmtree(good.manifest.path)
    with pytest.raises(ReleaseError, match="item_vectors"):
        Retriever(shop.settings)


def test_a_collection_that_cannot_be_read_is_the_releases_fault_and_not_milvus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    good, bad = shop.release(1), shop.release(2)
    put_live(shop, good)
    with Retriever(shop.settings) as retriever:
        reads: list[str] = []

        def unreadable(milvus: Any, name: str, release: Release) -> None:
            reads.append(release.id)
            raise IndexUnavailable("Milvus: this collection only")

        monkeypatch.setattr("serving.loading.check_collection", unreadable)
        put_live(shop, bad)
        wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == ["newer_release_unusable"])
        assert retriever.retrieve(None, "mug").release_id == good.id
        time.sleep(5 * QUICK.refresh_seconds)
        assert reads == [bad.id], "it is not read again at each look"


@contextmanager
def milvus_server(data: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """A milvus-lite server of somebody else."""
    command = [sys.executable, "-m", "milvus_lite", "server", "--host", "127.0.0.1"]
    server = subprocess.Popen([*command, "--data-dir", str(data), "--port", str(port)], stdout=subprocess.DEVNULL)
    try:
        wait_for(lambda: _answers(port))
        yield server
    finally:
        server.kill()
        server.wait()


def _answers(port: int) -> bool:
    with socket.socket() as probing:
        return probing.connect_ex(("127.0.0.1", port)) == 0


def test_a_milvus_server_that_dies_is_done_without_and_taken_back(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    uri = {"uri": f"http://127.0.0.1:{port}"}
    shop = make_shop(tmp_path, items=200, serving=QUICK, online=PATIENT, index=uri)
    wanted = {"price": {"gt": 0}}
    with milvus_server(tmp_path / "milvus", port):
        put_live(shop, shop.release())
        retriever = Retriever(shop.settings)
        before = retriever.retrieve(None, "red shoes", k=30, filters=wanted)
    with retriever:
        seconds = []
        for _ in range(20):
            began = time.perf_counter()
            without = retriever.retrieve(None, "red shoes", k=30, filters=wanted)
            seconds.append(time.perf_counter() - began)
            assert without.fallbacks == ["index_unavailable"]
            assert [h.item_id for h in without.hits] == [h.item_id for h in before.hits]
        assert seconds[0] < 5
        assert np.median(seconds) < 0.2
        with Retriever(shop.settings) as started_without:
            answer = started_without.retrieve(None, "red shoes", k=30, filters=wanted)
            assert (answer.fallbacks, answer.hits) == (["index_unavailable"], without.hits)
        (shop.settings.paths.releases / "live.json").unlink()
        with pytest.raises(IndexUnavailable):
            Retriever(shop.settings)
        with milvus_server(tmp_path / "milvus", port):
            wait_for(lambda: retriever.retrieve(None, "red shoes").fallbacks == [])
            assert retriever.retrieve(None, "red shoes", k=30, filters=wanted).hits == before.hits


def test_an_embedded_milvus_that_is_killed_comes_back_by_itself(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    put_live(shop, shop.release())
    with Retriever(shop.settings) as retriever:
        kill_service(shop.settings, "Milvus")
        assert len(retriever.retrieve(None, "mug", k=10).hits) == 10
        wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == [])


def test_a_redis_that_is_killed_is_flagged_and_taken_back(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=50, serving=QUICK, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=[])
    put_live(shop, shop.release())
    with Retriever(shop.settings) as retriever:
        assert retriever.retrieve("u1", "mug").personalized
        kill_service(shop.settings, "Redis")
        answer = retriever.retrieve("u1", "mug", k=10)
        assert (answer.fallbacks, answer.personalized, len(answer.hits)) == (["online_store_unavailable"], False, 10)
        wait_for(lambda: retriever.retrieve("u1", "mug").personalized)
        assert retriever.retrieve("u1", "mug").fallbacks == []


def test_a_replayed_log_keeps_the_shops_own_time() -> None:
    assert clock_offset(END, END - timedelta(hours=30)) == timedelta(0)
    assert clock_offset(END, END - timedelta(days=3_000)) == timedelta(days=3_000)


def test_a_fresh_process_can_serve_a_release_or_says_why_not(shop: Shop) -> None:
    release = shop.release()
    assert probe(shop.settings, release.id, "red shoes") == exact_ids(release, "red shoes", 1)[0]
    with pytest.raises(ReleaseError, match="no release"):
        probe(shop.settings, "0123456789ab", "red shoes")


def test_importing_serving_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'feast', 'pymilvus', 'dagster', 'great_expectations', 'pandas', 'numpy'}"
    check = f"import serving, sys; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_id_that_guests_share_has_no_history(retriever: Retriever) -> None:
    assert not retriever.record("Guest", "click", item_id="i3")
    assert not retriever.retrieve("guest", "mug").personalized
    assert retriever.record(" someone ", "click", item_id="i3")
    assert retriever.retrieve("someone", "mug").personalized
