"""Fields that are read otherwise than they were written, or that stand under a name that is not looked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from features.day_report import DayReport
from features.readiness.report import Gap


def field_gaps(reports: Iterable[DayReport]) -> Iterator[Gap]:
    """The first day's sentence on each field, of days that are used; a held day tells its own."""
    first: dict[str, str] = {}
    for report in reports:
        for told in report.wrong_fields if not report.held else ():
            first.setdefault(told.split(" ", 1)[0], f"{report.day}: {told}")
    for told in first.values():
        yield Gap(
            12,
            told,
            "A field that cannot be read, or is not found, teaches nothing.",
            "Mend what writes it; nothing where it is read all the same.",
        )
