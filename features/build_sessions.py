"""Landing days to clean sessions on disk: each day whole or not at all, and the same however often it is run."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from filelock import FileLock

from features.bots import Bots
from features.day_counts import count_day
from features.day_report import (
    DayReport,
    built_days,
    read_report,
    report_path,
    settings_hash,
    write_report,
)
from features.day_screening import STORED, screen_day, tables_before
from features.engine import batches_of, open_engine
from features.lacking import what_all_rows_lack
from features.landing import DayFiles, day_files, other_days_have_events
from features.log_documents import LogRead, load_log
from features.rebuilt_requests import why_none_rebuilt
from features.screening import DayWindow
from features.sessions import (
    attributed_events,
    clean_requests,
    day_impressions,
    touched_impressions,
    with_sessions,
)
from features.ubi import read_events, read_queries
from features.variants import aliases_key, item_aliases
from infra.contract.partitions import drop_partition, partition_file, write_partition, written_days
from infra.contract.tables import QUARANTINE, SESSION_TABLES, columns_of
from infra.progress import Progress
from infra.settings import Settings

__all__ = ["DayReport", "build_sessions", "days_to_rebuild", "read_report"]


ORDER = {
    "requests": ("time", "query_id"),
    "impressions": ("time", "query_id", "position", "item_id"),
    "events": ("time", "event_id"),
    "left_out": ("query_id",),
}
VERSION = 5
"""Raised where the same logs give other tables than before: days built by an older version are built again."""


def build_sessions(settings: Settings, days: Sequence[date], progress: Progress | None = None) -> list[DayReport]:
    """Read landing days, refuse what cannot be used, attribute orders, and write the tables of each day.

    Days are taken in order. A day of which neither its files, nor the settings, nor the earlier days that it reads
    changed since it was built is left as it is. After a day whose share of refused rows is above
    ``settings.raw.max_bad_share`` (held) its report and quarantine are new and its tables are those of its last
    accepted version, or none.

    Args:
        settings: All settings.
        days: Landing days; add those of ``days_to_rebuild`` where a day is run again.
        progress: Called with a sentence and the share that is done.

    Returns:
        A report per day, in order.

    Raises:
        LandingError: A day has not landed, has no rows at all, or a file of it cannot be read at all.
    """
    ordered = sorted(set(days))
    reports = []
    settings.paths.root.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.paths.root / "sessions.lock"):
        for done, day in enumerate(ordered):
            if progress:
                progress(f"sessions of {day}", done / len(ordered))
            reports.append(_build_day(settings, day))
    if progress:
        progress(f"sessions of {len(ordered)} days", 1.0)
    return reports


def days_to_rebuild(settings: Settings, days: Sequence[date]) -> list[date]:
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
    return [r.day for r in reports if r.output is not None and r.aliases != _aliases(settings, r.day)]


def withdraw(settings: Settings, day: date, failed_rules: Sequence[str]) -> None:
    """Hold a day whose tables broke a rule: take them out, so that no later run reads them; its report says why.

    A day that is held for its refused rows stays as it is, with its last accepted version if it has one.
    """
    report = read_report(settings, day)
    if report is None or report.held:
        return
    write_report(
        settings, replace(report, held=True, kept_previous=False, output=None, failed_rules=tuple(failed_rules))
    )
    for name in STORED:
        drop_partition(settings.paths.sessions / name, day)


def forget_other_days(settings: Settings, days: Sequence[date]) -> None:
    """Take out what was built of days that are not among ``days``: a made log has those days and no others."""
    kept = set(days)
    for day in set(built_days(settings)) - kept:
        report_path(settings, day).unlink(missing_ok=True)
    for table in (*settings.paths.sessions.glob("*"), *settings.paths.features.glob("*"), settings.paths.quarantine):
        for day in set(written_days(table)) - kept:
            drop_partition(table, day)


def lookback(settings: Settings) -> timedelta:
    """How many landing days before its own a day reads: all that can hold a request which one of its events follows.

    An id that comes again after longer than this is taken for another.
    """
    raw = settings.raw
    return timedelta(
        days=1 + math.ceil((raw.late_window + raw.ahead_window + raw.attribution_window) / timedelta(days=1))
    )


def _build_day(settings: Settings, day: date) -> DayReport:
    started = time.perf_counter()
    files = day_files(settings, day)
    earlier = _accepted_before(settings, day)
    eventless = not files.events and other_days_have_events(settings, day)
    inputs = _inputs(settings, files, earlier, eventless)
    previous = read_report(settings, day)
    in_use = previous.output if previous and previous.output == _output(settings, day) else None
    unchanged = previous and previous.inputs == inputs and previous.output == in_use and not previous.failed_rules
    if previous and unchanged and _told_apart(files):
        report = replace(previous, settings=settings_hash(settings))
        if report != previous:
            write_report(settings, report)
        return report

    with open_engine(settings) as engine:
        read = _read(settings, engine, files)
        day_tables, bots = _transform(settings, engine, day, list(earlier))
        incomplete = _incomplete(engine, settings, files, read, eventless)
        counts = count_day(engine, {name: day_tables[name] for name in SESSION_TABLES}, settings.raw)
        held = counts.bad_share > settings.raw.max_bad_share or bool(counts.bad_actions or incomplete)
        # Without its report a day counts as not built: a kill from here on leaves no day that is half new.
        report_path(settings, day).unlink(missing_ok=True)
        quarantine = engine.table("quarantine").order_by("source", "row_id")
        write_partition(settings.paths.quarantine, day, batches_of(engine, quarantine), QUARANTINE)
        for name, schema in STORED.items():
            if not held:
                rows = day_tables[name].order_by(*ORDER[name])
                write_partition(settings.paths.sessions / name, day, batches_of(engine, rows), schema)
            elif in_use is None:
                drop_partition(settings.paths.sessions / name, day)
    report = DayReport(
        day=day,
        fingerprint=files.fingerprint,
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
        bots=bots.named,
        bot_clients=bots.clients,
        spared=bots.spared,
        agents=bots.agents,
        inputs=_inputs(settings, files, earlier, eventless),  # again: the aliases are those of the new tables' items
        aliases=_aliases(settings, day),
        output=_output(settings, day),
        settings=settings_hash(settings),
        seconds=round(time.perf_counter() - started, 3),
        unread={**files.unread, **read.unread},
        encodings=read.encodings,
        incomplete=incomplete,
    )
    write_report(settings, report)
    return report


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


def _transform(settings: Settings, engine: Any, day: date, earlier: Sequence[date]) -> tuple[Mapping[str, Any], Bots]:
    """The tables of the day that are kept; leaves ``screened_<source>``, ``quarantine`` and ``day_events``."""
    window = DayWindow.of(day, settings.raw)
    before, aliases = tables_before(settings, engine, list(earlier)), item_aliases(engine, settings)
    screened = screen_day(settings, engine, day, before, aliases)
    events = screened.events.filter(screened.events.reason.isnull())
    touched = touched_impressions(before["impressions"], before["requests"], events, screened.requests)
    touched = engine.create_table("touched_impressions", touched)
    shown = day_impressions(screened.requests, events, before["requests"], touched, window, aliases)
    shown = engine.create_table("day_impressions", shown)
    requests = engine.create_table("day_requests", clean_requests(screened.requests, events, shown, window))
    places = ["query_id", "item_id", "position"]
    attributed = attributed_events(
        events, with_sessions(screened.asked, events), shown.select(places).union(touched.select(places)), window
    )
    attributed = engine.create_table("day_events", attributed)
    tables = {"requests": requests, "impressions": shown, "events": attributed, "left_out": screened.left_out}
    return tables, screened.bots


def _accepted_before(settings: Settings, day: date) -> dict[date, str]:
    """The earlier days that ``day`` reads, each with the hash of its tables."""
    near = [d for d in built_days(settings) if day - lookback(settings) <= d < day]
    reports = [r for r in (read_report(settings, d) for d in near) if r is not None]
    return {r.day: r.output for r in reports if r.output is not None}


def _inputs(settings: Settings, files: DayFiles, earlier: Mapping[date, str], eventless: bool) -> str:
    content = {
        "version": VERSION,
        "columns": {name: columns_of(schema) for name, schema in STORED.items()},
        "files": files.fingerprint,
        "aliases": _aliases(settings, files.day),
        "unread": dict(files.unread),
        "eventless": eventless,
        "settings": settings.raw.model_dump(mode="json"),
        "earlier": {day.isoformat(): output for day, output in earlier.items()},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _aliases(settings: Settings, day: date) -> str:
    return aliases_key(settings, [partition_file(settings.paths.sessions / n, day) for n in ("impressions", "events")])


def _output(settings: Settings, day: date) -> str | None:
    """Hash of the day's tables on disk; None where one is absent."""
    digest = hashlib.sha256()
    for name in STORED:
        file = partition_file(settings.paths.sessions / name, day)
        if not file.exists():
            return None
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _told_apart(files: DayFiles) -> bool:
    """Whether a changed file would show: some remote file systems tell neither a time nor a checksum."""
    return all(f.stamp for f in files.all)
