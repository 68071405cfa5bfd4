"""A shop made of what an adapter imports, as a run reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from features.adapters.run import Imported, import_logs
from features.build_sessions import DayReport, build_sessions
from features.catalog import build_catalog
from features.landing import landing_days
from infra.contract.partitions import partition_file
from infra.settings import Settings


@dataclass
class Shop:
    """An import and what the reader makes of it."""

    imported: Imported
    settings: Settings
    reports: Sequence[DayReport]

    def became(self) -> dict[tuple[str, str], int]:
        """Rows by event of the source and what it became."""
        return {(event, became): rows for event, became, rows, _ in self.imported.became}

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Rows of ``requests``, ``impressions`` or ``events`` of all days."""
        files = [partition_file(self.settings.paths.sessions / table, report.day) for report in self.reports]
        return [row for file in files if file.exists() for row in pq.ParquetFile(file).read().to_pylist()]

    def items(self) -> list[dict[str, Any]]:
        """The catalogue's items."""
        return pq.ParquetFile(self.settings.paths.catalog).read().to_pylist()

    def reasons(self) -> dict[str, int]:
        """Refused rows of all days."""
        found: dict[str, int] = {}
        for report in self.reports:
            for reason, n in report.reasons.items():
                found[reason] = found.get(reason, 0) + n
        return found


def shop_of(source: str, folder: Path, *files: Path, catalog: bool = True, **how: Any) -> Shop:
    """Import files into ``folder/logs`` and run the readers over it; rows read equal rows accounted for."""
    logs = folder / "logs"
    imported = import_logs(source, [str(file) for file in files], logs, **how)
    assert sum(rows for _, _, rows, _ in imported.became) == imported.rows_in
    settings = Settings(home=folder / "home", landing=str(logs), shop="test")
    if catalog:
        build_catalog(settings)
    reports = build_sessions(settings, landing_days(settings))
    return Shop(imported, settings, reports)
