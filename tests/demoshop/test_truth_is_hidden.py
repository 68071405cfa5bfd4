"""Nothing that learns or serves may see the demo shop's hidden truth."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from infra.settings import Settings

ROOT = Path(__file__).parents[2]
BLIND = ("features", "training", "serving")


def sources() -> list[Path]:
    return [file for room in BLIND for file in sorted((ROOT / room).rglob("*.py"))]


def leaks(code: str) -> Iterator[str]:
    """Ways by which code could reach the truth: imports of demoshop, ``truth`` of paths, a path named truth."""
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] == "demoshop")
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "demoshop":
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and node.attr == "truth" and "path" in ast.unparse(node.value):
            yield "truth"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value.strip("/")
            if name in ("truth", "demoshop") or name.startswith(("truth/", "demoshop.")) or "/truth/" in node.value:
                yield node.value


def test_the_blind_rooms_are_scanned() -> None:
    assert {file.relative_to(ROOT).parts[0] for file in sources()} == set(BLIND)


@pytest.mark.parametrize("file", sources(), ids=lambda file: str(file.relative_to(ROOT)))
def test_no_way_to_the_truth(file: Path) -> None:
    assert not list(leaks(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "code",
    [
        "import demoshop.oracle",
        "from demoshop import truth",
        "p = settings.paths.truth",
        "p = getattr(settings.paths, 'truth')",
        "p = root / 'truth' / 'items.parquet'",
        "p = f'{root}/truth/items.parquet'",
        "import importlib; importlib.import_module('demoshop.truth')",
    ],
)
def test_the_scan_sees_leaks(code: str) -> None:
    assert list(leaks(code))


def test_truth_lies_outside_the_landing_folder(small: Settings) -> None:
    truth, landing = small.paths.truth, small.paths.landing
    assert list(truth.glob("requests/dt=*/part.parquet"))
    assert not truth.is_relative_to(landing)
    assert not landing.is_relative_to(truth)


def test_the_log_tells_nothing_hidden(small: Settings) -> None:
    files = [f for f in small.paths.landing.rglob("*.parquet")]
    columns = {name for file in files for name in pq.ParquetFile(file).schema_arrow.names}
    assert columns.isdisjoint(
        {"meant", "taste", "favourites", "ordered_item", "shelf", "popularity", "quality", "relevance"}
    )
