from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings, TrainingSettings
from tests.training.toy_shop import ToyShop, write_toy_shop

SMALL = TrainingSettings(
    buckets=2**12, token_dim=16, dim=16, hidden=32, batch_size=128, epochs=3, learning_rate=5e-3, device="cpu"
)


@pytest.fixture
def toy_settings(tmp_path: Path) -> Settings:
    """Settings of a toy shop whose training set is on disk."""
    settings = Settings(home=tmp_path, shop="toy", training=SMALL)
    write_toy_shop(settings.paths, ToyShop())
    return settings
