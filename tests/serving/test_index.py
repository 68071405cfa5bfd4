"""Collections, aliases, and what a killed push leaves behind."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from infra.services import milvus_uri
from serving.connection import client
from serving.errors import IncompleteCollection, IndexUnavailable, NoLiveRelease
from serving.index import live_release_id, names_of, promote, push, roll_back
from serving.loading import load_served
from tests.serving.small_shop import Shop, make_shop
from training.release.manifest import ReleaseError

pytestmark = pytest.mark.server

PUSH_SLOWLY = """
import sys
from infra.settings import Settings
from serving.index import collection
from training.release.release import load_release
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
        live = names_of(shop.settings).live
        return {r["item_id"] for r in milvus.query(live, filter="", limit=16_000, output_fields=["item_id"])}


def test_a_pushed_release_is_live_only_once_promoted(shop: Shop) -> None:
    release = shop.release()
    report = push(shop.settings, release)
    assert (report.collection, report.rows) == (names_of(shop.settings).collection(release.id), len(shop.catalog))
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
    with pytest.raises(ValueError, match="letters and digits"):
        promote(shop.settings, "../x")
    with pytest.raises(ValueError, match="nothing to roll back to"):
        roll_back(shop.settings)
    assert live_release_id(shop.settings) == release.id


def test_old_collections_go_but_never_live_its_predecessor_or_a_newer_one(shop: Shop) -> None:
    releases = [shop.release(seed) for seed in range(6)]
    for age, release in enumerate(releases):
        (release.manifest.path / "clock.json").write_text(
            f'{{"trained_at": "2026-03-0{age + 1}T00:00:00+00:00"}}', encoding="utf-8"
        )
    names = names_of(shop.settings)
    push(shop.settings, releases[5])
    for release in releases[:5]:
        push(shop.settings, release)
        promote(shop.settings, release.id)
    with client(shop.settings) as milvus:
        kept = set(milvus.list_collections())
        assert milvus.describe_alias(names.previous)["collection_name"] == names.collection(releases[3].id)
    assert shop.settings.index.kept_releases == 3
    assert kept == {names.collection(releases[n].id) for n in (2, 3, 4, 5)}


def test_shops_on_one_server_leave_each_other_and_everybody_else_alone(shop: Shop) -> None:
    other = Shop(shop.settings.model_copy(update={"shop": "small_2"}), shop.catalog)
    shutil.copytree(shop.settings.paths.root, other.settings.paths.root)
    index = shop.settings.index.model_copy(update={"uri": milvus_uri(shop.settings), "kept_releases": 1})
    shops = [replace(s, settings=s.settings.model_copy(update={"index": index})) for s in (shop, other)]
    with client(shop.settings) as milvus:
        milvus.create_collection("items_of_somebody_else", dimension=4)
        for seed in range(4):
            lives = []
            for each in shops:
                release = each.release(seed)
                push(each.settings, release)
                promote(each.settings, release.id)
                lives.append(release.id)
            assert [live_release_id(each.settings) for each in shops] == lives
        kept = set(milvus.list_collections())
    assert "items_of_somebody_else" in kept
    for each in shops:
        assert sum(names_of(each.settings).is_collection(name) for name in kept) == 2


def test_a_release_that_cannot_be_dated_keeps_no_other_from_going_live(shop: Shop) -> None:
    torn, good = shop.release(1), shop.release(2)
    (torn.manifest.path / "clock.json").write_text('{"trained', encoding="utf-8")
    push(shop.settings, good)
    promote(shop.settings, good.id)
    assert live_release_id(shop.settings) == good.id


def test_a_release_whose_folder_is_gone_does_not_go_live(shop: Shop) -> None:
    good, gone = shop.release(1), shop.release(2)
    for release in (good, gone):
        push(shop.settings, release)
    promote(shop.settings, good.id)
    shutil.rmtree(gone.manifest.path)
    with pytest.raises(ReleaseError, match="no longer on disk"):
        promote(shop.settings, gone.id)
    assert live_release_id(shop.settings) == good.id


def test_a_push_killed_midway_is_done_again_and_live_stays(shop: Shop) -> None:
    old, new = shop.release(1), make_shop(shop.settings.home, items=4_000).release(2)
    push(shop.settings, old)
    promote(shop.settings, old.id)
    name = names_of(shop.settings).collection(new.id)
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
    assert live_ids(shop) == set(new.items.ids)


def test_searches_by_alias_go_on_while_it_moves(shop: Shop) -> None:
    releases = [shop.release(1), shop.release(2)]
    for release in releases:
        push(shop.settings, release)
        promote(shop.settings, release.id)
    served = load_served(shop.settings, releases[0].id)
    vector = np.ascontiguousarray(served.release.items.vectors[0])
    alias = names_of(shop.settings).live
    done = threading.Event()
    sizes: list[int] = []
    failed: list[Exception] = []

    def search() -> None:
        try:
            with client(shop.settings) as milvus:
                while not done.is_set():
                    found = milvus.search(alias, data=[vector], limit=5, output_fields=["item_id"], anns_field="vector")
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
