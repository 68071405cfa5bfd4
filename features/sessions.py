"""Clean requests, impressions and events of a landing day, as Ibis expressions for DuckDB and Spark.

There is no as-of join among them, which Spark has not: see ``features.last_shown``.
"""

from __future__ import annotations

from typing import Any

import ibis

from features.last_shown import LEAST_SESSION_CHARS, last_shown
from features.screening import DayWindow
from features.variants import canonical_items
from infra.contract.query_text import normalised
from infra.contract.tables import EVENTS, IMPRESSIONS, LOCATION_NAMES, REQUESTS


def clean_requests(screened: Any, events: Any, shown: Any, window: DayWindow) -> Any:
    """The requests of a day.

    Args:
        screened: ``screen_requests``.
        events: Clean rows of ``screen_events``; a request without a session takes that of the events that name it.
        shown: ``day_impressions``.

    Returns:
        ``REQUESTS``, one row per query id.
    """
    rows = screened.filter(screened.leads)
    counts = shown.group_by("query_id").agg(shown=shown.count())
    asked = rows.select("query_id", "user_id", "client_id", "session_id", "query_text", "time", *LOCATION_NAMES)
    rows = with_sessions(asked, events)
    rows = rows.left_join(counts, "query_id").drop("query_id_right")
    return rows.mutate(
        query=normalised(rows.query_text),
        known_at=_known_at(rows.time, window),
        shown=rows.shown.fill_null(0).cast("int64"),
    ).select(*REQUESTS.names)


def with_sessions(requests: Any, events: Any) -> Any:
    """``requests`` with ``session_id`` taken from the events that name them where they have none."""
    carried = events.filter(events.query_id.notnull() & events.session_id.notnull())
    carried = carried.group_by("query_id").agg(carried=carried.session_id.min())
    joined = requests.left_join(carried, "query_id").drop("query_id_right")
    return joined.mutate(session_id=ibis.coalesce(joined.session_id, joined.carried)).drop("carried")


def day_impressions(
    screened: Any, events: Any, earlier: Any, earlier_impressions: Any, window: DayWindow, aliases: Any | None = None
) -> Any:
    """The items shown in a day's requests, and what this day adds to earlier requests.

    A request's impression events are its impressions; its hit ids are where it has none. An item shown twice in a
    request is shown at its first place. Positions count from 1: a request whose events count from 0 is shifted, and an
    event without a position takes the hit's, else its turn in time.

    Args:
        screened: ``screen_requests``.
        events: Clean rows of ``screen_events``.
        earlier: ``REQUESTS`` of earlier landing days.
        earlier_impressions: ``IMPRESSIONS`` of earlier landing days; what they hold is not shown again.
        window: The times of the day.
        aliases: ``variants.item_aliases``: a hit that is a variant shows its product.

    Returns:
        ``IMPRESSIONS``, one row per query id and item.
    """
    clean = screened.filter(screened.reason.isnull())
    leading = screened.filter(screened.leads)
    askers = leading.select("query_id", "user_id", "time").union(earlier.select("query_id", "user_id", "time"))
    hits = _hits(clean, earlier, aliases)
    logged = _logged_impressions(events, hits)
    shown = logged.union(hits.anti_join(logged, "query_id"))
    shown = shown.anti_join(earlier_impressions, ["query_id", "item_id"])
    joined = shown.inner_join(askers, "query_id")
    return joined.mutate(known_at=_known_at(joined.time, window)).select(*IMPRESSIONS.names)


def _hits(requests: Any, earlier: Any, aliases: Any | None) -> Any:
    """``query_id, item_id, position`` from the hit ids, each item once at its first place.

    The hits of a request's responses are joined in the order of time: positions go on, and a list that is there already
    adds nothing.
    """
    rows = requests.select("query_id", "row_id", "time", "hits")
    same = ibis.window(group_by=[rows.query_id, rows.hits], order_by=[rows.time, rows.row_id])
    rows = rows.mutate(turn=ibis.row_number().over(same))
    rows = rows.filter((rows.turn == 0) & (rows.hits.length() > 0))
    before = ibis.window(group_by=rows.query_id, order_by=[rows.time, rows.row_id], preceding=(None, 1))
    rows = rows.mutate(start=rows.hits.length().sum().over(before).fill_null(0))
    rows = rows.left_join(earlier.select("query_id", "shown"), "query_id").drop("query_id_right")
    places = rows.select("query_id", start=rows.start + rows.shown.fill_null(0), item_id=rows.hits).unnest(
        "item_id", offset="place"
    )
    places = canonical_items(places.filter(places.item_id.notnull()), aliases)
    return places.group_by("query_id", "item_id").agg(position=((places.place + places.start).min() + 1).cast("int64"))


def _logged_impressions(events: Any, hits: Any) -> Any:
    """``query_id, item_id, position`` from the impression events, each item once at its first place."""
    rows = events.filter(events.kind == "impression")
    rows = rows.mutate(ordinal=ibis.cases((rows.position >= 0, rows.position)))
    items = rows.group_by("query_id", "item_id").agg(ordinal=rows.ordinal.min(), first=rows.time.min())
    items = items.left_join(hits, ["query_id", "item_id"]).select("query_id", "item_id", "ordinal", "first", "position")
    request = ibis.window(group_by=items.query_id)
    in_time = ibis.window(group_by=items.query_id, order_by=[items.first, items.item_id])
    items = items.mutate(
        shift=ibis.cases((items.ordinal.min().over(request) == 0, 1), else_=0),
        turn=ibis.row_number().over(in_time) + 1,
    )
    position = ibis.coalesce(items.ordinal + items.shift, items.position, items.turn).cast("int64")
    return items.select("query_id", "item_id", position=position)


