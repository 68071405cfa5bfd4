"""Counts over the raw sessions of landing days, one row per day."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow.parquet as pq

from features.build_sessions import lookback
from features.day_report import read_report
from features.engine import open_engine
from features.quality.tables import (
    DAY,
    any_null,
    catalog_ids,
    count_per_day,
    days_around,
    on_days,
    per_day,
    read_with_day,
    repeats,
    start_of,
    unknown_share,
)
from infra.contract import tables
from infra.contract.names import INTERACTIONS
from infra.contract.partitions import partition_file, written_days
from infra.settings import RawSettings, Settings

TABLES = tables.SESSION_TABLES
NEEDED = {
    "requests": ("query_id", "query", "time", "known_at"),
    "impressions": ("query_id", "item_id", "time", "known_at"),
    "events": ("event_id", "action", "item_id", "time", "known_at", "attribution"),
}
"""Columns that are never null."""
REPORT_MEASURES = (
    "not_built",
    "held",
    "bad_share",
    "rows_unaccounted",
    "quarantine_missing",
    "rows_lost",
    "held_rows_in_use",
)
VOLUME_DAYS = 7
"""Earlier days that a day's volume is held against."""
VOLUME_MIN_DAYS = 3
"""Earlier days that must exist before volume is judged."""


def session_measures(settings: Settings, days: Sequence[date]) -> pd.DataFrame:
    """One row per landing day: what its report says, and counts over all its rows.

    A day without a report, or held, has no other measures. A table is read beyond ``days``, for an event may land on
    another day than its request.
    """
    reports = _report_measures(settings, days)
    used = [day for day in days if reports.loc[day.isoformat(), ["not_built", "held"]].isna().all()]
    near = days_around(days, lookback(settings))
    folder = settings.paths.sessions
    with open_engine(settings) as backend:
        rows = {name: read_with_day(backend, folder / name, used, fields) for name, fields in TABLES.items()}
        wide = {name: read_with_day(backend, folder / name, near, fields) for name, fields in TABLES.items()}
        catalog = catalog_ids(backend, settings)
        frames = [
            reports,
            _volume_measures(settings, used),
            *(_row_measures(settings.raw, name, rows[name]) for name in TABLES),
            per_day(
                rows["requests"],
                requests_shown=rows["requests"].count(where=rows["requests"].shown > 0),
                anonymous_share=rows["requests"].user_id.isnull().mean(),
            ),
            _shown_miscounted(rows["requests"], rows["impressions"]),
            _funnel(rows["requests"], wide["events"]),
            *_attribution(rows["events"], wide["requests"], wide["impressions"]),
            _without_request(rows["impressions"], wide["requests"], "impressions_without_request"),
            _without_request(rows["events"], wide["requests"], "events_without_request"),
            repeats(rows["requests"], ["query_id"], "requests_repeated"),
            repeats(rows["impressions"], ["query_id", "item_id"], "impressions_repeated"),
            repeats(rows["events"], ["event_id"], "events_repeated"),
            unknown_share(rows["impressions"], catalog, "unknown_shown_share"),
            unknown_share(rows["events"], catalog, "unknown_event_share"),
        ]
    return on_days(days, frames, counted_on=used)


def _report_measures(settings: Settings, days: Sequence[date]) -> pd.DataFrame:
    """What the builder wrote about each day, and whether the tables agree with it."""
    return pd.DataFrame(
        [_report_row(settings, day) for day in days], index=pd.Index([d.isoformat() for d in days], name=DAY)
    )


def _report_row(settings: Settings, day: date) -> dict[str, Any]:
    report = read_report(settings, day)
    if report is None:
        return dict.fromkeys(REPORT_MEASURES) | {"not_built": "no report of the day: build its sessions first"}
    refused = sum(report.reasons.values())
    stored = {name: _stored_rows(settings.paths.sessions / name, day) for name in TABLES}
    lost = sum(abs(stored[name] - report.rows_out[name]) for name in TABLES)
    unused = report.held and not report.kept_previous
    return {
        "not_built": None,
        "held": report.message if report.held else None,
        "bad_share": report.bad_share,
        "rows_unaccounted": report.rows_in + report.basket_items - report.clean - report.ignored - refused,
        "quarantine_missing": refused - _stored_rows(settings.paths.quarantine, day),
        "rows_lost": None if report.held else lost,
        "held_rows_in_use": sum(stored.values()) if unused else None,
    }


