"""A landing day's tables in the engine: its rows screened, then sessions, impressions and orders with their request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any

from features.bots import Bots
from features.compiled import make_table, make_view, with_variables
from features.day_screening import screen_day, tables_before
from features.screening import DayWindow
from features.sessions import (
    attributed_events,
    clean_requests,
    day_impressions,
    seen_items,
    touched_impressions,
    with_sessions,
)
from features.variants import item_aliases
from infra.settings import Settings


def make_day_tables(
    settings: Settings, engine: Any, day: date, earlier: Sequence[date]
) -> tuple[Mapping[str, str], Bots]:
    """The tables of the day that are kept, by what the engine calls them.

    Leaves ``screened_<source>``, ``quarantine`` and ``day_events``.
    """
    window = with_variables(engine, DayWindow.of(day, settings.raw))
    before, aliases = tables_before(settings, engine, list(earlier)), item_aliases(engine, settings)
    screened = screen_day(settings, engine, day, before, aliases)
    asked, asked_before = screened.requests, before["requests"]
    events = make_view(engine, "clean_events", _clean, screened.events)
    table, view = partial(make_table, engine), partial(make_view, engine)
    touched = table("touched_impressions", touched_impressions, before["impressions"], asked_before, events, asked)
    shown = table("day_impressions", day_impressions, asked, events, asked_before, touched, window, aliases)
    requests = table("day_requests", clean_requests, asked, events, shown, window)
    done = view("touched_events", touched_impressions, before["events"], asked_before, events, asked)
    seen = table("seen_items", seen_items, shown, touched, events, done)
    in_sessions = view("asked_in_sessions", with_sessions, screened.asked, events)
    attributed = table("day_events", attributed_events, events, in_sessions, seen, window)
    tables = {"requests": requests, "impressions": shown, "events": attributed, "left_out": screened.left_out}
    return {name: table.name for name, table in tables.items()}, screened.bots


def _clean(screened: Any) -> Any:
    return screened.filter(screened.reason.isnull())
