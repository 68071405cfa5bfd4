"""A run that starts from the live release: its weights where they fit, none that saw what is to judge."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from infra.settings import Settings
from tests.training.conftest import with_training
from training.data.arrays import Arrays, prepare_arrays
from training.data.ngrams import Hasher
from training.evaluation import EvaluationReport
from training.model.towers import Towers
from training.release.manifest import MANIFEST, content_id, file_entry
from training.release.writer import write_release
from training.run.candidate import fit_candidate_prior, load_candidate
from training.run.new_towers import new_towers
from training.run.ranking import fit_candidate_ranker
from training.run.trainer import EACH, train
from training.run.warm_start import start_from_release

pytestmark = pytest.mark.slow

MakeShop = Callable[..., Settings]


@pytest.fixture
def live(make_shop: MakeShop) -> tuple[Settings, Arrays, Path]:
    settings = with_training(make_shop(requests=600), epochs=1)
    candidate = train(settings).candidate_dir
    fit_candidate_prior(settings, candidate)
    fit_candidate_ranker(settings, candidate)
    arrays = prepare_arrays(settings)
    report = EvaluationReport(truth="orders", requests=0, items=arrays.items, rows=[], slices={})
    return settings, arrays, write_release(settings, candidate, report)


def rewrite(release: Path, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file of a release, which is whole again afterwards."""
    value = json.loads((release / name).read_text(encoding="utf-8"))
    change(value)
    (release / name).write_text(json.dumps(value), encoding="utf-8")
    manifest = json.loads((release / MANIFEST).read_text(encoding="utf-8"))
    manifest["files"][name] = file_entry(release / name)
    manifest["id"] = content_id(manifest["files"])
    (release / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")


def learned_until(release: Path, days: int) -> None:
    """Move the end of what the release learned from."""

    def move(config: dict[str, Any]) -> None:
        window = config["data_window"]
        window["cut"] = (datetime.fromisoformat(window["cut"]) + timedelta(days=days)).isoformat()

    rewrite(release, "config.json", move)


def start(towers: Towers, release: Path, arrays: Arrays) -> str:
    return start_from_release(towers, release, arrays.cut, None, arrays.meta["location"])


def test_every_weight_is_copied(live: tuple[Settings, Arrays, Path]) -> None:
    settings, arrays, release = live
    towers = new_towers(settings.training, arrays)
    assert start(towers, release, arrays) == release.name
    held = load_candidate(settings.paths.training / "candidate").state_dict()
    assert all(torch.equal(value, held[name]) for name, value in towers.state_dict().items())


def test_what_is_familiar_is_what_this_log_says(live: tuple[Settings, Arrays, Path]) -> None:
    settings, arrays, release = live
    towers = new_towers(settings.training, arrays)
    towers.in_vocabulary.logical_not_()
    own = towers.in_vocabulary.clone()
    start(towers, release, arrays)
    assert torch.equal(towers.in_vocabulary, own)


@pytest.mark.parametrize("changes", [{"hidden": 48}, {"graph": False}, {"fields": ("title", "category")}])
def test_other_towers_start_from_scratch(
    live: tuple[Settings, Arrays, Path], caplog: pytest.LogCaptureFixture, changes: dict[str, Any]
) -> None:
    settings, arrays, release = live
    towers = new_towers(with_training(settings, **changes).training, arrays)
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert start(towers, release, arrays) == "scratch"
    assert "other towers" in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in towers.state_dict().items())


def test_another_text_encoder_starts_from_scratch(live: tuple[Settings, Arrays, Path]) -> None:
    settings, arrays, release = live
    towers = new_towers(settings.training, arrays)
    assert start_from_release(towers, release, arrays.cut, "another", arrays.meta["location"]) == "scratch"


def test_places_that_moved_start_anew(live: tuple[Settings, Arrays, Path]) -> None:
    settings, arrays, release = live
    towers = new_towers(settings.training, arrays)
    fresh = towers.terms.tokens.weight.detach().clone()
    moved = {"50": [[1.0, 2.0], [3.0, 4.0]]}
    assert start_from_release(towers, release, arrays.cut, None, moved) == release.name
    numbers = Hasher(towers.config.buckets, 1).labels(["#geo50 0", "#geo50 1"]).ids
    held = load_candidate(settings.paths.training / "candidate").terms.tokens.weight
    others = np.setdiff1d(np.arange(len(fresh)), numbers)
    assert torch.equal(towers.terms.tokens.weight[numbers], fresh[numbers])
    assert torch.equal(towers.terms.tokens.weight[others], held[others])


def test_a_release_that_learned_from_later_requests_is_refused(
    live: tuple[Settings, Arrays, Path], caplog: pytest.LogCaptureFixture
) -> None:
    settings, arrays, release = live
    learned_until(release, days=1)
    towers = new_towers(settings.training, arrays)
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert start(towers, release, arrays) == "scratch"
    assert "later requests" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in towers.state_dict().items())


def flip_a_bit(release: Path) -> None:
    file = release / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-2] ^= 1
    file.write_bytes(content)


def older_format(release: Path) -> None:
    rewrite(release, "preprocessing.json", lambda fitted: fitted.pop("text_encoder"))


def no_manifest(release: Path) -> None:
    (release / MANIFEST).unlink()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [(flip_a_bit, "not what the manifest says"), (older_format, "older version"), (no_manifest, "is no release")],
)
def test_a_release_that_cannot_be_trusted_or_read_starts_from_scratch(
    live: tuple[Settings, Arrays, Path],
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    reason: str,
) -> None:
    settings, arrays, release = live
    damage(release)
    towers = new_towers(settings.training, arrays)
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert start(towers, release, arrays) == "scratch"
    assert reason in caplog.text
    assert all(torch.equal(value, before[name]) for name, value in towers.state_dict().items())


def test_training_starts_from_live_where_the_settings_say_so(live: tuple[Settings, Arrays, Path]) -> None:
    settings, _, release = live
    cold = train(settings, live=release)
    warm = train(with_training(settings, start="live"), live=release)
    assert (cold.started_from, warm.started_from) == ("scratch", release.name)
    assert warm.curve[0]["loss"] < cold.curve[0]["loss"]
    assert train(with_training(settings, start="live")).started_from == "scratch"


def test_what_the_live_weights_reach_is_the_first_processes_figure(
    live: tuple[Settings, Arrays, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that differ in a last bit would stop at different epochs and wait for each other."""
    settings, _, release = live

    def all_found(own: dict[str, Any]) -> dict[str, Any]:
        return dict.fromkeys(own, 1.0) | {EACH: [1.0] * len(own[EACH])}

    monkeypatch.setattr("training.run.trainer.agreed", all_found)
    assert train(with_training(settings, start="live"), live=release).best_epoch == 0
