"""Settings in a folder of its own, whose embedded services are stopped after the test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from infra import services
from infra.services import supervisor
from infra.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = Settings(home=tmp_path)
    yield settings
    services.stop_all(settings)
    supervisor.leave_all()
