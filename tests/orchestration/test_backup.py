"""A shop is copied while it is served, comes back where there is none, and answers as before; a bad copy is refused."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from infra.services import stop_all
from infra.settings import Settings
from orchestration.backup import MANIFEST, BackupError, back_up, read_backup, restore
from orchestration.rebuild import rebuild
from serving.index import promote, push
from serving.retriever import Retriever
from tests.serving.small_shop import make_shop

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A shop with a live release and one before it."""
    shop = make_shop(tmp_path_factory.mktemp("kept"), items=60)
    for seed in (1, 2):
        release = shop.release(seed)
        push(shop.settings, release)
        promote(shop.settings, release.id)
    yield shop.settings
    stop_all(shop.settings)


def answer(settings: Settings, user: str | None = "u9") -> list[tuple[str, float]]:
    with Retriever(settings) as retriever:
        return [(hit.item_id, hit.score) for hit in retriever.retrieve(user, "red shoes", k=10).hits]


@contextmanager
def elsewhere(settings: Settings, home: Path) -> Iterator[Settings]:
    moved = settings.model_copy(update={"home": home})
    try:
        yield moved
    finally:
        stop_all(moved)


def test_a_restored_shop_answers_as_the_one_that_was_copied(settings: Settings, tmp_path: Path) -> None:
    with Retriever(settings) as serving:
        serving.record("u9", "click", item_id="i6")
        made = back_up(settings, tmp_path / "copy")
    before = answer(settings)
    with elsewhere(settings, tmp_path / "home") as moved:
        manifest, rebuilt = restore(moved, tmp_path / "copy")
        assert (rebuilt.live, rebuilt.before) == (made.live, made.before) and made.live != made.before
        assert manifest == made
        assert answer(moved) == before
        with pytest.raises(BackupError, match="not empty"):
            restore(moved, tmp_path / "copy")


@pytest.mark.parametrize("harm", ["a byte", "a file", "another file", "manifest"])
def test_a_backup_that_is_not_whole_is_refused_and_leaves_nothing(
    settings: Settings, tmp_path: Path, harm: str
) -> None:
    copy = tmp_path / "copy"
    back_up(settings, copy)
    file = next(copy.rglob("*.safetensors"))
    if harm == "a byte":
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(content)
    elif harm == "a file":
        file.unlink()
    elif harm == "another file":
        (copy / "shop" / "more").write_bytes(b"")
    else:
        (copy / MANIFEST).unlink()
    with pytest.raises(BackupError, match="is damaged" if harm != "manifest" else "no whole backup"):
        restore(settings.model_copy(update={"home": tmp_path / "home"}), copy)
    assert not (tmp_path / "home").exists()


def test_no_backup_is_written_over(settings: Settings, tmp_path: Path) -> None:
    back_up(settings, tmp_path / "copy")
    assert read_backup(tmp_path / "copy").shop == settings.shop_name
    with pytest.raises(BackupError, match="is there already"):
        back_up(settings, tmp_path / "copy")


def test_lost_services_are_filled_again(settings: Settings, tmp_path: Path) -> None:
    with elsewhere(settings, tmp_path / "home") as moved:
        back_up(settings, tmp_path / "copy")
        made, _ = restore(moved, tmp_path / "copy")
        before = answer(moved, None)
        stop_all(moved)
        shutil.rmtree(moved.paths.services)
        assert rebuild(moved).live == made.live
        assert answer(moved, None) == before
