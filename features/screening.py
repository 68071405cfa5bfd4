"""Which raw rows are refused and why, as Ibis expressions that mean the same on DuckDB and on Spark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import ibis

from infra.contract.query_text import normalised
from infra.settings import RawSettings, action_key

BOT = "bot"
TYPED_AHEAD = "typed_ahead"
IGNORED = ("ignored_action", "unknown_action", "outside_search", "names_no_item", "delivered_twice", TYPED_AHEAD, BOT)
"""Why a row is left out though nothing is wrong with it; such rows count against no day."""
ACTION_LINE = "action_line"
"""Marks a line of a bulk export that is no row."""
REASONS = (
    "not_json",
    "wrong_type",
    "no_action",
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


Moment = datetime | Any


@dataclass(frozen=True)
class DayWindow:
    """The times that belong to a landing day; the expressions take moments or Ibis values of moments alike."""

    start: Moment
    """The first moment of the day, UTC: its rows count as known from here."""
    earliest: Moment
    latest: Moment
    """Rows before ``earliest``, or at or after ``latest``, are refused."""
    attribution: timedelta

    @classmethod
    def of(cls, day: date, raw: RawSettings) -> DayWindow:
        start = datetime.combine(day, time(), UTC)
        return cls(start, start - raw.late_window, start + timedelta(days=1) + raw.ahead_window, raw.attribution_window)


def screen_requests(raw: Any, earlier: Any, window: DayWindow) -> Any:
    """Give each row of ``ubi_queries`` its user and, where it is not taken, a reason.

    The rows of one query id are the responses of one request (pages, facets), the first by time is the request. One
    whose text or person is another, both known, is a duplicate; an exact repeat was delivered twice.

    Args:
        raw: ``ubi.read_queries``.
        earlier: ``REQUESTS`` of earlier landing days: a row of theirs is a late response.

    Returns:
        ``raw`` with ``user_id`` (else the client's id), ``logged_id`` (the user's own id), ``reason``, null for a clean
        row, and ``leads``: whether the row makes the request. A leading row has what the later ones know besides.
    """
    own_reason = ibis.cases(
        (raw.action_line, ACTION_LINE),
        (raw.not_json, "not_json"),
        (raw.wrong_type, "wrong_type"),
        (raw.query_id.isnull(), "no_query_id"),
        (raw.time.isnull(), "no_time"),
        (raw.time < window.earliest, "too_old"),
        (raw.time >= window.latest, "too_new"),
    )
    judged = raw.mutate(
        logged_id=raw.user_id,
        user_id=ibis.coalesce(raw.user_id, raw.client_id),
        text_key=normalised(raw.query_text).nullif(""),
        own_reason=own_reason,
    )
    seen = earlier.select("query_id", seen_text=earlier["query"].nullif(""), seen_user="user_id", seen_time="time")
    judged = judged.left_join(seen.mutate(seen=ibis.literal(True)), "query_id").drop("query_id_right")
    request = [judged.query_id, judged.own_reason.isnull()]

    def first_known(value: Any, known: Any) -> Any:
        order = [known.isnull(), judged.time, judged.row_id]
        return value.first(include_null=True).over(ibis.window(group_by=request, order_by=order, rows=(None, None)))

    copies = ibis.window(group_by=[*request, judged.content], order_by=[judged.time, judged.row_id])
    firsts = {f"first_{name}": first_known(judged[name], judged[name]) for name in ("text_key", "user_id", "client_id")}
    firsts["first_text"] = first_known(judged.query_text, judged.text_key)
    judged = judged.mutate(copy=ibis.row_number().over(copies), **firsts)
    text = ibis.coalesce(judged.seen_text, judged.first_text_key)
    known = ibis.coalesce(judged.seen_user, judged.first_user_id)
    alike = (judged.user_id == known, judged.client_id == known, judged.client_id == judged.first_client_id)
    same_person = judged.user_id.isnull() | known.isnull()
    for equal in alike:
        same_person = same_person | equal.fill_null(False)
    other = (judged.text_key != text).fill_null(False) | ~same_person
    again = (judged.copy > 0) | (judged.seen.notnull() & (judged.time == judged.seen_time)).fill_null(False)
    judged = judged.mutate(
        reason=ibis.cases(
            (judged.own_reason.notnull(), judged.own_reason),
            (other, "duplicate_id"),
            (again, "delivered_twice"),
        )
    )
    # A facet's response often says less than that of the hits: the request is told by the first that says it.
    clean = judged.reason.isnull()
    judged = judged.mutate(
        query_text=ibis.cases((clean & judged.text_key.isnull(), judged.first_text), else_=judged.query_text),
        user_id=ibis.cases((clean, ibis.coalesce(judged.user_id, judged.first_user_id)), else_=judged.user_id),
    )
    among = ibis.window(group_by=[judged.query_id, judged.reason.isnull()], order_by=[judged.time, judged.row_id])
    judged = judged.mutate(leads=judged.reason.isnull() & judged.seen.isnull() & (ibis.row_number().over(among) == 0))
    added = ("own_reason", "seen", "seen_text", "seen_user", "seen_time", "text_key", "copy", *firsts)
    return judged.drop(*added)


def kind_of(action: Any, actions: Mapping[str, str]) -> Any:
    """What a log's action is by ``settings.raw.actions``: impression, click, cart, order, ignore; null: not said."""
    key = action.lower().re_replace(r"[\s_-]", "")
    return key.cases(*{action_key(name): kind for name, kind in actions.items()}.items())


