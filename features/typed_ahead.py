"""Requests of a page that searches with each key: all but the last of those that one person types in one go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import ibis

from features.last_shown import LEAST_SESSION_CHARS
from infra.contract.query_text import normalised


def typed_ahead(screened: Any, events: Any, window: timedelta) -> Any:
    """The requests that were on the way to another, as Ibis for DuckDB and Spark.

    Of one person (of one session, where the log names it) requests belong together that follow one another within the
    window, each text the start of the other: a key more, or a correction. The last of them counts, by time and then by
    length, and so does one of the same text, and one that led to something. Of two requests in one whole minute of a
    log that tells no seconds nobody knows how long lay between them: they do not belong together. Requests of nobody
    and those without a text never do.

    Args:
        screened: ``screen_requests``.
        events: ``open_baskets``.
        window: ``settings.raw.typing_window``.

    Returns:
        ``query_id``, each once.
    """
    # a short id is a count of one client's sessions, which others have as well
    session = ibis.cases((screened.session_id.length() >= LEAST_SESSION_CHARS, screened.session_id))
    rows = screened.mutate(
        person=ibis.coalesce(screened.user_id, ibis.literal("session ") + session),
        sitting=screened.session_id.fill_null(""),
        text=normalised(screened.query_text),
    )
    rows = rows.filter(rows.leads, rows.person.notnull(), rows.text != "")
    rows = rows.select("query_id", "person", "sitting", "text", "time", size=rows.text.length())
    told = {"group_by": [rows.person, rows.sitting], "order_by": [rows.time, rows.size, rows.query_id]}
    before, since = (column.lag().over(ibis.window(**told)) for column in (rows.text, rows.time))
    rows = rows.mutate(before=before, since=since)
    milliseconds = window // timedelta(milliseconds=1)
    soon = rows.since >= rows.time - ibis.interval(milliseconds=milliseconds)
    one_key = rows.text.startswith(rows.before) | rows.before.startswith(rows.text)
    whole_minute = (rows.since == rows.time) & (rows.time == rows.time.truncate("m"))
    goes_on = (soon & one_key & ~whole_minute).fill_null(False) & ibis.literal(milliseconds > 0)
    begins = ibis.cases((goes_on, 0), else_=1)
    told = {"group_by": [rows.person, rows.sitting], "order_by": [rows.time, rows.size, rows.query_id]}
    rows = rows.mutate(chain=begins.sum().over(ibis.window(**told, rows=(None, 0))))
    chain = [rows.person, rows.sitting, rows.chain]
    whole = ibis.window(group_by=chain, order_by=[rows.time, rows.size, rows.query_id], rows=(None, None))
    rows = rows.mutate(final=rows.text.last().over(whole))
    acted = events.filter(events.kind.isin(["click", "cart", "order"]))
    return rows.filter(rows.text != rows.final).anti_join(acted, "query_id").select("query_id")
