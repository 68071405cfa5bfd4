"""A release: whole, the same for the same input, and refused when anything in it was touched."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infra.settings import Settings
from training.candidate import load_candidate
from training.evaluation import EvaluationReport, evaluate, read_evaluation
from training.release import (
    DESCRIPTION,
    IDENTITY,
    ReleaseError,
    clean_releases,
    latest_release,
    list_releases,
    load_release,
)
from training.release_writer import write_release
from training.trainer import train

MakeShop = Callable[..., Settings]


@pytest.fixture
def made(make_shop: MakeShop) -> tuple[Settings, Path, EvaluationReport]:
    settings = make_shop(requests=2_000)
    candidate = train(settings).candidate_dir
    return settings, candidate, evaluate(settings, candidate)


def test_written_and_loaded(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    path = write_release(settings, candidate, report)
    release = load_release(path)
    assert release.id == path.name
    assert {f.name for f in path.iterdir()} == {*IDENTITY, *DESCRIPTION, "manifest.json"}
    assert release.item_ids == release.items["item_id"].to_pylist()
    assert release.item_vectors.shape == (600, settings.training.dim)
    assert release.items["brand"].null_count == 0
    assert release.data_until.isoformat() == "2026-03-07T00:00:00+00:00"
    assert release.feature_service == "towers_v1"
    assert EvaluationReport.from_json(release.evaluation) == report == read_evaluation(candidate)
    towers = load_candidate(candidate)
    for name, weights in towers.state_dict().items():
        np.testing.assert_array_equal(weights.numpy(), release.towers.state_dict()[name].numpy())
    vector = release.encode_query("red shoes", ["blue mug"], release.item_ids[:2], [])
    assert vector.shape == (settings.training.dim,)
    assert vector.dtype == np.float32
    best = np.argsort(-release.item_vectors @ release.encode_query("red shoes"))[:5]
    assert all("shoes" in title for title in release.items["title"].take(best).to_pylist())
    assert "towers, not personalized" in (path / "model_card.md").read_text(encoding="utf-8")


def test_the_same_input_is_the_same_release(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    first = write_release(settings, candidate, report)
    again = write_release(settings, train(settings).candidate_dir, report)
    assert first == again
    assert [r.id for r in list_releases(settings)] == [first.name]
    assert list(settings.paths.releases.glob(".*")) == []


@pytest.mark.parametrize("file", [*IDENTITY, *DESCRIPTION])
def test_a_changed_file_is_refused(made: tuple[Settings, Path, EvaluationReport], file: str) -> None:
    settings, candidate, report = made
    path = write_release(settings, candidate, report)
    content = (path / file).read_bytes()
    (path / file).write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
    with pytest.raises(ReleaseError, match=file):
        load_release(path)
    (path / file).unlink()
    with pytest.raises(ReleaseError, match=f"lacks {file}"):
        load_release(path)


def test_a_changed_manifest_is_refused(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    path = write_release(settings, candidate, report)
    manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
    for change, sentence in (
        ({"schema_version": 2}, "schema version 2"),
        ({"id": "0" * 12}, "claims the id"),
        ({"files": {}}, "not the files of a release"),
    ):
        (path / "manifest.json").write_text(json.dumps(manifest | change), encoding="utf-8")
        with pytest.raises(ReleaseError, match=sentence):
            load_release(path)
    (path / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(ReleaseError, match="cannot be read"):
        load_release(path)
    with pytest.raises(ReleaseError, match="is no release"):
        load_release(path.parent / "nothing")


def test_cleaning_keeps_the_newest_and_what_it_is_told_to(made: tuple[Settings, Path, EvaluationReport]) -> None:
    settings, candidate, report = made
    original = write_release(settings, candidate, report)
    for n in range(5):
        copy = original.with_name(f"copy{n}")
        shutil.copytree(original, copy)
        (copy / "clock.json").write_text(
            json.dumps({"trained_at": f"2020-01-0{n + 1}T00:00:00+00:00"}), encoding="utf-8"
        )
    assert latest_release(settings).path == original
    assert clean_releases(settings, keep={"copy0"}) == ["copy2", "copy1"]
    assert {r.id for r in list_releases(settings)} == {original.name, "copy4", "copy3", "copy0"}


def test_no_release_is_said(make_shop: MakeShop) -> None:
    with pytest.raises(ReleaseError, match="train one first"):
        latest_release(make_shop(requests=50))
