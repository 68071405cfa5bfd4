"""Collections, aliases, and what a killed push leaves behind."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from serving.connection import client
from serving.errors import IncompleteCollection, IndexUnavailable, NoLiveRelease
from serving.index import LIVE, PREVIOUS, collection_name, live_release_id, promote, push, roll_back
from serving.served import load_served
from tests.serving.small_shop import Shop, make_shop

PUSH_SLOWLY = """
import sys
from infra.settings import Settings
from serving.index import collection
from training.release import load_release
settings = Settings.model_validate_json(sys.argv[1])
collection.BATCH_ROWS = 10
collection.push(settings, load_release(settings.paths.releases / sys.argv[2]))
"""


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path, items=120)


def live_ids(shop: Shop) -> set[str]:
    """Item ids behind the alias."""
    with client(shop.settings) as milvus:
        return {r["item_id"] for r in milvus.query(LIVE, filter="", limit=16_000, output_fields=["item_id"])}


def test_a_pushed_release_is_live_only_once_promoted(shop: Shop) -> None:
    release = shop.release()
    report = push(shop.settings, release)
    assert (report.collection, report.rows) == (collection_name(release.id), len(shop.catalog))
    assert live_release_id(shop.settings) is None
    promote(shop.settings, release.id)
    assert live_release_id(shop.settings) == release.id
    assert live_ids(shop) == set(shop.catalog["item_id"].to_pylist())


def test_a_push_or_promotion_done_twice_changes_nothing(shop: Shop) -> None:
    first, second = shop.release(1), shop.release(2)
    for release in (first, second, second):
        push(shop.settings, release)
        promote(shop.settings, release.id)
    assert roll_back(shop.settings) == first.id == live_release_id(shop.settings)
    assert roll_back(shop.settings) == second.id == live_release_id(shop.settings)


def test_what_cannot_be_promoted_leaves_live_alone(shop: Shop) -> None:
    with pytest.raises(NoLiveRelease, match="shelfwise run"):
        roll_back(shop.settings)
    release = shop.release()
    push(shop.settings, release)
    promote(shop.settings, release.id)
    with pytest.raises(IncompleteCollection, match="push it first"):
        promote(shop.settings, "0123abcd")
    with pytest.raises(ValueError, match="letters, digits"):
        promote(shop.settings, "../x")
    with pytest.raises(ValueError, match="nothing to roll back to"):
        roll_back(shop.settings)
    assert live_release_id(shop.settings) == release.id


def test_old_collections_go_but_never_live_its_predecessor_or_a_newer_one(shop: Shop) -> None:
    releases = [shop.release(seed) for seed in range(6)]
    for age, release in enumerate(releases):
        (release.path / "clock.json").write_text(
            f'{{"trained_at": "2026-03-0{age + 1}T00:00:00+00:00"}}', encoding="utf-8"
        )
    push(shop.settings, releases[5])
    for release in releases[:5]:
        push(shop.settings, release)
        promote(shop.settings, release.id)
    with client(shop.settings) as milvus:
        kept = set(milvus.list_collections())
        assert milvus.describe_alias(PREVIOUS)["collection_name"] == collection_name(releases[3].id)
    assert shop.settings.index.kept_releases == 3
    assert kept == {collection_name(releases[n].id) for n in (2, 3, 4, 5)}


def test_a_push_killed_midway_is_done_again_and_live_stays(shop: Shop) -> None:
    old, new = shop.release(1), make_shop(shop.settings.home, items=4_000).release(2)
    push(shop.settings, old)
    promote(shop.settings, old.id)
    name = collection_name(new.id)
    with client(shop.settings) as milvus:
        child = subprocess.Popen([sys.executable, "-c", PUSH_SLOWLY, shop.settings.model_dump_json(), new.id])
        deadline = time.monotonic() + 60
        written = 0
        while written < 200 and time.monotonic() < deadline:
            assert child.poll() is None, "the push ended before it could be killed"
            if milvus.has_collection(name):
                written = milvus.query(name, filter="", output_fields=["count(*)"])[0]["count(*)"]
        child.kill()
        child.wait()
        assert 200 <= milvus.query(name, filter="", output_fields=["count(*)"])[0]["count(*)"] < 4_000
    assert live_release_id(shop.settings) == old.id
    assert push(shop.settings, new).rows == 4_000
    assert live_release_id(shop.settings) == old.id
    promote(shop.settings, new.id)
    assert live_ids(shop) == set(new.item_ids)


def test_searches_by_alias_go_on_while_it_moves(shop: Shop) -> None:
    releases = [shop.release(1), shop.release(2)]
    for release in releases:
        push(shop.settings, release)
        promote(shop.settings, release.id)
    served = load_served(shop.settings, releases[0].id)
    vector = np.ascontiguousarray(served.release.item_vectors[0])
    done = threading.Event()
    sizes: list[int] = []
    failed: list[Exception] = []

    def search() -> None:
        try:
            with client(shop.settings) as milvus:
                while not done.is_set():
                    found = milvus.search(LIVE, data=[vector], limit=5, output_fields=["item_id"], anns_field="vector")
                    sizes.append(len(found[0]))
        except IndexUnavailable as error:
            failed.append(error)

    searcher = threading.Thread(target=search)
    searcher.start()
    for _ in range(5):
        roll_back(shop.settings)
    done.set()
    searcher.join()
    assert not failed
    assert set(sizes) == {5}


def test_no_milvus_is_one_clear_error_and_soon(shop: Shop) -> None:
    away = shop.settings.model_copy(
        update={"index": shop.settings.index.model_copy(update={"uri": "http://127.0.0.1:9"})}
    )
    with pytest.raises(IndexUnavailable, match="Milvus"), client(away, timeout_s=0.3) as milvus:
        milvus.list_collections()
