from __future__ import annotations

from pathlib import Path

import pytest

from infra.settings import Settings
from tests.features.quality.quality_shop import write_shop


@pytest.fixture
def shop(tmp_path: Path) -> Settings:
    """A tiny healthy shop."""
    settings = Settings(home=tmp_path, shop="tiny")
    write_shop(settings)
    return settings
