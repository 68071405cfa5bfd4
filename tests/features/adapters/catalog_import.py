"""A catalogue that an adapter imports, as a run reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from features.adapters.run import Imported, import_logs
from features.catalog import CatalogReport, build_catalog
from infra.settings import Settings


@dataclass
class CatalogImport:
    """An import, the items that the reader makes of it by id, and the ids that lead to them."""

    imported: Imported
    report: CatalogReport
    items: dict[str, dict[str, Any]]
    aliases: dict[str, str]

    def became(self) -> dict[tuple[str, str], int]:
        """Rows by event of the source and what it became."""
        return {(event, became): rows for event, became, rows, _ in self.imported.became}

    def attributes(self, item: str) -> dict[str, list[str]]:
        """Attribute -> its values."""
        found: dict[str, list[str]] = {}
        for pair in self.items[item]["attributes"]:
            found.setdefault(pair["key"], []).append(pair["value"])
        return found


def catalog_import(source: str, folder: Path, files: dict[str, str | bytes], **options: str) -> CatalogImport:
    """Import files of a catalogue; every row read is accounted for, and the reader refuses none."""
    paths = []
    for name, content in files.items():
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        paths.append(str(path))
    logs = folder / "logs"
    imported = import_logs(source, paths, logs, options=options)
    assert sum(rows for _, _, rows, _ in imported.became) == imported.rows_in
    items = sum(written for _, became, _, written in imported.became if not became.startswith("judgement"))
    assert items == imported.written.catalog
    settings = Settings(home=folder / "home", landing=str(logs), shop="test")
    report = build_catalog(settings)
    assert (report.reasons, report.unreadable) == ({}, {})
    aliases = pq.ParquetFile(settings.paths.item_aliases).read().to_pylist()
    return CatalogImport(
        imported,
        report,
        {row["item_id"]: row for row in pq.ParquetFile(settings.paths.catalog).read().to_pylist()},
        {row["alias_id"]: row["item_id"] for row in aliases},
    )
