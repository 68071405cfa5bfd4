"""Counts over the raw sessions of a landing day, as one row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pandas as pd

from features.day_report import DayReport
from features.engine import open_engine, view_days, view_item_ids
from features.quality.tables import DAY, on_days
from features.sql_text import listed
from infra.contract import tables
from infra.contract.names import INTERACTIONS
from infra.contract.partitions import partition_rows
from infra.settings import RawSettings, Settings

TABLES = tables.SESSION_TABLES
NEEDED = {
    "requests": ("query_id", "query", "time", "known_at"),
    "impressions": ("query_id", "item_id", "time", "known_at"),
    "events": ("event_id", "action", "item_id", "time", "known_at", "attribution"),
}
"""Columns that are never null."""
KEYS = {"requests": "query_id", "impressions": "query_id, item_id", "events": "event_id"}
"""What is never twice, over the days that are read together."""
RATES = ("impressions", "clicks", "carts", "orders")
"""What is counted per request and compared with other days."""
LEAST_MENTIONS = 20
"""Impressions and events together from which on it counts that hardly any item of them is known."""

# ``requests``, ``impressions`` and ``events`` are rows of the day, ``all_*`` those of the days that it reads as well.
# What a click names as clicked in a request was seen there (``sessions.seen_items``): not all logs tell impressions.
# All that went further than a click counts as clicked, for some logs have more orders than clicks; that orders are
# within clicks is judged on the training set.
_COUNTS = {
    "requests_shown": "FROM requests WHERE shown > 0",
    **{f"{action}s": f"FROM events WHERE action = '{action}'" for action in INTERACTIONS},
    "shown_miscounted": """FROM requests LEFT JOIN (
        SELECT query_id, count(*) AS found FROM impressions GROUP BY query_id) USING (query_id)
        WHERE coalesce(shown, 0) <> coalesce(found, 0)""",
    "clicked_pairs": """FROM (SELECT DISTINCT query_id, item_id FROM events) SEMI JOIN (
        FROM requests WHERE shown > 0) USING (query_id)""",
    "events_not_shown": """FROM events ANTI JOIN (
        SELECT query_id, item_id FROM all_impressions
        UNION ALL SELECT query_id, item_id FROM all_events WHERE action = 'click' AND attribution = 'logged'
        ) USING (query_id, item_id) WHERE attribution = 'last_shown'""",
    "events_before_request": """FROM events AS e JOIN all_requests AS r USING (query_id)
        WHERE attribution = 'last_shown' AND e.time < r.time""",
    "attribution_unclear": "FROM events WHERE (attribution = 'none') <> (query_id IS NULL)",
    "actions_unknown": f"FROM events WHERE NOT list_contains({listed(INTERACTIONS)}, action)",
    "impressions_without_request": "FROM impressions ANTI JOIN all_requests USING (query_id)",
    "events_without_request": "FROM (FROM events WHERE query_id IS NOT NULL) ANTI JOIN all_requests USING (query_id)",
    "unknown_shown": "FROM impressions ANTI JOIN catalog USING (item_id)",
    "unknown_acted": "FROM events ANTI JOIN catalog USING (item_id)",
}
"""Measure -> the rows that are counted."""
_OF_A_TABLE = {
    "{name}": "FROM {name}",
    "{name}_with_nulls": "FROM {name} WHERE {lacks}",
    "{name}_outside_day": "FROM {name} WHERE time < ${name}_earliest OR time > $latest",
    "{name}_known_early": "FROM {name} WHERE known_at < greatest(time, $start)",
}
"""The same of each of ``TABLES``."""
_REPEATED = """(SELECT coalesce(sum(more), 0)::BIGINT FROM (
    SELECT count(*) - 1 AS more FROM all_{name} GROUP BY {key} HAVING more > 0 AND max(landed) = $start::DATE
))"""
"""Rows too many for a key to be unique, of the keys whose last row is the day's."""

_UNKNOWN = """
SELECT landed, count(*) FILTER (NOT known) / count(*) FROM (
    SELECT landed, item_id IN (SELECT item_id FROM catalog) AS known FROM {name}
) GROUP BY landed
"""


def _statement() -> str:
    counts = dict(_COUNTS)
    for name, needed in NEEDED.items():
        lacks = " OR ".join(f"{column} IS NULL" for column in needed)
        counts |= {m.format(name=name): rows.format(name=name, lacks=lacks) for m, rows in _OF_A_TABLE.items()}
    values = {measure: f"(SELECT count(*) {rows})" for measure, rows in counts.items()}
    values |= {f"{name}_repeated": _REPEATED.format(name=name, key=key) for name, key in KEYS.items()}
    values["anonymous_share"] = "(SELECT avg((user_id IS NULL)::INTEGER) FROM requests)"
    return "SELECT " + ",\n".join(f"{value} AS {measure}" for measure, value in values.items())


_MEASURES = _statement()


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
    frame = _report_measures(report, tables)
    if report.held:
        return on_days([report.day], [frame], counted_on=[])
    with open_engine(settings) as engine:
        for name, schema in TABLES.items():
            view_days(engine, name, tables[name], [report.day], schema)
            view_days(engine, f"{name}_before", settings.paths.sessions / name, earlier, schema)
            engine.con.execute(f"CREATE VIEW all_{name} AS FROM {name} UNION ALL FROM {name}_before")
        view_item_ids(engine, "catalog", settings)
        counted = engine.con.execute(_MEASURES, _times(settings.raw, report.day)).df()
    counted.index = frame.index
    return _with_shares(on_days([report.day], [frame, counted], counted_on=[report.day]))


def _times(raw: RawSettings, day: date) -> dict[str, datetime]:
    """When rows of a landing day may lie: an impression has the time of its request, which may have landed late."""
    start = datetime.combine(day, time(), UTC)
    reach = {name: raw.late_window * (2 if name == "impressions" else 1) for name in TABLES}
    times = {f"{name}_earliest": start - late for name, late in reach.items()}
    return times | {"start": start, "latest": start + timedelta(days=1) + raw.ahead_window}


def unknown_shares(settings: Settings, days: Sequence[date]) -> dict[date, dict[str, float]]:
    """Accepted day -> share of its impressions, and of its events, of items that the catalogue does not have now; of
    none where it has none."""
    shares: dict[date, dict[str, float]] = {day: {} for day in days}
    with open_engine(settings) as engine:
        view_item_ids(engine, "catalog", settings)
        for name, measure in (("impressions", "unknown_shown_share"), ("events", "unknown_acted_share")):
            view_days(engine, name, settings.paths.sessions / name, days, TABLES[name])
            for day, share in engine.con.execute(_UNKNOWN.format(name=name)).fetchall():
                shares[day][measure] = share
    return shares


def _with_shares(frame: pd.DataFrame) -> pd.DataFrame:
    """Add what is counted per request, and shares of unknown items; of nothing they are not known."""
    shares = {
        "unknown_shown_share": frame.unknown_shown / frame.impressions.where(frame.impressions > 0),
        "unknown_acted_share": frame.unknown_acted / frame.events.where(frame.events > 0),
    }
    mentions = frame.impressions + frame.events
    shares["known_share"] = 1 - (frame.unknown_shown + frame.unknown_acted) / mentions.where(mentions >= LEAST_MENTIONS)
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
        "quarantine_missing": refused - partition_rows(tables["quarantine"], report.day),
    }
    if not report.held:
        row["rows_lost"] = sum(abs(partition_rows(tables[name], report.day) - report.rows_out[name]) for name in TABLES)
    return pd.DataFrame([row], index=pd.Index([report.day.isoformat()], name=DAY))
