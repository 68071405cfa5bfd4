"""Write, judge, publish: a day's tables are staged, and only then take the place of its last accepted version.

A publication is one rename: that of the day's report into ``sessions_staged/publish``. What follows from it, moving
the staged tables into place, may be cut off anywhere and is carried to its end by whoever opens the sessions next.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock

from features.day_report import DayReport, built_days, report_from, report_path, write_report, written_report
from infra.contract.partitions import drop_partition, partition_file, write_json, written_days
from infra.contract.tables import DAY_TABLES, QUARANTINE
from infra.settings import Settings

STAGED_TABLES = {**DAY_TABLES, "quarantine": QUARANTINE}
"""Tables of a day that are staged."""


@dataclass(frozen=True)
class Verdict:
    """What the rules say of a day's tables."""

    failed_rules: tuple[str, ...] = ()
    """A sentence for each rule that blocks: what it saw, an example of each side, and the one thing to change."""
    warnings: tuple[str, ...] = ()
    """What is unusual and blocks nothing."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What later days are compared with."""
    checked: Mapping[str, Any] = field(default_factory=dict)
    """All rules and what came out, as ``quality.results.SuiteResult.to_json`` writes them."""


class Judge(Protocol):
    """Judges a day's tables before they are published."""

    def key(self, settings: Settings, day: date) -> str:
        """Hash of all that the verdict on given tables follows from, but for the tables."""
        ...

    def judge(
        self, settings: Settings, report: DayReport, tables: Mapping[str, Path], earlier: Sequence[date]
    ) -> Verdict:
        """The verdict on the day of ``report``.

        Args:
            settings: All settings.
            report: Of the day as it was read; a held one has no tables to judge.
            tables: Folder of each of ``STAGED_TABLES``.
            earlier: The accepted days before that the day reads.
        """
        ...


def staged_tables(settings: Settings) -> dict[str, Path]:
    """Where the tables of days lie that are not judged yet."""
    return {name: settings.paths.staged / name for name in STAGED_TABLES}


def accepted_tables(settings: Settings) -> dict[str, Path]:
    """Where the tables of days lie that are in use, and the quarantine."""
    return {name: settings.paths.sessions / name for name in DAY_TABLES} | {"quarantine": settings.paths.quarantine}


@contextmanager
def open_sessions(settings: Settings) -> Iterator[None]:
    """Alone with the session tables of a shop, after every publication that was cut off has been carried to its end."""
    settings.paths.root.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.paths.root / "sessions.lock"):
        _finish_publications(settings)
        shutil.rmtree(settings.paths.staged, ignore_errors=True)
        yield
        shutil.rmtree(settings.paths.staged, ignore_errors=True)


def settle(settings: Settings) -> None:
    """Carry publications that were cut off to their end, so that no reader finds tables of two versions of a day."""
    if settings.paths.staged.exists():
        with open_sessions(settings):
            pass


def publish(settings: Settings, report: DayReport) -> None:
    """Make what is staged of a day, and its report, the day's version in use; of a held day only the quarantine is."""
    write_json(_commit(settings, report.day), written_report(report))
    _finish(settings, report.day)


def forget_other_days(settings: Settings, days: Sequence[date]) -> None:
    """Take out what was built of days that are not among ``days``: a made log has those days and no others."""
    kept = set(days)
    for day in set(built_days(settings)) - kept:
        report_path(settings, day).unlink(missing_ok=True)
    for table in (*settings.paths.sessions.glob("*"), *settings.paths.features.glob("*"), settings.paths.quarantine):
        for day in set(written_days(table)) - kept:
            drop_partition(table, day)


def _commit(settings: Settings, day: date) -> Path:
    return settings.paths.staged / "publish" / f"{day.isoformat()}.json"


def _finish_publications(settings: Settings) -> None:
    for path in sorted((settings.paths.staged / "publish").glob("*.json")):
        if not path.name.startswith("."):
            _finish(settings, date.fromisoformat(path.stem))


def _finish(settings: Settings, day: date) -> None:
    """Every step may have been done before: what is no longer staged has been moved."""
    commit = _commit(settings, day)
    report = report_from(json.loads(commit.read_text(encoding="utf-8")))
    staged, places = staged_tables(settings), accepted_tables(settings)
    moved = ["quarantine"] if report is None or report.held else list(STAGED_TABLES)
    for name in moved:
        file, place = partition_file(staged[name], day), partition_file(places[name], day)
        if file.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            file.replace(place)
    if report is None or (report.held and not report.kept_previous):
        for name in DAY_TABLES:
            drop_partition(places[name], day)
    if report is None:  # of another version of Shelfwise: the day counts as not built
        report_path(settings, day).unlink(missing_ok=True)
    else:
        write_report(settings, report)
    for table in staged.values():
        drop_partition(table, day)
    commit.unlink()
