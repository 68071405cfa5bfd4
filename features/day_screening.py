"""What becomes of each row of a landing day, the reasons in order: broken, typed ahead, of a bot, of no request."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from features.bots import Bots, find_bots
from features.compiled import EngineTable, engine_table, make_table, make_view, with_variables
from features.engine import view_days
from features.ignored_requests import leave_out, left_out, mark_events, of_day
from features.rebuilt_requests import rebuild_requests
from features.screening import ACTION_LINE, IGNORED, DayWindow, open_baskets, screen_events, screen_requests
from features.typed_ahead import typed_ahead
from features.variants import canonical_items
from infra.contract.tables import DAY_TABLES
from infra.settings import Settings

SOURCES = ("ubi_queries", "ubi_events")


@dataclass(frozen=True)
class Screened:
    """A day's rows, each with its reason."""

    requests: EngineTable
    """``left_out.leave_out``: ``screened_ubi_queries``."""
    events: EngineTable
    """``screen_events``: ``screened_ubi_events``."""
    asked: EngineTable
    """``query_id, user_id, client_id, session_id, time`` of the requests that an event may name."""
    left_out: EngineTable
    """``LEFT_OUT`` of the day."""
    bots: Bots


def tables_before(settings: Settings, engine: Any, days: list[date]) -> dict[str, EngineTable]:
    """The tables of earlier landing days, as views."""
    for name, schema in DAY_TABLES.items():
        view_days(engine, f"{name}_before", settings.paths.sessions / name, days, schema)
    return {name: engine_table(engine, f"{name}_before") for name in DAY_TABLES}


def screen_day(
    settings: Settings, engine: Any, day: date, before: Mapping[str, EngineTable], aliases: EngineTable | None
) -> Screened:
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
    window, logged = with_variables(engine, window), engine_table(engine, "raw_ubi_queries")
    judged = make_table(engine, "judged_ubi_queries", screen_requests, logged, before["requests"], window)
    logged = engine_table(engine, "raw_ubi_events")
    opened = make_table(engine, "opened_ubi_events", _opened, logged, raw.actions, aliases)
    typed = make_table(engine, "typed_ahead", typed_ahead, judged, opened, raw.typing_window)
    bots = find_bots(engine, raw.bots)
    of_bots = engine_table(engine, "bot_queries")
    requests = make_table(engine, "screened_ubi_queries", leave_out, judged, typed, of_bots, before["left_out"])
    asked = make_table(engine, "asked", _asked, requests, before["requests"])
    gone = make_view(engine, "all_left_out", left_out, requests, before["left_out"])
    marked = make_view(
        engine, "marked_ubi_events", mark_events, opened, asked, gone, engine_table(engine, "bot_events")
    )
    events = make_table(engine, "screened_ubi_events", screen_events, marked, asked, before["events"], window)
    engine.con.execute(_QUARANTINE, [[ACTION_LINE, *IGNORED]] * 2)
    return Screened(requests, events, asked, make_table(engine, "day_left_out", of_day, requests), bots)


def _opened(logged: Any, actions: Mapping[str, str], aliases: Any | None) -> Any:
    return canonical_items(open_baskets(logged, actions), aliases)


def _asked(requests: Any, earlier: Any) -> Any:
    named = ["query_id", "user_id", "client_id", "session_id", "time"]
    return requests.filter(requests.leads).select(named).union(earlier.select(named))


_QUARANTINE = "CREATE TABLE quarantine AS " + " UNION ALL ".join(
    f"""SELECT '{source}' AS source, row_id, reason, raw FROM screened_{source}
    JOIN documents_{source} USING (row_id) WHERE reason IS NOT NULL AND NOT list_contains(?, reason)"""
    for source in SOURCES
)
