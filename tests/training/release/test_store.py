"""Releases travel whole or not at all: published, fetched, damaged, killed at each step, cleaned."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import fsspec
import pytest

from infra.settings import ReleaseSettings, Settings
from tests.s3_server import BUCKET, WITHOUT_S3, access, free_ports, s3_server
from tests.serving.small_shop import make_shop
from training.release import store as store_module
from training.release.manifest import CLOCK, MANIFEST, ReleaseError, file_entry, verify_release
from training.release.places import clean_store, known_releases, publish, release_folder
from training.release.release import load_release
from training.release.store import FETCHING, ReleaseStore, StoreUnavailable

FETCH = """
import sys
from pathlib import Path
from training.release.store import ReleaseStore
print(ReleaseStore(sys.argv[1]).fetch(sys.argv[2], Path(sys.argv[3])))
"""
COPY = "copyfileobj"
PARTS = ("items.parquet", "lexical/size.json", "model.safetensors")


class Killed(BaseException):
    """What a process does not survive."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Folders of three releases, the oldest first."""
    shop = make_shop(tmp_path_factory.mktemp("trains"), items=60)
    return [shop.release(seed).manifest.path for seed in (1, 2, 3)]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    ports = free_ports(4)
    with s3_server(tmp_path_factory.mktemp("s3"), ports):
        yield access(ports[0])


@pytest.fixture(params=["file", "memory", pytest.param("s3", marks=[WITHOUT_S3, pytest.mark.server])])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "file":
        yield str(tmp_path / "releases")
        return
    if request.param == "memory":
        yield "memory://releases"
        fsspec.filesystem("memory").store.clear()
        return
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    yield f"s3://{BUCKET}/{tmp_path.name}"


