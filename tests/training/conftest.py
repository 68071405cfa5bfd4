"""The toy shop and its settings, and torch on one thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from infra.settings import Settings, TrainingSettings
from tests.training.toy_shop import ToyShop, write_toy_shop

SMALL = TrainingSettings(
    text_encoder="none",
    buckets=2**12,
    token_dim=16,
    dim=16,
    hidden=32,
    batch_size=128,
    epochs=3,
    least_steps=1,
    learning_rate=5e-3,
    device="cpu",
    threads=1,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_shop(tmp_path: Path) -> Callable[..., Settings]:
    """Writes a toy shop of given sizes (the fields of ``ToyShop``) and returns its settings."""

    def make(name: str = "toy", **sizes: object) -> Settings:
        settings = Settings(home=tmp_path, shop=name, training=SMALL)
        write_toy_shop(settings.paths, ToyShop(**sizes))  # type: ignore[arg-type]
        return settings

    return make


def with_training(settings: Settings, **changes: object) -> Settings:
    """The same settings with others of the group ``training``."""
    return settings.model_copy(update={"training": settings.training.model_copy(update=changes)})
