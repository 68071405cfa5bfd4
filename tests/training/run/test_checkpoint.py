"""A killed run goes on from its checkpoint as if nothing had happened, never from another's or a broken one."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file

from infra.settings import Settings
from tests.training.conftest import with_training
from training.run.checkpoint import STATE, TENSORS, Checkpoint, RunState
from training.run.trainer import TrainingResult, train

pytestmark = pytest.mark.slow

MakeShop = Callable[..., Settings]


class KilledError(Exception):
    """What a run dies of here."""


def weights_of(result: TrainingResult) -> dict[str, NDArray[np.float32]]:
    return dict(load_file(result.candidate_dir / "model.safetensors"))


def assert_equal(a: dict[str, NDArray[np.float32]], b: dict[str, NDArray[np.float32]]) -> None:
    assert a.keys() == b.keys()
    for name, weights in a.items():
        np.testing.assert_array_equal(weights, b[name], err_msg=name)


def killed_at(settings: Settings, sentence: str) -> Path:
    """Train until the progress says so; the checkpoint that is left."""

    def progress(message: str, share: float) -> None:
        if sentence in message:
            raise KilledError

    with pytest.raises(KilledError):
        train(settings, progress)
    folder = settings.paths.training / "checkpoint"
    assert (folder / STATE).exists()
    return folder


@pytest.fixture
def settings(make_shop: MakeShop) -> Settings:
    # 24 steps an epoch; progress is told at the 20th
    changes = {"least_steps": 24, "batch_size": 16, "epochs": 2, "checkpoint_steps": 7, "dynamic": (0.0, 1.0)}
    return with_training(make_shop(requests=150, items=60), **changes)


@pytest.mark.parametrize("sentence", ["epoch 1: step", "epoch 2: step", "epoch 1: loss"])
def test_resumed_is_as_if_never_killed(settings: Settings, sentence: str) -> None:
    whole = train(settings)
    assert whole.started_from == "scratch"
    checkpoint = killed_at(settings, sentence)
    resumed = train(settings)
    assert (resumed.started_from, resumed.resumed) == ("scratch", True)
    assert_equal(weights_of(resumed), weights_of(whole))
    timeless = [[{k: v for k, v in e.items() if k != "seconds"} for e in of.curve] for of in (resumed, whole)]
    assert timeless[0] == timeless[1]
    assert resumed.best_epoch == whole.best_epoch
    assert not checkpoint.exists()


def test_a_checkpoint_of_other_settings_is_not_used(settings: Settings) -> None:
    other = with_training(settings, seed=8)
    whole = train(other)
    killed_at(settings, "epoch 2: step")
    again = train(other)
    assert again.started_from == "scratch"
    assert_equal(weights_of(again), weights_of(whole))


def test_a_checkpoint_of_another_training_set_is_not_used(settings: Settings) -> None:
    killed_at(settings, "epoch 2: step")
    split = settings.paths.training_set / "split.json"
    split.write_text(json.dumps(json.loads(split.read_text(encoding="utf-8")), indent=1), encoding="utf-8")
    assert train(settings).started_from == "scratch"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_run_with_a_damaged_checkpoint_starts_anew(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    whole = train(settings)
    flip_a_bit(killed_at(settings, "epoch 2: step") / TENSORS)
    with caplog.at_level(logging.WARNING):
        again = train(settings)
    assert "is damaged" in caplog.text
    assert again.started_from == "scratch"
    assert_equal(weights_of(again), weights_of(whole))


AT = RunState(epoch=2, step=7, totals=[1.5], curve=[{"epoch": 1}], best=[0.25, 1.0], best_epoch=1, seconds=3.0)


def written(folder: Path) -> tuple[torch.nn.Linear, torch.optim.AdamW]:
    """A model that took two steps, and its checkpoint."""
    torch.manual_seed(1)
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        model(torch.ones(4, 3)).square().sum().backward()
        optimiser.step()
    best = {name: value + 1 for name, value in model.state_dict().items()}
    Checkpoint(folder, "this run").save(model, best, optimiser, AT)
    return model, optimiser


def fresh() -> tuple[torch.nn.Linear, torch.optim.AdamW]:
    model = torch.nn.Linear(3, 2)
    return model, torch.optim.AdamW(model.parameters())


def test_what_was_saved_is_put_back(tmp_path: Path) -> None:
    model, optimiser = written(tmp_path / "checkpoint")
    other, empty = fresh()
    found = Checkpoint(tmp_path / "checkpoint", "this run").load(other, empty)
    assert found is not None
    progress, best = found
    assert progress == AT
    for name, value in model.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
        assert torch.equal(best[name], value + 1)
    for number, moments in optimiser.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(empty.state_dict()["state"][number][name], value)
    assert Checkpoint(tmp_path / "checkpoint", "another run").load(other, empty) is None
    assert Checkpoint(tmp_path / "nothing", "this run").load(other, empty) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip_a_bit(folder / TENSORS),
        lambda folder: (folder / TENSORS).write_bytes(b""),
        lambda folder: (folder / TENSORS).unlink(),
        lambda folder: (folder / STATE).write_text("{"),
        lambda folder: (folder / STATE).write_text("[]"),
        lambda folder: (folder / STATE).write_text('{"run": "this run"}'),
        lambda folder: (folder / STATE).write_bytes(b"\xff\xfe"),
    ],
)
def test_damage_is_said_and_changes_nothing(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "checkpoint"
    written(folder)
    damage(folder)
    model, optimiser = fresh()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with caplog.at_level(logging.WARNING):
        assert Checkpoint(folder, "this run").load(model, optimiser) is None
    assert str(folder) in caplog.text
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not optimiser.state_dict()["state"]
