"""Which days a run takes, and what it says where none is new."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.features.readiness.shop import DAYS, new_shop

pytestmark = pytest.mark.slow

TWICE = """
from features.build_sessions import build_sessions
from features.catalog import build_catalog
from orchestration.partitions import choose_days, landed_files
from orchestration.shop import claim_shop, shop_settings
settings = shop_settings()
claim_shop(settings, settings.landing)
print(*choose_days(None), flush=True)
build_catalog(settings)
build_sessions(settings, landed_files(settings))
print(*choose_days(None), flush=True)
"""


def test_with_nothing_new_the_last_day_is_taken_and_told(tmp_path: Path) -> None:
    settings = new_shop(tmp_path)
    given = {"SHELFWISE_HOME": str(tmp_path / "home"), "SHELFWISE_LANDING": str(settings.landing)}
    ran = subprocess.run(
        [sys.executable, "-c", TWICE], env=os.environ | given, capture_output=True, text=True, check=False
    )
    assert ran.stdout.splitlines() == [f"{DAYS[0]} {DAYS[-1]}", f"{DAYS[-1]} {DAYS[-1]}"], ran.stderr
    assert ran.stderr.count("No day is new or changed: the towers are trained again") == 1
