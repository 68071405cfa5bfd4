"""Counts over the raw sessions of a landing day, as one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import ibis
import pandas as pd
import pyarrow.parquet as pq

from features.day_report import DayReport
from features.engine import open_engine
from features.quality.tables import (
    DAY,
    any_null,
    catalog_ids,
    count_per_day,
    on_days,
    per_day,
    read_with_day,
    repeats,
    start_of,
    unknown_items,
)
from infra.contract import tables
from infra.contract.names import INTERACTIONS
from infra.contract.partitions import partition_file
from infra.settings import RawSettings, Settings

TABLES = tables.SESSION_TABLES
NEEDED = {
    "requests": ("query_id", "query", "time", "known_at"),
    "impressions": ("query_id", "item_id", "time", "known_at"),
    "events": ("event_id", "action", "item_id", "time", "known_at", "attribution"),
}
"""Columns that are never null."""
RATES = ("impressions", "clicks", "carts", "orders")
"""What is counted per request and compared with other days."""
LEAST_MENTIONS = 20
"""Impressions and events together from which on it counts that hardly any item of them is known."""


def session_measures(
    settings: Settings, report: DayReport, tables: Mapping[str, Path], earlier: Sequence[date]
) -> pd.DataFrame:
    """One row: what the report of a day says, and counts over all rows of its tables.

    A held day has no other measures than those of its report.

    Args:
        settings: All settings.
        report: Of the day as it was read.
        tables: Folder of each session table, and of ``quarantine``, that holds the day.
        earlier: Accepted days before that are read too, for an event may land on another day than its request.
    """
    frames = [_report_measures(report, tables)]
    if report.held:
        return on_days([report.day], frames, counted_on=[])
    with open_engine(settings) as backend:
        rows = {n: read_with_day(backend, tables[n], [report.day], fields) for n, fields in TABLES.items()}
        before = {
            n: read_with_day(backend, settings.paths.sessions / n, earlier, fields) for n, fields in TABLES.items()
        }
        wide = {name: rows[name].union(before[name]) for name in TABLES}
        catalog = catalog_ids(backend, settings)
        frames += [
            *(_row_measures(settings.raw, name, rows[name]) for name in TABLES),
            per_day(
                rows["requests"],
                requests_shown=rows["requests"].count(where=rows["requests"].shown > 0),
                anonymous_share=rows["requests"].user_id.isnull().mean(),
            ),
            per_day(
                rows["events"],
                **{f"{a}s": rows["events"].count(where=rows["events"].action == a) for a in INTERACTIONS},
            ),
            _shown_miscounted(rows["requests"], rows["impressions"]),
            _funnel(rows["requests"], rows["events"]),
            *_attribution(rows["events"], wide),
            _without_request(rows["impressions"], wide["requests"], "impressions_without_request"),
            _without_request(rows["events"], wide["requests"], "events_without_request"),
            repeats(wide["requests"], ["query_id"], "requests_repeated"),
            repeats(wide["impressions"], ["query_id", "item_id"], "impressions_repeated"),
            repeats(wide["events"], ["event_id"], "events_repeated"),
            unknown_items(rows["impressions"], catalog, "unknown_shown"),
            unknown_items(rows["events"], catalog, "unknown_acted"),
        ]
    return _with_shares(on_days([report.day], frames, counted_on=[report.day]))


def unknown_shares(settings: Settings, days: Sequence[date]) -> dict[date, dict[str, float]]:
    """Accepted day -> share of its impressions, and of its events, of items that the catalogue does not have now."""
    with open_engine(settings) as backend:
        catalog = catalog_ids(backend, settings)
        frames = []
        for table, name in (("impressions", "unknown_shown"), ("events", "unknown_acted")):
            rows = read_with_day(backend, settings.paths.sessions / table, days, TABLES[table])
            counted = per_day(rows, **{table: rows.count()})
            frames += [counted, unknown_items(rows, catalog, name)]
    shares = _with_shares(on_days(days, frames, counted_on=days))
    names = ("unknown_shown_share", "unknown_acted_share")
    return {day: {name: float(shares[name].iloc[n]) for name in names} for n, day in enumerate(days)}


def _with_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what is counted per request, and shares of unknown items; of nothing they are not known."""
    shares = {
        "unknown_shown_share": frame.unknown_shown / frame.impressions.where(frame.impressions > 0),
        "unknown_acted_share": frame.unknown_acted / frame.events.where(frame.events > 0),
    }
    mentions = frame.impressions + frame.events
    shares["known_share"] = 1 - (frame.unknown_shown + frame.unknown_acted) / mentions.where(mentions >= LEAST_MENTIONS)
    if "requests" in frame:
        some = frame.requests.where(frame.requests > 0)
        shares |= {f"{name}_per_request": frame[name] / some for name in RATES}
    return frame.assign(**shares)


def _report_measures(report: DayReport, tables: Mapping[str, Path]) -> pd.DataFrame:
    """What the builder wrote about the day, and whether the tables agree with it."""
    refused = sum(report.reasons.values())
    row = {
        "held": report.message if report.held else None,
        "bad_share": report.bad_share,
        "rows_unaccounted": report.rows_in + report.basket_items - report.clean - report.ignored - refused,
        "quarantine_missing": refused - _stored_rows(tables["quarantine"], report.day),
    }
    if not report.held:
        row["rows_lost"] = sum(abs(_stored_rows(tables[name], report.day) - report.rows_out[name]) for name in TABLES)
    return pd.DataFrame([row], index=pd.Index([report.day.isoformat()], name=DAY))


def _stored_rows(table: Path, day: date) -> int:
    """Rows of a partition, from its file's metadata; 0 where there is no file."""
    file = partition_file(table, day)
    return int(pq.read_metadata(file).num_rows) if file.exists() else 0


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


def _actions(events: Any) -> pd.DataFrame:
    """How many clicks, carts and orders."""
    return per_day(events, **{f"{action}s": events.count(where=events.action == action) for action in INTERACTIONS})


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


def _attribution(events: Any, wide: Mapping[str, Any]) -> list[pd.DataFrame]:
    """Events attributed to what their request did not show, or to a request after them; and unclear ones.

    What a click names as clicked in a request was seen there (``sessions.seen_items``): not all logs tell impressions.

    Args:
        events: Of the day; wide: session tables of the day and of those before.
    """
    pair = ["query_id", "item_id"]
    clicks = wide["events"].filter(ibis._.action == "click", ibis._.attribution == "logged")
    seen = wide["impressions"].select(pair).union(clicks.select(pair))
    shown = events.filter(events.attribution == "last_shown")
    known = wide["requests"].select("query_id", requested=wide["requests"].time)
    timed = shown.join(known, "query_id")
    unclear = (events.attribution == "none") != events.query_id.isnull()
    return [
        count_per_day(shown.anti_join(seen, pair), "events_not_shown"),
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