def _stored_rows(table: Path, day: date) -> int:
    """Rows of a partition, from its file's metadata; 0 where there is no file."""
    file = partition_file(table, day)
    return int(pq.read_metadata(file).num_rows) if file.exists() else 0


def _volume_measures(settings: Settings, days: Sequence[date]) -> pd.DataFrame:
    """Requests of a day against the median of the days before it that are in use."""
    table = settings.paths.sessions / "requests"
    stored = {day: _stored_rows(table, day) for day in written_days(table)}
    ratios = {}
    for day in days:
        earlier = [stored[d] for d in sorted(stored) if d < day][-VOLUME_DAYS:]
        usual = statistics.median(earlier) if len(earlier) >= VOLUME_MIN_DAYS else 0
        ratios[day.isoformat()] = stored.get(day, 0) / usual if usual else float("nan")
    return pd.DataFrame({"volume_ratio": pd.Series(ratios, dtype="float64")})


def _row_measures(raw: RawSettings, name: str, rows: Any) -> pd.DataFrame:
    """Rows, rows that lack something, and rows whose times cannot be."""
    start = start_of(rows[DAY])
    # An impression has the time of its request, which may have landed late itself.
    reach = raw.late_window * (2 if name == "impressions" else 1)
    latest = start + ibis.interval(days=1) + ibis.interval(raw.ahead_window)
    earliest = start - ibis.interval(reach)
    early = rows.known_at < ibis.greatest(rows.time, start)
    outside = (rows.time < earliest) | (rows.time > latest)
    return per_day(
        rows,
        **{
            name: rows.count(),
            f"{name}_with_nulls": any_null(rows, NEEDED[name]).sum(),
            f"{name}_outside_day": outside.sum(),
            f"{name}_known_early": early.sum(),
        },
    )


def _shown_miscounted(requests: Any, impressions: Any) -> pd.DataFrame:
    """Requests whose ``shown`` differs from the impressions that landed with them."""
    shown = impressions.group_by("query_id", DAY).agg(found=impressions.count())
    joined = requests.left_join(shown, ["query_id", DAY])
    wrong = joined.filter(joined.shown.fill_null(0) != joined.found.fill_null(0))
    return count_per_day(wrong, "shown_miscounted")


def _funnel(requests: Any, events: Any) -> pd.DataFrame:
    """Distinct items clicked, carted or ordered over the requests of a day that showed something.

    All that went further counts as clicked, for some logs have more orders than clicks; that orders are within clicks
    is therefore no measure here, and is judged on the training set, which says both. A request that shows nothing is
    left out: its log has no impressions.
    """
    pairs = events.filter(events.query_id.notnull()).select("query_id", "item_id").distinct()
    of_day = pairs.inner_join(requests.filter(requests.shown > 0).select("query_id", DAY), "query_id")
    return count_per_day(of_day, "clicked_pairs")


def _attribution(events: Any, requests: Any, impressions: Any) -> list[pd.DataFrame]:
    """Events attributed to what their request did not show, or to a request after them; and unclear ones."""
    shown = events.filter(events.attribution == "last_shown")
    known = requests.select("query_id", requested=requests.time)
    timed = shown.join(known, "query_id")
    unclear = (events.attribution == "none") != events.query_id.isnull()
    return [
        count_per_day(shown.anti_join(impressions, ["query_id", "item_id"]), "events_not_shown"),
        count_per_day(timed.filter(timed.time < timed.requested), "events_before_request"),
        per_day(
            events,
            attribution_unclear=unclear.sum(),
            actions_unknown=events.action.notin(INTERACTIONS).sum(),
        ),
    ]


def _without_request(rows: Any, requests: Any, name: str) -> pd.DataFrame:
    """Rows that name a request that is not there."""
    return count_per_day(rows.filter(rows.query_id.notnull()).anti_join(requests, "query_id"), name)