def contents(folder: Path) -> dict[str, bytes]:
    return {f.relative_to(folder).as_posix(): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def kill_at(monkeypatch: pytest.MonkeyPatch, files: Any, method: str, call: int) -> None:
    """Have a function end the process at its nth call; a copy is then half done."""
    real, calls = getattr(files, method), [0]

    def dies(*args: Any, **options: Any) -> Any:
        calls[0] += 1
        if calls[0] < call:
            return real(*args, **options)
        if method == COPY:
            source, target, _ = args
            content = source.read()
            target.write(content[: len(content) // 2])
        raise Killed

    monkeypatch.setattr(files, method, dies)


def test_what_is_published_is_fetched_as_it_was(url: str, made: list[Path], tmp_path: Path) -> None:
    folder, here = made[0], tmp_path / "serves"
    store = ReleaseStore(url)
    assert store.releases() == [] and folder.name not in store
    with pytest.raises(ReleaseError, match=f"neither on this machine nor at .*shelfwise promote {folder.name}"):
        store.fetch(folder.name, here)
    assert store.publish(folder)
    assert not store.publish(folder), "it is there"
    assert [r.id for r in store.releases()] == [folder.name]
    fetched = store.fetch(folder.name, here)
    assert fetched == here / folder.name and contents(fetched) == contents(folder)
    assert load_release(fetched).items.ids == load_release(folder).items.ids
    assert {f.name for f in here.iterdir()} == {folder.name, ".fetch.lock"}


def test_a_publisher_killed_anywhere_leaves_nothing_to_be_seen(
    url: str, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, store = made[0], ReleaseStore(url)
    files = len(verify_release(folder)["files"]) + 1
    for where, method, call in (*((shutil, COPY, n) for n in (1, files // 2, files)), (store._files, "mv", 1)):
        with monkeypatch.context() as patched:
            kill_at(patched, where, method, call)
            with pytest.raises(Killed):
                store.publish(folder)
        assert store.releases() == [] and folder.name not in store
        with pytest.raises(ReleaseError, match="neither"):
            store.fetch(folder.name, tmp_path / "serves")
    assert store.publish(folder)
    assert contents(store.fetch(folder.name, tmp_path / "serves")) == contents(folder)


def test_a_damaged_object_is_named_and_not_kept(url: str, made: list[Path], tmp_path: Path) -> None:
    folder, here, store = made[0], tmp_path / "serves", ReleaseStore(url)
    store.publish(folder)
    for name in PARTS:
        place, whole = f"{store._root}/{folder.name}/{name}", (folder / name).read_bytes()
        store._files.pipe_file(place, whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ReleaseError, match=f"{name} is not what the manifest says, and was not kept"):
            store.fetch(folder.name, here)
        assert not (here / folder.name).exists() and not (here / f"{FETCHING}{folder.name}" / name).exists()
        store._files.rm_file(place)
        with pytest.raises(StoreUnavailable, match=f"cannot be fetched from, release {folder.name} is not on this"):
            store.fetch(folder.name, here)
        store._files.pipe_file(place, whole)
    assert contents(store.fetch(folder.name, here)) == contents(folder)


def test_a_fetch_killed_halfway_is_gone_on_with(
    url: str, made: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, here, store = made[0], tmp_path / "serves", ReleaseStore(url)
    store.publish(folder)
    count = len(verify_release(folder)["files"])
    with monkeypatch.context() as patched:
        kill_at(patched, shutil, COPY, count // 2)
        with pytest.raises(Killed):
            store.fetch(folder.name, here)
    assert not (here / folder.name).exists()
    torn = next(f for f in (here / f"{FETCHING}{folder.name}").rglob("*") if f.is_file())
    torn.write_bytes(torn.read_bytes()[:-1])
    with monkeypatch.context() as patched:
        kill_at(patched, shutil, COPY, count - count // 2 + 1 + 2)  # the rest and what is torn, and no more
        assert contents(store.fetch(folder.name, here)) == contents(folder)


def test_many_processes_fetch_at_once(made: list[Path], tmp_path: Path) -> None:
    folder, here, url = made[0], tmp_path / "serves", str(tmp_path / "store")
    ReleaseStore(url).publish(folder)
    command = [sys.executable, "-c", FETCH, url, folder.name, str(here)]
    fetchers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    told = [fetcher.communicate(timeout=120)[0].strip() for fetcher in fetchers]
    assert told == [str(here / folder.name)] * 4
    assert contents(here / folder.name) == contents(folder)
    assert {f.name for f in here.iterdir()} == {folder.name, ".fetch.lock"}


def test_a_manifest_that_means_harm_is_refused_before_anything_is_fetched(made: list[Path], tmp_path: Path) -> None:
    folder, here = made[0], tmp_path / "serves"
    store = ReleaseStore(str(tmp_path / "store"))
    store.publish(folder)
    place = tmp_path / "store" / folder.name / MANIFEST
    manifest = json.loads(place.read_text(encoding="utf-8"))
    files = manifest["files"]
    for change, sentence in (
        ({"files": {**files, "lexical/../../../escaped": files["items.parquet"]}}, "not the files of a release"),
        ({"files": {**files, CLOCK: "text"}}, "not the files of a release"),
        ({"files": {**files, "items.parquet": {"sha256": "0", "size": 1}}}, "claims the id"),
        ({"schema_version": 99}, "schema version 99"),
    ):
        place.write_text(json.dumps(manifest | change), encoding="utf-8")
        with pytest.raises(ReleaseError, match=sentence):
            store.fetch(folder.name, here)
    shutil.copytree(made[1], tmp_path / "store" / "another")
    with pytest.raises(ReleaseError, match="holds release"):
        store.fetch("another", here)
    with pytest.raises(ReleaseError, match="no release id"):
        store.fetch("../another", here)
    assert [f.name for f in here.iterdir()] == [".fetch.lock"]
    assert not list(tmp_path.rglob("escaped"))


def test_cleaning_keeps_the_newest_and_what_it_is_told_to(
    url: str, made: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ReleaseStore(url)
    for folder in made:
        store.publish(folder)
    oldest, middle, newest = (folder.name for folder in made)
    assert [r.id for r in store.releases()] == [newest, middle, oldest]
    half = f"{store._root}/0123456789ab/{CLOCK}"
    store._files.makedirs(half.rsplit("/", 1)[0], exist_ok=True)
    store._files.pipe_file(half, b"{}")
    assert store.clean(keep={oldest}, newest=1) == [middle]
    assert {r.id for r in store.releases()} == {newest, oldest} and store._files.exists(half), "it may be under way"
    monkeypatch.setattr(store_module, "UNFINISHED_FOR", timedelta(seconds=-60))
    assert store.clean(keep={oldest}, newest=1) == [] and not store._files.exists(half)
    with monkeypatch.context() as patched:
        kill_at(patched, store._files, "rm", 1)
        with pytest.raises(Killed):
            store.delete(oldest)
    assert [r.id for r in store.releases()] == [newest]
    store.clean(keep=set(), newest=1)
    left = store._files.find(store._root, detail=True).values()
    assert {f["name"].split(f"{store._root}/")[1].split("/")[0] for f in left if f["type"] == "file"} == {newest}


def test_a_place_that_is_away_is_named(made: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "a file"
    blocked.write_text("no folder", encoding="utf-8")
    for url in (str(blocked), "nosuch://releases"):
        settings = Settings(home=tmp_path, shop="demo", releases=ReleaseSettings(url=url))
        with pytest.raises(StoreUnavailable, match=r"\(releases.url\) (cannot be opened; its|is no folder)"):
            release_folder(settings, made[0].name)
        shutil.copytree(made[0], settings.paths.releases / made[0].name, dirs_exist_ok=True)
        with pytest.raises(StoreUnavailable, match=r"releases.url"):
            publish(settings, made[0].name)
        with caplog.at_level(logging.WARNING):
            assert [r.id for r in known_releases(settings)] == [made[0].name]
            assert clean_store(settings, ()) == []
        shutil.rmtree(settings.paths.releases)


def test_without_a_url_releases_stay_where_they_are(made: list[Path]) -> None:
    home = made[0].parents[2]
    settings = Settings(home=home, shop="small")
    assert release_folder(settings, made[0].name) == made[0]
    assert not publish(settings, made[0].name)
    assert {r.path for r in known_releases(settings)} == set(made)
    with pytest.raises(ReleaseError, match="none of that id on this machine"):
        release_folder(settings, "0123456789ab")


def test_releases_are_known_wherever_they_are(made: list[Path], tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, shop="small", releases=ReleaseSettings(url=f"file://{tmp_path}/store/"))
    (tmp_path / "store").mkdir()
    store = ReleaseStore(str(tmp_path / "store" / "small"))
    for folder in made[:2]:
        store.publish(folder)
    shutil.copytree(made[2], settings.paths.releases / made[2].name)
    assert [r.id for r in known_releases(settings)] == [folder.name for folder in reversed(made)]
    assert release_folder(settings, made[0].name) == settings.paths.releases / made[0].name
    assert file_entry(settings.paths.releases / made[0].name / MANIFEST) == file_entry(made[0] / MANIFEST)
