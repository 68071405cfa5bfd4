"""Two processes train what one trains at the same global batch."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infra.settings import Settings
from tests.training.conftest import with_training
from training.data.arrays import prepare_arrays
from training.distributed import own_slice
from training.model.encoding import encode_catalog, encode_requests
from training.run.candidate import load_candidate
from training.run.trainer import train

pytestmark = pytest.mark.slow

MakeShop = Callable[..., Settings]
TRAIN = """
import sys
from infra.settings import Settings
from training.run.trainer import train
result = train(Settings.model_validate_json(sys.argv[1]))
print(result.curve[-1]["loss"], result.curve[-1]["recall@10"])
"""


WITHOUT_GRADIENT = ("item.layers.0.bias", "item.layers.0.running", "item.layers.1.bias", "item.layers.2.running_mean")
"""Shifts that the batch norm behind them takes away again: Adam makes steps of what is rounding there."""


def train_in_processes(settings: Settings, count: int) -> list[str]:
    """What each process prints of the run that they share."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1]), "WORLD_SIZE": str(count)}
    command = [sys.executable, "-c", TRAIN, settings.model_dump_json()]
    started = [
        subprocess.Popen(
            command,
            env={**os.environ, **address, "RANK": str(rank), "LOCAL_RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    told = [process.communicate(timeout=120) for process in started]
    assert [p.returncode for p in started] == [0] * count, told
    return [out for out, _ in told]


@pytest.fixture
def settings(make_shop: MakeShop) -> Settings:
    changes = {
        "dynamic": (1.0, 1.0),
        "hard_in_batch": (1.0, 1.0),
        "weight_fused": 1.0,
        "batch_size": 63,  # no half of it is whole
        "epochs": 1,
        "learning_rate": 1e-3,
    }
    return with_training(make_shop(requests=500), **changes)


def test_two_processes_learn_what_one_learns(settings: Settings, tmp_path: Path) -> None:
    # the two build the arrays, the one finds them
    first, second = train_in_processes(settings, 2)
    assert first == second
    loss, recall = (float(x) for x in first.split())
    shared = load_candidate(settings.paths.training / "candidate")
    alone = train(settings)
    assert loss == pytest.approx(alone.curve[-1]["loss"], rel=1e-4)
    assert recall == pytest.approx(alone.curve[-1]["recall@10"], abs=0.05)
    own, arrays = load_candidate(alone.candidate_dir), prepare_arrays(settings)
    weights = shared.state_dict()
    for name, expected in own.state_dict().items():
        if not name.startswith(WITHOUT_GRADIENT):
            np.testing.assert_allclose(weights[name].numpy(), expected.numpy(), atol=2e-4, err_msg=name)
    (items, requests), expected_vectors = (
        (encode_catalog(towers, arrays, arrays.cut, kept=32), encode_requests(towers, arrays, np.arange(400)))
        for towers in (shared, own)
    )
    np.testing.assert_allclose(items, expected_vectors[0], atol=2e-3)
    np.testing.assert_allclose(requests, expected_vectors[1], atol=1e-4)


def test_one_process_owns_every_row() -> None:
    assert own_slice(7) == slice(0, 7)


def test_an_error_of_the_first_process_does_not_hang_the_others(settings: Settings) -> None:
    (settings.paths.training_set / "split.json").unlink()
    with pytest.raises(AssertionError, match="build it before training"):
        train_in_processes(settings, 2)