def open_baskets(raw: Any, actions: Mapping[str, str]) -> Any:
    """One row per item of a basket, so that ``screen_events`` sees single items.

    A list of items stands for the event where the event names no item itself, or is an impression, a cart or an order.

    Args:
        raw: ``ubi.read_events``.
        actions: ``settings.raw.actions``.

    Returns:
        ``raw`` with ``kind`` and without ``basket``; the rows of one basket have event ids of their own.
    """
    rows = raw.mutate(kind=kind_of(raw.action, actions))
    many = rows.basket.notnull() & (rows.item_id.isnull() | rows.kind.isin(["impression", "cart", "order"]))
    many = many.fill_null(False)
    single = rows.filter(~many).drop("basket")
    listed = rows.filter(many).rename(ordinal="position", event="event_id").drop("item_id")
    listed = listed.unnest("basket", offset="place")
    first = ibis.cases((listed.kind == "impression", listed.ordinal + listed.place))
    listed = listed.mutate(
        item_id=listed.basket.item_id,
        position=ibis.coalesce(listed.basket.position, first).cast("int64"),
        event_id=listed.event + "#" + listed.place.cast("string"),
    )
    return single.union(listed.select(*single.columns))


def screen_events(raw: Any, requests: Any, earlier_events: Any, window: DayWindow) -> Any:
    """Give each event its user and, where it is not taken, a reason.

    An event without a user takes its request's, which may have none: nobody knows who asked. One with neither user nor
    request nor session belongs to nothing. An impression needs neither user nor time of its own: its request has
    them.

    Args:
        raw: ``left_out.mark_events``: its ``kind`` is impression, click, cart, order, ignore or null.
        requests: ``query_id, user_id`` of all requests that an event may name, each id once.
        earlier_events: ``EVENTS`` of earlier landing days.

    Returns:
        ``raw`` with ``user_id``, ``logged_id`` (the user's own id) and ``reason``, null for a clean row, in place of
        ``left_out``.
    """
    known = requests.select("query_id", asker=requests.user_id, asked=ibis.literal(True))
    rows = raw.left_join(known, "query_id").drop("query_id_right")
    user = ibis.coalesce(rows.user_id, rows.client_id, rows.asker)
    impression = rows.kind == "impression"
    viewed = rows.kind.isin(["impression", "click"])
    own_reason = ibis.cases(
        (rows.action_line, ACTION_LINE),
        (rows.not_json, "not_json"),
        (rows.left_out == BOT, BOT),
        (rows.kind == "ignore", "ignored_action"),
        (rows.kind.isnull() & rows.action.notnull(), "unknown_action"),
        (rows.wrong_type, "wrong_type"),
        (rows.kind.isnull(), "no_action"),
        (impression & rows.query_id.isnull(), "outside_search"),
        (viewed & rows.item_id.isnull() & ~rows.names_object, "names_no_item"),
        (rows.item_id.isnull(), "no_item"),
        (rows.time.isnull() & ~impression, "no_time"),
        (rows.time < window.earliest, "too_old"),
        (rows.time >= window.latest, "too_new"),
        (rows.left_out.notnull(), rows.left_out),
        (rows.query_id.notnull() & rows.asked.isnull(), "unknown_request"),
        (user.isnull() & rows.query_id.isnull() & rows.session_id.isnull(), "no_user"),
    )
    judged = rows.mutate(logged_id=rows.user_id, user_id=user, own_reason=own_reason)
    seen = earlier_events.select("event_id", seen=earlier_events.action, seen_item="item_id", seen_time="time")
    judged = judged.left_join(seen, "event_id").drop("event_id_right")
    same = [judged.event_id, judged.own_reason.isnull()]
    among = ibis.window(group_by=same, order_by=[judged.time, judged.row_id])
    copies = ibis.window(group_by=[*same, judged.content], order_by=[judged.time, judged.row_id])
    judged = judged.mutate(turn=ibis.row_number().over(among), copy=ibis.row_number().over(copies))
    again = (judged.seen == judged.kind) & (judged.seen_item == judged.item_id) & (judged.seen_time == judged.time)
    reason = ibis.cases(
        (judged.own_reason.notnull(), judged.own_reason),
        ((judged.copy > 0) | again.fill_null(False), "delivered_twice"),
        (judged.seen.notnull() | (judged.turn > 0), "duplicate_event"),
    )
    added = ("own_reason", "seen", "seen_item", "seen_time", "turn", "copy", "asker", "asked", "left_out")
    return judged.mutate(reason=reason).drop(*added)
