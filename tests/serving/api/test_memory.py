"""What a container may have is read off its control group."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from serving.api.memory import memory_limit

MACHINE = psutil.virtual_memory().total


@pytest.mark.parametrize(
    ("file", "text", "limit"),
    [
        ("memory.max", "1073741824\n", 2**30),
        ("memory.max", "max\n", MACHINE),
        ("memory/memory.limit_in_bytes", "1073741824\n", 2**30),
        ("memory/memory.limit_in_bytes", "9223372036854771712\n", MACHINE),
        ("other", "", MACHINE),
    ],
)
def test_the_limit(tmp_path: Path, file: str, text: str, limit: int) -> None:
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(text)
    assert memory_limit(tmp_path) == limit
