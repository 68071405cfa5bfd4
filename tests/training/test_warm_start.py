"""A run that starts from the live release: its weights where they fit, none that saw what is to judge."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import torch

from infra.settings import Settings
from tests.training.conftest import with_training
from training.arrays import Arrays, prepare_arrays
from training.candidate import boost_candidate, load_candidate
from training.evaluation import EvaluationReport
from training.release_writer import write_release
from training.trainer import new_towers, train
from training.warm_start import start_from_release

MakeShop = Callable[..., Settings]


@pytest.fixture
def live(make_shop: MakeShop) -> tuple[Settings, Arrays, Path]:
    settings = with_training(make_shop(requests=600), epochs=1)
    candidate = train(settings).candidate_dir
    boost_candidate(settings, candidate)
    arrays = prepare_arrays(settings)
    report = EvaluationReport(truth="orders", requests=0, items=arrays.items, rows=[], slices={})
    return settings, arrays, write_release(settings, candidate, report)


def learned_until(release: Path, days: int) -> None:
    """Move the end of what the release learned from."""
    config = json.loads((release / "config.json").read_text(encoding="utf-8"))
    moved = datetime.fromisoformat(config["data_window"]["cut"]) + timedelta(days=days)
    config["data_window"]["cut"] = moved.isoformat()
    (release / "config.json").write_text(json.dumps(config), encoding="utf-8")


def test_every_weight_is_copied(live: tuple[Settings, Arrays, Path]) -> None:
    settings, arrays, release = live
    towers = new_towers(settings.training, arrays)
    assert start_from_release(towers, release, arrays.cut) == release.name
    held = load_candidate(settings.paths.training / "candidate").state_dict()
    assert all(torch.equal(value, held[name]) for name, value in towers.state_dict().items())


def test_what_is_familiar_is_what_this_log_says(live: tuple[Settings, Arrays, Path]) -> None:
    settings, arrays, release = live
    towers = new_towers(settings.training, arrays)
    towers.familiar.logical_not_()
    own = towers.familiar.clone()
    start_from_release(towers, release, arrays.cut)
    assert torch.equal(towers.familiar, own)


def test_what_does_not_fit_starts_anew(live: tuple[Settings, Arrays, Path], caplog: pytest.LogCaptureFixture) -> None:
    settings, arrays, release = live
    other = with_training(settings, hidden=48, graph=False)
    torch.manual_seed(5)
    fresh = new_towers(other.training, arrays)
    torch.manual_seed(5)
    towers = new_towers(other.training, arrays)
    with caplog.at_level(logging.WARNING):
        assert start_from_release(towers, release, arrays.cut) == release.name
    assert "start anew" in caplog.text
    held = load_candidate(settings.paths.training / "candidate").state_dict()
    untouched = fresh.state_dict()
    for name, value in towers.state_dict().items():
        fits = name in held and held[name].shape == value.shape
        assert torch.equal(value, held[name] if fits else untouched[name]), name
    assert towers.state_dict()["item.layers.1.weight"].shape[0] == 48


def test_a_release_that_learned_from_later_requests_is_refused(
    live: tuple[Settings, Arrays, Path], caplog: pytest.LogCaptureFixture
) -> None:
    settings, arrays, release = live
    learned_until(release, days=1)
    towers = new_towers(settings.training, arrays)
    before = {name: value.clone() for name, value in towers.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert start_from_release(towers, release, arrays.cut) == "scratch"
    assert "later requests" in caplog.text
    assert all(torch.equal(before[name], value) for name, value in towers.state_dict().items())


def test_training_starts_from_live_where_the_settings_say_so(live: tuple[Settings, Arrays, Path]) -> None:
    settings, _, release = live
    cold = train(settings, live=release)
    warm = train(with_training(settings, start="live"), live=release)
    assert (cold.started_from, warm.started_from) == ("scratch", release.name)
    assert warm.curve[0]["loss"] < cold.curve[0]["loss"]
    assert train(with_training(settings, start="live")).started_from == "scratch"
