"""What was read of a shop's data, in a few lines for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date

from features.bots import largest
from features.catalog import CatalogReport
from features.catalog_aliases import ALIASES
from features.day_report import DayReport, built_days, read_report, totals
from features.landing import unread_in_landing
from features.readiness.report import counted
from features.rebuilt_requests import rebuilt_told
from features.screening import BOT
from infra.settings import Settings

FIELDS = ("title", "description", "category_path", "brand", "price")
"""Fields whose counts are shown."""
NAMED = 6
"""Names that one list shows."""
WARNINGS = 5
"""Unusual things that are told."""


def catalog_lines(settings: Settings) -> list[str]:
    """How many items have what, which columns became what, and what was refused, of the catalogue as last built."""
    stored = json.loads((settings.paths.reports / "catalog.json").read_text(encoding="utf-8"))
    report = CatalogReport(**stored)
    counts = ", ".join(f"{field} {report.filled[field]:,}" for field in FIELDS if report.filled[field])
    absent = ", ".join(field for field in FIELDS if not report.filled[field])
    lines = [f"Catalogue of {report.items:,} items: {counts or 'ids alone'}{f'; none has {absent}' if absent else ''}."]
    read = [f"{column} as {field}" for field, column in report.columns.items() if column.strip().lower() != field]
    for what, columns in (("attributes", report.attribute_columns), ("description", report.description_columns)):
        if columns:
            read.append(f"{_some(columns)} as {what}")
    if read:
        lines.append(f"Columns read: {'; '.join(read)}.")
    if report.unused_columns:
        lines.append(f"Columns not read: {_some(report.unused_columns)}.")
    if not report.filled["title"]:
        *most, last = ALIASES["title"][:4]
        lines.append(
            f"No column was read as title: if there is one, name it {', '.join(most)} or {last}, or say which by"
            """ SHELFWISE_RAW__COLUMNS='{"title": "COLUMN"}'."""
        )
    refused = _refused(report.reasons)
    if report.repeats:
        refused += f", said twice {report.repeats:,}"
    if report.variants:
        refused += f", variants of others {report.variants:,}"
    if report.unreadable:
        refused += f", could not be read: {_largest(report.unreadable)}"
    if report.reasons or report.unreadable or report.variants or report.repeats:
        lines.append(f"Catalogue rows: {report.rows_in:,} read, {refused}.")
    if report.encodings:
        lines.append(_encodings(report.encodings))
    return [*lines, *(f"{name} {why}." for name, why in report.unread.items())]


def log_lines(settings: Settings, first: date, last: date) -> list[str]:
    """Rows read and refused, and unknown actions, of the days from ``first`` to ``last`` as they were last built."""
    days = [day for day in built_days(settings) if first <= day <= last]
    reports = [report for report in (read_report(settings, day) for day in days) if report]
    unread = unread_lines(settings, reports)
    if not reports:
        return unread
    reasons, ignored = totals(r.reasons for r in reports), totals(r.ignored_reasons for r in reports)
    actions = totals(r.unknown_actions for r in reports)
    baskets = sum(report.basket_items for report in reports)
    rows = sum(report.rows_in for report in reports)
    left_out = f", {sum(ignored.values()):,} ignored ({_largest(ignored)})" if ignored else ""
    made = f", {baskets:,} events more made of baskets" if baskets else ""
    lines = [f"Logs of {counted(len(reports), 'day')}: {rows:,} rows read, {_refused(reasons)}{left_out}{made}."]
    lines += _rebuilt_lines(reports)
    if actions:
        lines.append(f"Unknown actions: {_largest(actions)}. Say in shelfwise.toml, under [raw.actions], what each is.")
    lines += bot_lines(reports)
    encodings = {f"{report.day}/{name}": how for report in reports for name, how in report.encodings.items()}
    if encodings:
        lines.append(_encodings(encodings))
    lines += [f"{report.message}." for report in reports if report.incomplete]
    fields = [f"{report.day}: {told}." for report in reports if not report.incomplete for told in report.wrong_fields]
    lines += _first(fields, "fields")
    lines += _first([f"{report.day}: {warning}." for report in reports for warning in report.warnings], "unusual")
    return lines + unread


def bot_lines(reports: Sequence[DayReport]) -> list[str]:
    """The clients that were left out because no person can be them, and the rules that were not applied."""
    named = [f"{bot.client} {bot.rows:,} ({bot.why})" for bot in largest(b for r in reports for b in r.bots)]
    rows = sum(report.ignored_reasons.get(BOT, 0) for report in reports)
    most = max((report.bot_clients for report in reports), default=0)
    of_many = f", up to {most:,} clients a day" if most > len(named) else ""
    told = [f"Left out as bots: {rows:,} rows{of_many}: {_some(named)}."] if rows else []
    return [*told, *(f"{why}." for why in dict.fromkeys(why for report in reports for why in report.spared))]


def _first(told: Sequence[str], name: str) -> list[str]:
    """The first of lines on days, and where the others are: what the metadata of the asset calls them."""
    more = [f"{len(told) - WARNINGS} more such lines: see `{name}` of the asset sessions."]
    return [*told[:WARNINGS], *(more if len(told) > WARNINGS else [])]


def unread_lines(settings: Settings, reports: Iterable[DayReport]) -> list[str]:
    """What lies in the landing folder, or in its days, and is not read: a line for each reason."""
    names: dict[str, list[str]] = {}
    for name, why in unread_in_landing(settings).items():
        names.setdefault(why, []).append(name)
    for report in reports:
        for name, why in report.unread.items():
            names.setdefault(why, []).append(f"dt={report.day}/{name}")
    return [f"Not read: {_some(listed)}: {why}." for why, listed in names.items()]


def _rebuilt_lines(reports: Sequence[DayReport]) -> list[str]:
    """Requests that were made of events, and the days that have no others."""
    rebuilt, taken = totals(r.rebuilt_requests for r in reports), sum(report.named_by_text for report in reports)
    lines = []
    if rebuilt:
        lines.append(
            f"Requests rebuilt from events that carry their text: {rebuilt_told(rebuilt)}. What they showed is known"
            " only where impressions were logged."
        )
    if taken:
        lines.append(f"Events without a query id that took one by their text and person: {taken:,}.")
    bare = [report for report in reports if not report.sources["ubi_queries"].rows_in]
    if rebuilt and 0 < len(bare) < len(reports):
        lines.append(
            f"No row of queries on {_some(str(report.day) for report in bare)}, though other days have some: land its"
            " ubi_queries if there are any."
        )
    return lines


def _encodings(encodings: Mapping[str, str]) -> str:
    """The encodings of the files that are not UTF-8, and what to do where one was guessed."""
    guessed = any("guessed" in how for how in encodings.values())
    remedy = ". Set SHELFWISE_RAW__ENCODING if that is not right" if guessed else ""
    return f"Encodings: {_some(f'{name} {how}' for name, how in encodings.items())}{remedy}."


def _refused(reasons: Mapping[str, int]) -> str:
    return f"{sum(reasons.values()):,} refused ({_largest(reasons)})" if reasons else "none refused"


def _largest(counts: Mapping[str, int]) -> str:
    return _some(f"{name or '(no name)'} {n:,}" for name, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))


def _some(names: Iterable[str]) -> str:
    """The first names of a list, and how many there are besides."""
    listed = list(names)
    more = f" and {len(listed) - NAMED} more" if len(listed) > NAMED else ""
    return ", ".join(listed[:NAMED]) + more
