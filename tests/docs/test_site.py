"""The site builds without a network, and loads nothing from elsewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import HERE

pytestmark = pytest.mark.slow


def test_the_site_builds_in_strict_mode(tmp_path: Path) -> None:
    pytest.importorskip("material", reason="pip install -c constraints.txt -e '.[docs]'")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=HERE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    page = (tmp_path / "architecture.html").read_text(encoding="utf-8")
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"?https?://(?!shelfwise)[^\s>]+", page)
