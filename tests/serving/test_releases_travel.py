"""Two homes that share Milvus, Redis and a place for releases, and no disk: one trains, the other serves."""

from __future__ import annotations

import logging
import shutil
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from infra.services import redis_address
from infra.settings import ReleaseSettings, Settings
from orchestration.releases import ELSEWHERE, clean, find_release, go_back, make_live, release_statuses
from serving import Retriever, live
from serving.index import live_release_id, promote, push, roll_back
from tests.s3_server import BUCKET, WITHOUT_S3, access, free_ports, s3_server
from tests.serving.small_shop import Shop, make_shop, publish_user
from tests.serving.test_milvus_server import PATIENT_SERVING
from tests.serving.test_retriever import PATIENT, exact_ids, milvus_server, put_live, wait_for
from training.release.manifest import ReleaseError
from training.release.store import StoreUnavailable

pytestmark = pytest.mark.server


class Folder:
    """A folder that all machines mount."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._away = folder, folder.with_name("away")
        self.url = str(folder)
        folder.mkdir()

    def go_away(self) -> None:
        self._folder.rename(self._away)

    def come_back(self) -> None:
        self._away.rename(self._folder)

    def close(self) -> None:
        pass


class ObjectStore:
    """A bucket of a server, which is killed and started again."""

    url = f"s3://{BUCKET}/releases"

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._folder, self._ports, self._running = folder, free_ports(4), ExitStack()
        for name, value in access(self._ports[0]).items():
            monkeypatch.setenv(name, value)
        self.come_back()

    def go_away(self) -> None:
        self._running.close()

    def come_back(self) -> None:
        self._running.enter_context(s3_server(self._folder, self._ports))

    close = go_away


@pytest.fixture(params=["folder", pytest.param("s3", marks=WITHOUT_S3)])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Folder | ObjectStore]:
    made = Folder(tmp_path / "store") if request.param == "folder" else ObjectStore(tmp_path / "store", monkeypatch)
    yield made
    made.close()


@pytest.fixture
def trains(place: Folder | ObjectStore, tmp_path: Path) -> Iterator[Shop]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    redis = redis_address(Settings(home=tmp_path / "redis", shop="redis")).url
    with milvus_server(tmp_path / "milvus", port):
        yield make_shop(
            tmp_path / "trains",
            items=200,
            serving=PATIENT_SERVING,
            online=PATIENT.model_validate({**PATIENT.model_dump(), "redis_url": redis}),
            index={"uri": f"http://127.0.0.1:{port}", "search": "memory", "kept_releases": 1},
            releases={"url": place.url},
        )


def elsewhere(shop: Shop, home: str) -> Settings:
    """The settings of a machine whose home is empty."""
    return shop.settings.model_copy(update={"home": shop.settings.home.with_name(home)})


def told_by(retriever: Retriever) -> tuple[str, list[str]]:
    answer = retriever.retrieve(None, "mug")
    return answer.release_id, answer.fallbacks


def cached(settings: Settings) -> set[str]:
    return {folder.name for folder in settings.paths.releases.iterdir() if folder.is_dir()}


def test_a_machine_without_the_disk_serves_follows_and_goes_on(
    place: Folder | ObjectStore, trains: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(live, "RETRY_REFUSED_S", 1.0)
    first, second, third = (trains.release(seed) for seed in (1, 2, 3))
    publish_user(trains.settings, "u1", queries=["red shoes"], items=["i0", "i6"], orders=["i6"])
    put_live(trains, first)
    serves = elsewhere(trains, "serves")
    assert not serves.home.exists()

    def answers_by(release_id: str) -> None:
        wait_for(lambda: told_by(retriever) == (release_id, []))

    with Retriever(serves) as retriever:
        answers_by(first.id)
        assert [h.item_id for h in retriever.retrieve(None, "red mug", k=20).hits] == exact_ids(first, "red mug", 20)
        assert retriever.retrieve("u1", "mug").personalized
        put_live(trains, second)
        answers_by(second.id)
        assert roll_back(trains.settings) == first.id
        answers_by(first.id)

        push(trains.settings, third)
        place.go_away()
        assert roll_back(trains.settings) == second.id
        answers_by(second.id)
        with pytest.raises(StoreUnavailable, match=r"releases\.url"):
            promote(trains.settings, third.id)
        assert live_release_id(trains.settings) == second.id
        here = trains.settings.model_copy(
            update={"releases": trains.settings.releases.model_copy(update={"url": None})}
        )
        with caplog.at_level(logging.WARNING):
            promote(here, third.id)  # whatever moved the alias, what cannot be fetched is not served
            wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == ["newer_release_unusable"])
        assert retriever.retrieve(None, "mug").release_id == second.id
        assert f"live release {third.id} is unusable, {second.id} serves: {place.url}" in caplog.text
    with Retriever(serves) as retriever:  # a start without the place: live cannot be had, the one before is here
        answer = retriever.retrieve(None, "mug")
        assert (answer.release_id, answer.fallbacks) == (second.id, ["newer_release_unusable"])
        place.come_back()
        promote(trains.settings, third.id)
        answers_by(third.id)
        wait_for(lambda: cached(serves) == {second.id, third.id})  # live, and the one before


def test_releases_are_moved_and_cleaned_from_any_machine(
    place: Folder | ObjectStore, trains: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [trains.release(seed).id for seed in (1, 2, 3, 4)]
    for release_id in ids[:3]:
        make_live(trains.settings, release_id, force=True)
    other = elsewhere(trains, "other")
    told = {release.id: release for release in release_statuses(other)}
    assert {release_id: told[release_id].state for release_id in told} == {
        ids[0]: "unproven", ids[1]: "previous", ids[2]: "live",
    }  # fmt: skip
    assert all(release.reasons[:1] == list(ELSEWHERE) and release.trained_at for release in told.values())
    assert make_live(other, find_release(other, ids[0][:6]), force=True) == ids[2]
    assert cached(other) == {ids[0]}
    assert go_back(other) == ids[2]
    assert set(clean(trains.settings)) == {ids[1]}, "live, the one before and the newest stay"
    assert {release.id for release in release_statuses(elsewhere(trains, "third"))} == {ids[0], ids[2]}
    place.go_away()
    with caplog.at_level(logging.WARNING):
        assert go_back(elsewhere(trains, "fourth")) == ids[0], "an emergency does not wait for it"
        assert f"rolling back to release {ids[0]}, which servers without it cannot fetch" in caplog.text
        with pytest.raises(ReleaseError, match=f"there is no release '{ids[2]}' here"):
            make_live(elsewhere(trains, "fourth"), ids[2], force=True)
    assert "only releases of this machine are known" in caplog.text


def test_a_damaged_object_does_not_replace_what_serves(
    place: Folder | ObjectStore, trains: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    if not isinstance(place, Folder):
        pytest.skip("the same for both: the store's own tests damage objects")
    good, bad = trains.release(1), trains.release(2)
    put_live(trains, good)
    serves = elsewhere(trains, "serves")
    with Retriever(serves) as retriever, caplog.at_level(logging.WARNING):
        push(trains.settings, bad)
        broken = Path(place.url) / "small" / bad.id
        shutil.copytree(bad.manifest.path, broken)
        (broken / "item_vectors.safetensors").write_bytes(b"torn")
        promote(trains.settings, bad.id)
        wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == ["newer_release_unusable"])
        assert retriever.retrieve(None, "mug").release_id == good.id
        assert "item_vectors.safetensors is not what the manifest says, and was not kept" in caplog.text
        assert bad.id not in cached(serves)


def test_a_shop_that_is_copied_to_a_place_later(place: Folder | ObjectStore, trains: Shop) -> None:
    stays = replace(trains, settings=trains.settings.model_copy(update={"releases": ReleaseSettings()}))
    release = stays.release(1)
    put_live(stays, release)
    serves = elsewhere(trains, "serves")
    with pytest.raises(ReleaseError, match=f"neither on this machine nor at .*`shelfwise promote {release.id}`"):
        Retriever(serves)
    make_live(trains.settings, release.id, force=True)
    with Retriever(serves) as retriever:
        assert retriever.release_id == release.id
