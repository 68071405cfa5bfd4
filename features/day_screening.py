"""What becomes of each row of a landing day, the reasons in order: broken, typed ahead, of a bot, of no request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from features.bots import Bots, find_bots
from features.engine import read_days
from features.left_out import leave_out, left_out, mark_events, of_day
from features.rebuilt_requests import rebuild_requests
from features.screening import ACTION_LINE, HARMLESS, DayWindow, open_baskets, screen_events, screen_requests
from features.typed_ahead import typed_ahead
from features.variants import canonical_items
from infra.contract.tables import DAY_TABLES
from infra.settings import Settings

SOURCES = ("ubi_queries", "ubi_events")


@dataclass(frozen=True)
class Screened:
    """A day's rows, each with its reason."""

    requests: Any
    """``left_out.leave_out``: the table ``screened_ubi_queries``."""
    events: Any
    """``screen_events``: the table ``screened_ubi_events``."""
    asked: Any
    """``query_id, user_id, client_id, session_id, time`` of the requests that an event may name."""
    left_out: Any
    """``LEFT_OUT`` of the day."""
    bots: Bots


def tables_before(settings: Settings, engine: Any, days: list[date]) -> dict[str, Any]:
    """The tables of earlier landing days."""
    return {
        name: read_days(engine, settings.paths.sessions / name, days, schema) for name, schema in DAY_TABLES.items()
    }


def screen_day(settings: Settings, engine: Any, day: date, before: Mapping[str, Any], aliases: Any | None) -> Screened:
    """Judge the rows of a day.

    Leaves ``screened_<source>`` and ``quarantine``, the refused rows as they came, in the engine, and what
    ``rebuild_requests`` leaves.

    Args:
        settings: All settings.
        engine: Ibis DuckDB backend with ``raw_<source>`` and ``documents_<source>``.
        day: The landing day.
        before: ``tables_before``.
        aliases: ``variants.item_aliases``.
    """
    window, raw = DayWindow.of(day, settings.raw), settings.raw
    rebuild_requests(engine, before, window, raw.actions)
    judged = screen_requests(engine.table("raw_ubi_queries"), before["requests"], window)
    judged = engine.create_table("judged_ubi_queries", judged)
    opened = canonical_items(open_baskets(engine.table("raw_ubi_events"), raw.actions), aliases)
    opened = engine.create_table("opened_ubi_events", opened)
    typed = engine.create_table("typed_ahead", typed_ahead(judged, opened, raw.typing_window))
    bots = find_bots(engine, raw.bots)
    requests = leave_out(judged, typed, engine.table("bot_queries"), before["left_out"])
    requests = engine.create_table("screened_ubi_queries", requests)
    named = ["query_id", "user_id", "client_id", "session_id", "time"]
    asked = requests.filter(requests.leads).select(named).union(before["requests"].select(named))
    asked = engine.create_table("asked", asked)
    marked = mark_events(opened, asked, left_out(requests, before["left_out"]), engine.table("bot_events"))
    events = screen_events(marked, asked, before["events"], window)
    events = engine.create_table("screened_ubi_events", events)
    engine.con.execute(_QUARANTINE, [[ACTION_LINE, *HARMLESS]] * 2)
    return Screened(requests, events, asked, of_day(requests), bots)


_QUARANTINE = "CREATE TABLE quarantine AS " + " UNION ALL ".join(
    f"""SELECT '{source}' AS source, row_id, reason, raw FROM screened_{source}
    JOIN documents_{source} USING (row_id) WHERE reason IS NOT NULL AND NOT list_contains(?, reason)"""
    for source in SOURCES
)
