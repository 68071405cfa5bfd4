"""Currency by content: touching, copying and moving change nothing, every change of a byte does."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from infra.contract.content import content_key, file_hash, step_key


def test_a_key_goes_by_content_settings_and_version(tmp_path: Path) -> None:
    root = tmp_path / "shop"
    root.mkdir()
    file = root / "rows"
    file.write_bytes(b"one")
    key = step_key(1, {"a": 1}, [file], root)
    os.utime(file, ns=(1, 1))
    assert step_key(1, {"a": 1}, [file], root) == key
    moved = tmp_path / "moved"
    shutil.copytree(root, moved)
    assert step_key(1, {"a": 1}, [moved / "rows"], moved) == key
    assert step_key(2, {"a": 1}, [file], root) != key
    assert step_key(1, {"a": 2}, [file], root) != key
    file.write_bytes(b"two")
    assert step_key(1, {"a": 1}, [file], root) != key


def test_no_file_is_another_input_than_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    assert file_hash(file) is None
    missing = step_key(1, [], [file])
    file.touch()
    assert file_hash(file) is not None
    assert step_key(1, [], [file]) != missing


def test_a_file_replaced_by_another_of_its_size_is_read_again(tmp_path: Path) -> None:
    file, other = tmp_path / "rows", tmp_path / "other"
    file.write_bytes(b"one")
    first = file_hash(file)
    other.write_bytes(b"two")
    other.replace(file)
    assert file_hash(file) != first


def test_the_same_files_have_the_same_key_wherever_they_lie(tmp_path: Path) -> None:
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in folders:
        folder.mkdir()
        (folder / "rows").write_text("a")
    here, there = (content_key([folder / "rows"], folder) for folder in folders)
    assert here == there != content_key([folders[0] / "none"], folders[0])
    (folders[1] / "rows").write_text("b")
    assert content_key([folders[1] / "rows"], folders[1]) != here
