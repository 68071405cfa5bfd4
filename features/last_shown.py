"""The request that showed an item last to the person of an event, in time linear in the log, on DuckDB and Spark.

A request is a person's by what they have in common: the user, the client or the session, each under its own conditions
(``_is_theirs`` says them for one pair). Joining an event with all that it has in common with is quadratic for a person
with many of both, and Spark has no as-of join. So each way to have something in common is a *link*, an equal key of
item and ids; along a link requests are numbered in order of time, and the largest number by an event's time is found by
one running maximum over requests and events together.
"""

from __future__ import annotations

from typing import Any

import ibis

from features.screening import DayWindow

LEAST_SESSION_CHARS = 8
"""Characters from which a session's id names one session of the shop."""
LINK = ["item_id", "link", "id", "session"]
OF_CLIENT = ("client", "client, guest")
"""Links by which a request of the event's own user does not count: their sessions tell those apart."""


def last_shown(events: Any, asked: Any, window: DayWindow) -> Any:
    """``event_id, last_shown, asker`` for the events that a request showed the item for.

    Args:
        events: ``event_id, item_id, user_id, client_id, logged_id, session_id, query_id, time``.
        asked: ``item_id, query_id, user_id, client_id, session_id, time``: each item of each request.
    """
    asked = asked.select(
        "item_id",
        candidate="query_id",
        asker="user_id",
        asking_client="client_id",
        asked_in="session_id",
        asked_at="time",
    )
    sought = _links_of_events(events)
    shown = _numbered(_links_of_requests(asked).semi_join(sought.select(LINK).distinct(), LINK))
    found = _last_numbers(sought, shown).left_join(shown.select(*LINK, "number", "asker", "other"), [*LINK, "number"])
    own = (found.asker == found.user_id).fill_null(False) & found.link.isin(OF_CLIENT)
    found = found.select("event_id", "query_id", "time", *LINK, number=ibis.ifelse(own, found.other, found.number))
    found = found.filter(found.number > 0)
    pairs = found.inner_join(shown.select(*LINK, "number", "candidate", "asker", "asked_at"), [*LINK, "number"])
    chosen = ["event_id", "query_id", "time", "candidate", "asker", "asked_at"]
    pairs = pairs.select(chosen).union(_named(events, asked).select(chosen))
    pairs = pairs.filter(
        pairs.asked_at <= pairs.time,
        pairs.asked_at >= pairs.time - ibis.interval(seconds=int(window.attribution.total_seconds())),
    )
    named = (pairs.candidate == pairs.query_id).fill_null(False)
    latest = ibis.window(
        group_by=pairs.event_id, order_by=[pairs.asked_at.desc(), named.desc(), pairs.candidate.desc()]
    )
    pairs = pairs.mutate(turn=ibis.row_number().over(latest))
    return pairs.filter(pairs.turn == 0).select("event_id", "asker", last_shown="candidate")


def _links_of_events(events: Any) -> Any:
    """A row for each link that an event's request may have."""
    rows = events.filter(events.item_id.notnull())
    in_session = rows.filter(rows.session_id.notnull())
    of_client = rows.filter(rows.client_id.notnull())
    guest = ibis.ifelse(in_session.logged_id.isnull(), "", ", guest")
    no_client = ibis.ifelse(in_session.client_id.isnull(), "", ", no client")
    who = _who(in_session.session_id, ibis.coalesce(in_session.client_id, in_session.user_id))
    columns = ("event_id", "query_id", "user_id", "time")
    return ibis.union(
        _linked(rows.filter(rows.session_id.isnull()), "user", "user_id", columns=columns),
        _linked(in_session, "user, no session", "user_id", columns=columns),
        _linked(in_session, "user in session", "user_id", "session_id", columns=columns),
        _linked(of_client, ibis.ifelse(of_client.logged_id.isnull(), *OF_CLIENT), "client_id", columns=columns),
        _linked(in_session, ibis.literal("session") + no_client + guest, who, "session_id", columns=columns),
    )


