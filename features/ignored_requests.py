"""Requests that nothing is wrong with and that are left out all the same, as Ibis expressions for DuckDB and Spark."""

from __future__ import annotations

from typing import Any

import ibis

from features.screening import BOT, TYPED_AHEAD


def leave_out(screened: Any, typed: Any, bots: Any, earlier: Any) -> Any:
    """``screened`` without the requests that are typed ahead, or of bots.

    Whatever a bot sent is ignored, broken rows too. A late response to a request that an earlier day left out is left
    out as well, where the person is not another.

    Args:
        screened: ``screen_requests``.
        typed: ``typed_ahead``.
        bots: ``row_id`` of the bots' rows.
        earlier: ``LEFT_OUT`` of earlier landing days.

    Returns:
        The same columns; ``reason`` says why, and such a row leads no more.
    """
    typed = typed.mutate(is_typed=ibis.literal(True))
    bots = bots.select("row_id").mutate(is_bot=ibis.literal(True))
    gone = _one_each(earlier).select("query_id", gone="reason", gone_user="user_id")
    rows = screened.left_join(typed, "query_id").drop("query_id_right")
    rows = rows.left_join(bots, "row_id").drop("row_id_right")
    rows = rows.left_join(gone, "query_id").drop("query_id_right")
    taken = rows.reason.isnull() | (rows.reason == "delivered_twice")
    other_person = (rows.user_id != rows.gone_user).fill_null(False)
    reason = ibis.cases(
        (rows.not_json | rows.action_line, rows.reason),
        (rows.is_bot.notnull(), BOT),
        (taken & rows.is_typed.notnull(), TYPED_AHEAD),
        (taken & rows.gone.notnull() & ~other_person, rows.gone),
        else_=rows.reason,
    )
    rows = rows.mutate(reason=reason)
    return rows.mutate(leads=rows.leads & rows.reason.isnull()).select(*screened.columns)


def left_out(screened: Any, earlier: Any) -> Any:
    """The requests that events may name though they are left out.

    Args:
        screened: ``leave_out``.
        earlier: ``LEFT_OUT`` of earlier landing days.

    Returns:
        ``LEFT_OUT`` of both, each ``query_id`` once.
    """
    columns = ["query_id", "user_id", "client_id", "reason"]
    return _one_each(of_day(screened).union(earlier.select(*columns)))


def of_day(screened: Any) -> Any:
    """``LEFT_OUT`` of a landing day alone."""
    rows = screened.filter(screened.reason.isin([BOT, TYPED_AHEAD]), screened.query_id.notnull())
    kept = screened.filter(screened.leads).select("query_id")
    return _one_each(rows.anti_join(kept, "query_id"))


def mark_events(opened: Any, asked: Any, left_out: Any, bots: Any) -> Any:
    """Say which events go with the requests that are left out, and take the others from them.

    Impressions go with their request, and so does an event that does not say whose it is. A click, cart or order of a
    person stays: it landed later than the request, or is not the bot's, so it belongs to no request that it names.

    Args:
        opened: ``open_baskets``.
        asked: ``query_id`` of all requests that an event may name.
        left_out: ``left_out``.
        bots: ``row_id`` of the events that bots sent.

    Returns:
        ``opened`` with ``left_out``: null, or the reason.
    """
    gone = left_out.anti_join(asked, "query_id")
    gone = gone.select("query_id", gone="reason", gone_user="user_id", gone_client="client_id")
    rows = opened.left_join(gone, "query_id").drop("query_id_right")
    bots = bots.select("row_id").mutate(is_bot=ibis.literal(True))
    rows = rows.left_join(bots, "row_id").drop("row_id_right")
    nobody = rows.user_id.isnull() & rows.client_id.isnull()
    user = ibis.coalesce(rows.user_id, rows.client_id)
    same = (user == rows.gone_user).fill_null(False) | (rows.client_id == rows.gone_client).fill_null(False)
    impression = (rows.kind == "impression").fill_null(False)
    goes = impression | nobody | ((rows.gone == BOT).fill_null(False) & same)
    rows = rows.mutate(
        left_out=ibis.cases((rows.is_bot.notnull(), BOT), (goes, rows.gone)),
        query_id=ibis.cases((rows.gone.isnull() | goes, rows.query_id)),
    )
    return rows.select(*opened.columns, "left_out")


def _one_each(rows: Any) -> Any:
    return rows.group_by("query_id").agg(
        user_id=rows.user_id.min(), client_id=rows.client_id.min(), reason=rows.reason.min()
    )
