"""Landing days to clean sessions on disk: each day whole or not at all, and the same however often it is run."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from features.completeness import what_all_rows_lack
from features.day_counts import count_day
from features.day_report import (
    VERSION,
    DayReport,
    built_days,
    read_report,
    settings_hash,
    write_report,
)
from features.day_tables import make_day_tables
from features.engine import batches_of_query, open_engine
from features.landing import DayFiles, day_files, other_days_have_events
from features.log_documents import LogRead, load_log
from features.publishing import STAGED_TABLES, Judge, Verdict, accepted_tables, open_sessions, publish, staged_tables
from features.rebuilt_requests import why_none_rebuilt
from features.ubi import read_events, read_queries
from features.variants import aliases_key
from infra.contract.partitions import part_files, write_partition
from infra.contract.tables import DAY_TABLES, SESSION_TABLES, columns_of
from infra.progress import Progress
from infra.settings import Settings

__all__ = ["DayReport", "build_sessions", "days_with_readers", "read_report"]


ORDER = {
    "requests": ("time", "query_id"),
    "impressions": ("time", "query_id", "position", "item_id"),
    "events": ("time", "event_id"),
    "left_out": ("query_id",),
    "quarantine": ("source", "row_id"),
}


def build_sessions(
    settings: Settings, days: Sequence[date], progress: Progress | None = None, judge: Judge | None = None
) -> list[DayReport]:
    """Read landing days, refuse what cannot be used, attribute orders, and publish the tables of each day.

    Days are taken in order. A day of which neither its files, nor the settings, nor the earlier days that it reads
    changed since it was built is left as it is, and judged again where the rules or what they compare with changed.
    The tables of a day whose share of refused rows is above ``settings.raw.max_bad_share``, or that break a rule, are
    not published (it is held): its report and quarantine are new and its tables are those of its last accepted
    version, or none.

    Args:
        settings: All settings.
        days: Landing days; add those of ``days_with_readers`` where a day is run again.
        progress: Called with a sentence and the share that is done.
        judge: Judges each day's tables before they are published; without one they are published as they are.

    Returns:
        A report per day, in order.

    Raises:
        LandingError: A day has not landed, has no rows at all, or a file of it cannot be read at all.
    """
    ordered = sorted(set(days))
    reports = []
    with open_sessions(settings):
        for done, day in enumerate(ordered):
            if progress:
                progress(f"sessions of {day}", done / len(ordered))
            reports.append(_build_day(settings, day, judge))
    if progress:
        progress(f"sessions of {len(ordered)} days", 1.0)
    return reports


def days_with_readers(settings: Settings, days: Sequence[date]) -> list[date]:
    """``days`` and the built days after them that may read them, in order.

    A day reads the days before it (requests that its events name or follow, ids that it must not repeat), so running a
    day again can change those after it, and these the ones after them.
    """
    wanted = set(days)
    if not wanted:
        return []
    reach = lookback(settings)
    latest = min(wanted)
    for day in sorted(wanted | {d for d in built_days(settings) if d > latest}):
        if day in wanted or day - latest <= reach:
            wanted.add(day)
            latest = day
    return sorted(wanted)


def days_of_other_aliases(settings: Settings) -> list[date]:
    """The accepted days that were read with other variants' ids than the catalogue leads to its products now."""
    reports = [report for day in built_days(settings) if (report := read_report(settings, day))]
    places = accepted_tables(settings)
    return [r.day for r in reports if r.output is not None and r.aliases != _aliases(settings, r.day, places)]


def lookback(settings: Settings) -> timedelta:
    """How many landing days before its own a day reads: all that can hold a request which one of its events follows.

    An id that comes again after longer than this is taken for another.
    """
    raw = settings.raw
    return timedelta(
        days=1 + math.ceil((raw.late_window + raw.ahead_window + raw.attribution_window) / timedelta(days=1))
    )