def _links_of_requests(asked: Any) -> Any:
    """A row for each link that a request's events may have."""
    guest = asked.asker.isnull() | (asked.asker == asked.asking_client).fill_null(False)
    in_session, no_client = asked.asked_in.notnull(), asked.asking_client.isnull()
    who = _who(asked.asked_in, ibis.coalesce(asked.asking_client, asked.asker))
    asked = asked.mutate(who=who)
    columns = ("candidate", "asker", "asked_at")
    return ibis.union(
        _linked(asked, "user", "asker", columns=columns),
        _linked(asked.filter(~in_session), "user, no session", "asker", columns=columns),
        _linked(asked.filter(in_session), "user in session", "asker", "asked_in", columns=columns),
        _linked(asked, OF_CLIENT[0], "asking_client", columns=columns),
        _linked(asked.filter(guest), OF_CLIENT[1], "asking_client", columns=columns),
        _linked(asked.filter(in_session), "session", "who", "asked_in", columns=columns),
        _linked(asked.filter(in_session & guest), "session, guest", "who", "asked_in", columns=columns),
        _linked(asked.filter(in_session & no_client), "session, no client", "who", "asked_in", columns=columns),
        _linked(
            asked.filter(in_session & no_client & guest),
            "session, no client, guest",
            "who",
            "asked_in",
            columns=columns,
        ),
    )


def _who(session: Any, known: Any) -> Any:
    """Whose a session is: of a long id the shop's, a short one is a count of one client's sessions."""
    return ibis.ifelse(session.length() >= LEAST_SESSION_CHARS, "", known)


def _linked(rows: Any, link: Any, identity: Any, session: str | None = None, *, columns: tuple[str, ...]) -> Any:
    """The rows that have an ``identity``, with their link."""
    rows = rows.mutate(
        link=ibis.literal(link) if isinstance(link, str) else link,
        id=rows[identity] if isinstance(identity, str) else identity,
        session=rows[session] if session else ibis.literal(""),
    )
    return rows.filter(rows.id.notnull()).select(*LINK, *columns)


def _numbered(rows: Any) -> Any:
    """Requests with their ``number`` along a link from 1 on, and ``other``: that of the last before it of another."""
    along = ibis.window(group_by=[rows[name] for name in LINK], order_by=[rows.asked_at, rows.candidate])
    rows = rows.mutate(number=ibis.row_number().over(along) + 1, before=rows.asker.lag().over(along))
    changed = (rows.number == 1) | ~rows.asker.identical_to(rows.before)
    first = ibis.cases((changed, rows.number))
    so_far = ibis.cumulative_window(group_by=[rows[name] for name in LINK], order_by=rows.number)
    return rows.mutate(other=first.max().over(so_far) - 1).drop("before")


def _last_numbers(sought: Any, shown: Any) -> Any:
    """``sought`` with the ``number`` of the last request along its link at or before its time."""
    marks = shown.select(
        *LINK,
        event_id=ibis.null("string"),
        query_id=ibis.null("string"),
        user_id=ibis.null("string"),
        time="asked_at",
        number="number",
        is_event=ibis.literal(0),
    )
    rows = marks.union(sought.mutate(number=ibis.null("int64"), is_event=ibis.literal(1)).select(marks.columns))
    so_far = ibis.cumulative_window(group_by=[rows[name] for name in LINK], order_by=[rows.time, rows.is_event])
    rows = rows.mutate(number=rows.number.max().over(so_far))
    return rows.filter((rows.is_event == 1) & rows.number.notnull()).drop("is_event")


def _named(events: Any, asked: Any) -> Any:
    """Events with the request that they name, where it is their person's."""
    pairs = events.rename(candidate="query_id").inner_join(asked, ["item_id", "candidate"])
    return pairs.filter(_is_theirs(pairs)).mutate(query_id="candidate")


def _is_theirs(pairs: Any) -> Any:
    """Whether a request is of the person of an event."""
    same_user = (pairs.user_id == pairs.asker).fill_null(False)
    same_client = (pairs.client_id == pairs.asking_client).fill_null(False)
    guest = pairs.logged_id.isnull() | pairs.asker.isnull() | (pairs.asker == pairs.asking_client).fill_null(False)
    no_client = pairs.client_id.isnull() | pairs.asking_client.isnull()
    same_session = (pairs.session_id == pairs.asked_in).fill_null(False)
    other_session = (pairs.session_id != pairs.asked_in).fill_null(False)
    related = (
        (pairs.session_id.length() >= LEAST_SESSION_CHARS)
        | (pairs.user_id == pairs.asking_client).fill_null(False)
        | (pairs.client_id == pairs.asker).fill_null(False)
    )
    by_session = no_client & same_session & related.fill_null(False)
    return (same_user & ~other_session) | (guest & ((same_client & ~same_user) | by_session))
