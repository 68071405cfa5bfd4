"""Which raw rows are refused and why, as Ibis expressions that mean the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import ibis

from infra.settings import RawSettings

IGNORED = "ignored"
"""Marks a row that the settings tell to leave out: neither clean nor refused."""
ACTION_LINE = "action_line"
"""Marks a line of a bulk export that is no row."""
REASONS = (
    "not_json",
    "wrong_type",
    "unknown_action",
    "no_query_id",
    "no_item",
    "no_time",
    "no_user",
    "too_old",
    "too_new",
    "unknown_request",
    "duplicate_id",
    "duplicate_event",
)
"""Why a row is refused; a row has the first that applies, in about this order."""


@dataclass(frozen=True)
class DayWindow:
    """The times that belong to a landing day."""

    start: datetime
    """The first moment of the day, UTC: its rows count as known from here."""
    earliest: datetime
    latest: datetime
    """Rows before ``earliest``, or at or after ``latest``, are refused."""
    attribution: timedelta

    @classmethod
    def of(cls, day: date, raw: RawSettings) -> DayWindow:
        start = datetime.combine(day, time(), UTC)
        return cls(start, start - raw.late_window, start + timedelta(days=1) + raw.ahead_window, raw.attribution_window)


def screen_requests(raw: Any, earlier: Any, window: DayWindow) -> Any:
    """Give each row of ``ubi_queries`` its user and, where it is not taken, a reason.

    Of several rows with one query id the first by time is the request, and the others are duplicates.

    Args:
        raw: ``ubi.read_queries``.
        earlier: ``query_id`` of the requests of earlier landing days.

    Returns:
        ``raw`` with ``user_id`` (else the client's id) and ``reason``, null for a clean row.
    """
    user = ibis.coalesce(raw.user_id, raw.client_id)
    own_reason = ibis.cases(
        (raw.action_line, ACTION_LINE),
        (raw.not_json, "not_json"),
        (raw.wrong_type, "wrong_type"),
        (raw.query_id.isnull(), "no_query_id"),
        (raw.time.isnull(), "no_time"),
        (raw.time < ibis.literal(window.earliest), "too_old"),
        (raw.time >= ibis.literal(window.latest), "too_new"),
    )
    judged = raw.mutate(user_id=user, own_reason=own_reason)
    seen = earlier.select("query_id").distinct().mutate(seen=True)
    judged = judged.left_join(seen, "query_id").drop("query_id_right")
    among = ibis.window(group_by=[judged.query_id, judged.own_reason.isnull()], order_by=[judged.time, judged.row_id])
    judged = judged.mutate(turn=ibis.row_number().over(among))
    repeated = judged.seen.notnull() | (judged.turn > 0)
    reason = ibis.cases(
        (judged.own_reason.notnull(), judged.own_reason),
        (repeated, "duplicate_id"),
    )
    return judged.mutate(reason=reason).drop("own_reason", "seen", "turn")


def screen_events(raw: Any, requests: Any, earlier_events: Any, window: DayWindow, actions: Mapping[str, str]) -> Any:
    """Give each row of ``ubi_events`` its kind, its user and, where it is not taken, a reason.

    An event without a user takes its request's, which may have none: nobody knows who asked. One with neither user nor
    request belongs to nothing. An impression needs neither user nor time of its own: its request has
    them.

    Args:
        raw: ``ubi.read_events``.
        requests: ``query_id, user_id`` of all requests that an event may name, each id once.
        earlier_events: ``event_id`` of the events of earlier landing days.
        actions: ``settings.raw.actions``.

    Returns:
        ``raw`` with ``kind`` (impression, click, cart, order, ignore; null for an unknown action), ``user_id`` and
        ``reason``, null for a clean row.
    """
    rows = raw.mutate(kind=raw.action.cases(*actions.items()))
    known = requests.select("query_id", asker=requests.user_id, asked=ibis.literal(True))
    rows = rows.left_join(known, "query_id").drop("query_id_right")
    user = ibis.coalesce(rows.user_id, rows.client_id, rows.asker)
    impression = rows.kind == "impression"
    own_reason = ibis.cases(
        (rows.action_line, ACTION_LINE),
        (rows.not_json, "not_json"),
        (rows.kind == "ignore", IGNORED),
        (rows.wrong_type, "wrong_type"),
        (rows.kind.isnull(), "unknown_action"),
        (impression & rows.query_id.isnull(), "no_query_id"),
        (rows.item_id.isnull(), "no_item"),
        (rows.time.isnull() & ~impression, "no_time"),
        (rows.time < ibis.literal(window.earliest), "too_old"),
        (rows.time >= ibis.literal(window.latest), "too_new"),
        (rows.query_id.notnull() & rows.asked.isnull(), "unknown_request"),
        (user.isnull() & rows.query_id.isnull(), "no_user"),
    )
    judged = rows.mutate(user_id=user, own_reason=own_reason)
    seen = earlier_events.select("event_id").distinct().mutate(seen=True)
    judged = judged.left_join(seen, "event_id").drop("event_id_right")
    among = ibis.window(group_by=[judged.event_id, judged.own_reason.isnull()], order_by=[judged.time, judged.row_id])
    judged = judged.mutate(turn=ibis.row_number().over(among))
    repeated = judged.seen.notnull() | (judged.turn > 0)
    reason = ibis.cases(
        (judged.own_reason.notnull(), judged.own_reason),
        (repeated, "duplicate_event"),
    )
    return judged.mutate(reason=reason).drop("own_reason", "seen", "turn", "asker")