def seen_items(shown: Any, touched: Any, events: Any, earlier_events: Any) -> Any:
    """``query_id, item_id, position`` of what the people of requests are known to have seen, each item once.

    An item that was clicked in a request was seen there, in a log that tells no impressions as well.

    Args:
        shown: ``day_impressions``.
        touched: ``touched_impressions``.
        events: Clean rows of ``screen_events``.
        earlier_events: Those of ``EVENTS`` of earlier landing days that the day may mean, by ``touched_impressions``.
    """
    places = ["query_id", "item_id", "position"]
    listed = shown.select(places).union(touched.select(places))
    today = events.filter(events.kind == "click").select("query_id", "item_id")
    before = earlier_events.filter(earlier_events.action == "click").select("query_id", "item_id")
    clicked = today.union(before).filter(ibis._.query_id.notnull()).distinct()
    clicked = clicked.anti_join(listed, ["query_id", "item_id"])
    return listed.union(clicked.mutate(position=ibis.null("int64")).select(places))


def attributed_events(events: Any, requests: Any, shown: Any, window: DayWindow) -> Any:
    """Clicks, carts and orders of a day with the request that each belongs to.

    A click belongs to the request it names. A click that names none, a cart and an order belong to the person's last
    request that showed the item, at or before the event and within the attribution window, of the same session where
    both have one; among requests of one moment the named one, then the last by id. Where there is no such request, the
    event keeps the one it names, else it has none. The person is the same user; or, where one of the two is a guest's,
    the same client, whose session may be renewed at the login, or the same session where one of the two names no
    client: people search before they log in to pay, and servers log orders without a browser's id. An event of nobody
    is of who made its request.

    Args:
        events: Clean rows of ``screen_events``.
        requests: ``query_id, user_id, client_id, session_id, time`` of this and earlier landing days.
        shown: ``seen_items``.

    Returns:
        ``EVENTS``, one row per event. ``position`` is the item's in that request, else the log's; ``known_at`` is
        never before the request.
    """
    rows = events.filter(events.kind.isin(["click", "cart", "order"]))
    asked = shown.select("query_id", "item_id", "position").inner_join(
        requests.select("query_id", "user_id", "client_id", "session_id", "time"), "query_id"
    )
    found = last_shown(rows.filter((rows.kind != "click") | rows.query_id.isnull()), asked, window)
    rows = rows.rename(logged="query_id", ordinal="position").left_join(found, "event_id").drop("event_id_right")
    rows = rows.mutate(
        query_id=ibis.coalesce(rows.last_shown, rows.logged),
        attribution=ibis.cases(
            (rows.last_shown.notnull(), "last_shown"), (rows.logged.notnull(), "logged"), else_="none"
        ),
    )
    places = shown.select("query_id", "item_id", place=shown.position)
    rows = rows.left_join(places, ["query_id", "item_id"]).drop("query_id_right", "item_id_right")
    rows = rows.left_join(requests.select("query_id", asked_at="time"), "query_id")
    return rows.mutate(
        action=rows.kind,
        user_id=ibis.coalesce(rows.user_id, rows.asker),
        position=ibis.coalesce(rows.place, ibis.cases((rows.ordinal > 0, rows.ordinal))),
        # Some logs stamp a request after its clicks: a request must not find its own clicks in the user's history.
        known_at=ibis.greatest(_known_at(rows.time, window), ibis.coalesce(rows.asked_at, rows.time)),
    ).select(*EVENTS.names)


def touched_impressions(impressions: Any, earlier: Any, events: Any, screened: Any) -> Any:
    """Those of many ``impressions`` of earlier landing days that a day's few events and late responses may mean.

    Args:
        impressions: ``IMPRESSIONS`` of earlier landing days, or their ``EVENTS``.
        earlier: ``REQUESTS`` of earlier landing days.
        events: Clean rows of ``screen_events``.
        screened: ``screen_requests``.
    """
    person = ["user_id", "client_id", "session_id"]
    doers = _by_identity(events.select(*person)).select("identity").distinct()
    related = _by_identity(earlier.select("query_id", *person)).semi_join(doers, "identity").select("query_id")
    named = events.select("query_id").union(screened.select("query_id")).union(related)
    return impressions.semi_join(named.distinct(), "query_id")


def _by_identity(rows: Any) -> Any:
    """A row for each id that tells who it is of, as ``identity``: user, client where it is another, session."""
    of_user = rows.filter(rows.user_id.notnull()).mutate(identity=rows.user_id)
    another = rows.client_id.notnull() & (rows.user_id.isnull() | (rows.user_id != rows.client_id))
    of_client = rows.filter(another).mutate(identity=rows.client_id)
    # a short id is a count of one client's sessions, which others have as well
    of_session = rows.filter(rows.session_id.length() >= LEAST_SESSION_CHARS)
    of_session = of_session.mutate(identity=ibis.literal("session ") + of_session.session_id)
    return of_user.union(of_client).union(of_session)


def _known_at(time: Any, window: DayWindow) -> Any:
    """The later of a row's time and the start of the day it landed in."""
    return ibis.greatest(time, window.start)