def _build_day(settings: Settings, day: date, judge: Judge | None) -> DayReport:
    started = time.perf_counter()
    files = day_files(settings, day)
    earlier = _accepted_before(settings, day)
    eventless = not files.events and other_days_have_events(settings, day)
    places, staged = accepted_tables(settings), staged_tables(settings)
    previous = read_report(settings, day)
    fingerprint = previous.fingerprint if previous and previous.stamps == files.stamps else files.fingerprint
    inputs = _inputs(settings, files, fingerprint, earlier, eventless, _aliases(settings, day, places))
    key = judge.key(settings, day) if judge else ""
    in_use = previous.output if previous and previous.output == _output(places, day) else None
    figures = previous.figures if previous and in_use else {}
    if previous and previous.inputs == inputs and previous.output == in_use and _told_apart(files):
        report = replace(previous, stamps=files.stamps, settings=settings_hash(settings))
        if judge and previous.judged != key and not previous.failed_rules:
            verdict = judge.judge(settings, report, places, list(earlier))
            report = replace(_ruled(report, verdict, in_use, figures), judged=key)
        if report.judged == key:
            if report != previous:
                write_report(settings, report)
            return report

    with open_engine(settings) as engine:
        read = _read(settings, engine, files)
        day_tables, bots = make_day_tables(settings, engine, day, list(earlier))
        incomplete = _incomplete(engine, settings, files, read, eventless)
        counts = count_day(engine, {name: day_tables[name] for name in SESSION_TABLES}, settings.raw)
        held = counts.bad_share > settings.raw.max_bad_share or bool(counts.bad_actions or incomplete)
        tables = {"quarantine": "quarantine", **({} if held else day_tables)}
        for name, rows in tables.items():
            in_order = batches_of_query(engine, f"FROM {rows} ORDER BY {', '.join(ORDER[name])}")
            write_partition(staged[name], day, in_order, STAGED_TABLES[name])
    report = DayReport(
        day=day,
        fingerprint=fingerprint,
        stamps=files.stamps,
        files=tuple(f.name for f in files.all if f.name not in read.unread),
        sources=counts.sources,
        rows_in=sum(c.rows_in for c in counts.sources.values()),
        clean=sum(c.clean for c in counts.sources.values()),
        ignored=sum(c.ignored for c in counts.sources.values()),
        reasons=counts.reasons,
        examples=counts.examples,
        bad_share=counts.bad_share,
        held=held,
        kept_previous=held and in_use is not None,
        rows_out=counts.rows_out,
        attribution=counts.attribution,
        unknown_actions=counts.unknown_actions,
        ignored_reasons=counts.ignored_reasons,
        basket_items=counts.basket_items,
        rebuilt_requests=counts.rebuilt_requests,
        named_by_text=counts.named_by_text,
        bad_actions=counts.bad_actions,
        wrong_fields=tuple(counts.wrong_fields),
        bots=bots.named,
        bot_clients=bots.clients,
        spared=bots.spared,
        agents=bots.agents,
        inputs="",
        output=in_use if held else _output(staged, day),
        settings=settings_hash(settings),
        seconds=0.0,
        unread={**files.unread, **read.unread},
        encodings=read.encodings,
        incomplete=incomplete,
        figures=figures if held else {},
    )
    if judge:
        verdict = judge.judge(settings, report, staged, list(earlier))
        report = replace(_ruled(report, verdict, in_use, figures), judged=key)
    aliases = _aliases(settings, day, places if report.held else staged)
    report = replace(
        report,
        inputs=_inputs(settings, files, fingerprint, earlier, eventless, aliases),
        aliases=aliases,
        seconds=round(time.perf_counter() - started, 3),
    )
    publish(settings, report)
    return report


def _ruled(report: DayReport, verdict: Verdict, in_use: str | None, figures: Mapping[str, float]) -> DayReport:
    """The report of a day that was judged: held where a rule is broken.

    Args:
        report: Of the day as it was read.
        verdict: What the rules say of it.
        in_use: Hash of the tables of its last accepted version; None where it has none.
        figures: The counts of these tables.
    """
    ruled = replace(report, failed_rules=verdict.failed_rules, warnings=verdict.warnings, checked=verdict.checked)
    if report.held or verdict.failed_rules:
        return replace(ruled, held=True, kept_previous=in_use is not None, output=in_use, figures=figures)
    return replace(ruled, figures=verdict.figures)


def _read(settings: Settings, engine: Any, files: DayFiles) -> LogRead:
    """Raw tables ``raw_ubi_queries`` and ``raw_ubi_events``, and their documents."""
    read = load_log(settings, engine, files)
    for source, typed in {"ubi_queries": read_queries, "ubi_events": read_events}.items():
        typed(engine, f"documents_{source}", f"raw_{source}", settings.raw.guest_ids)
    return read


def _incomplete(engine: Any, settings: Settings, files: DayFiles, read: LogRead, eventless: bool) -> str:
    """What a screened day lacks, so that it is held; nothing of a day that has all."""
    if not read.rows["ubi_queries"] and (why := why_none_rebuilt(engine)):
        named = ", ".join(f.name for f in files.all[:5])
        return f"there is no row of queries in its files ({named}), and {why}"
    if eventless and not read.rows["ubi_events"]:
        return (
            "it has queries and no file of events, though other days have one: all that it showed would count as not"
            " clicked. Land its ubi_events, or a file of no bytes of that name if there were none"
        )
    return what_all_rows_lack(engine, settings.raw)


def _accepted_before(settings: Settings, day: date) -> dict[date, str]:
    """The earlier days that ``day`` reads, each with the hash of its tables."""
    near = [d for d in built_days(settings) if day - lookback(settings) <= d < day]
    reports = [r for r in (read_report(settings, d) for d in near) if r is not None]
    return {r.day: r.output for r in reports if r.output is not None}


def _inputs(
    settings: Settings,
    files: DayFiles,
    fingerprint: str,
    earlier: Mapping[date, str],
    eventless: bool,
    aliases: str,
) -> str:
    content = {
        "version": VERSION,
        "columns": {name: columns_of(schema) for name, schema in DAY_TABLES.items()},
        "files": fingerprint,
        "aliases": aliases,
        "unread": dict(files.unread),
        "eventless": eventless,
        "settings": settings.raw.model_dump(mode="json"),
        "earlier": {day.isoformat(): output for day, output in earlier.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _aliases(settings: Settings, day: date, tables: Mapping[str, Path]) -> str:
    return aliases_key(settings, [file for name in ("impressions", "events") for file in part_files(tables[name], day)])


def _output(tables: Mapping[str, Path], day: date) -> str | None:
    """Hash of the day's tables on disk; None where one is absent."""
    digest = hashlib.sha256()
    for name in DAY_TABLES:
        files = part_files(tables[name], day)
        if not files:
            return None
        for file in files:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _told_apart(files: DayFiles) -> bool:
    """Whether a changed file would show: some remote file systems tell neither a time nor a checksum."""
    return all(f.stamp for f in files.all)
