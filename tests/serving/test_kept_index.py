"""A built index is read again as it was built, and what cannot be read is built anew."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from serving.filters import Filter
from serving.index.kept import KeptIndex
from serving.index.kinds import IndexChoice
from serving.index.memory import MemoryIndex

CHOICES = [
    IndexChoice("HNSW", {"m": 8, "ef": 64, "ef_per_k": 2.0}),
    IndexChoice("IVF_FLAT", {"nlist": 20, "nprobe": 4}),
    IndexChoice("PQ_FASTSCAN", {"dims_per_code": 3}),
]


def vectors() -> np.ndarray:
    drawn = np.random.default_rng(0).standard_normal((2_000, 16)).astype(np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def index(choice: IndexChoice, kept: KeptIndex | None, rows: np.ndarray) -> MemoryIndex:
    return MemoryIndex(rows, pa.table({}), choice, kept=kept)


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.type)
def test_a_kept_index_finds_what_a_built_one_does(tmp_path: Path, choice: IndexChoice) -> None:
    kept, rows = KeptIndex(tmp_path / "built", "r1", tmp_path / "releases"), vectors()
    built = index(choice, kept, rows).search(rows[:50], 20, Filter())
    (file,) = (tmp_path / "built").iterdir()
    written = file.stat().st_mtime_ns
    read = index(choice, kept, rows).search(rows[:50], 20, Filter())
    np.testing.assert_array_equal(read.rows, built.rows)
    np.testing.assert_array_equal(read.scores, built.scores)
    assert file.stat().st_mtime_ns == written, "it was built again"
    index(IndexChoice(choice.type, {**choice.params, next(iter(choice.params)): 4}), kept, rows)
    assert len(list((tmp_path / "built").iterdir())) == 2, "another build is another file"


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.type)
def test_what_cannot_be_read_is_built_again(tmp_path: Path, choice: IndexChoice) -> None:
    kept, rows = KeptIndex(tmp_path / "built", "r1", tmp_path / "releases"), vectors()
    whole = index(choice, None, rows).search(rows[:50], 20, Filter())
    index(choice, kept, rows)
    (file,) = (tmp_path / "built").iterdir()
    for broken in (b"", file.read_bytes()[:100], b"not an index at all"):
        file.write_bytes(broken)
        found = index(choice, kept, rows).search(rows[:50], 20, Filter())
        np.testing.assert_array_equal(found.rows, whole.rows)
        assert len(file.read_bytes()) > 1_000, "and kept again"


def test_indexes_of_releases_that_are_gone_go_too(tmp_path: Path) -> None:
    built, releases = tmp_path / "built", tmp_path / "releases"
    for name in ("r1", "r2"):
        (releases / name).mkdir(parents=True)
        index(CHOICES[1], KeptIndex(built, name, releases), vectors())
    torn, young = built / ".torn", built / ".young"
    for file in (torn, young):
        file.write_bytes(b"half")
    os.utime(torn, (0, 0))
    (releases / "r1").rmdir()
    index(CHOICES[1], KeptIndex(built, "r3", releases), vectors())
    assert {file.name.partition("-")[0] for file in built.iterdir()} == {"r2", "r3", ".young"}


def test_a_folder_that_cannot_be_written_keeps_nobody_from_searching(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    rows = vectors()
    found = index(CHOICES[2], KeptIndex(tmp_path / "file", "r1", tmp_path), rows).search(rows[:5], 3, Filter())
    np.testing.assert_array_equal(found.rows[:, 0], np.arange(5))
