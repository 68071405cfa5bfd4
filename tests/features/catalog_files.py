"""Where a shop's catalogue lands, and the items that came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from infra.contract.tables import CATALOG
from infra.settings import Settings


def landing(settings: Settings) -> Path:
    folder = Path(str(settings.landing))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def items(settings: Settings) -> list[dict[str, Any]]:
    table = pq.ParquetFile(settings.paths.catalog).read()
    assert table.schema == CATALOG
    return table.to_pylist()
