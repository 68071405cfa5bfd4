"""The example runs as a user runs it, in a process and a folder of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.server]
ROOT = Path(__file__).parents[2]


def test_from_own_logs_to_hits(tmp_path: Path) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SHELFWISE_")}
    ran = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "own_logs.py"), str(tmp_path)],
        env=clean | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    hits = re.findall(r"^(-?\d+\.\d{3})  (i\d+)$", ran.stdout, re.M)
    assert len(hits) == 5, ran.stdout
    assert [float(score) for score, _ in hits] == sorted((float(score) for score, _ in hits), reverse=True)
