"""Steps of visitors - searches, lists, clicks, carts, orders - as UBI: the sessions of sources that have no query id.

A search repeated within half an hour (a reload, the next page) is one request. A list that follows a search on the same
page, or says by its name that it is one of results, is a response of that request. An item's event belongs to the
visit's last request that showed the item, else to its last request within half an hour, else to none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb

from features.adapters.base import ImportRequest, Loaded, count, watched
from features.adapters.journeys_sql import EVENTS_SQL, LISTS_SQL, SEARCHES_SQL, SEEN_SQL, TABLES_SQL, VISITS_SQL

STEPS: Mapping[str, str] = {
    "source_event": "VARCHAR",
    "kind": "VARCHAR",
    "reason": "VARCHAR",
    "dt": "DATE",
    "time": "TIMESTAMPTZ",
    "user_id": "VARCHAR",
    "client_id": "VARCHAR",
    "session_id": "VARCHAR",
    "query_id": "VARCHAR",
    "query_text": "VARCHAR",
    "user_query": "VARCHAR",
    "page": "VARCHAR",
    "list_name": "VARCHAR",
    "event_id": "VARCHAR",
    "order_id": "VARCHAR",
    "user_agent": "VARCHAR",
    "country": "VARCHAR",
    "language": "VARCHAR",
    "item_ids": "VARCHAR[]",
    "positions": "BIGINT[]",
    "goods": "STRUCT(title VARCHAR, brand VARCHAR, category VARCHAR, price VARCHAR)[]",
    "extra": "BOOLEAN",
}
"""Columns of the table ``steps``, in which an adapter hands over one row per row of its source, and ``extra`` ones.

``kind``: search, list, click (in a list), view (of an item's own page), cart, order, or null for an event of no use.
A row of one item of a list is ``hit`` where a search or list that another row makes tells all of it, ``shown`` where
the item's place has to be said besides; both have the ``query_id`` of that search.
``reason``: why an event of use is left out all the same. ``dt``: its day folder, null: the UTC day. ``query_id``: the
source's own, where it has one. ``event_id``: equal for what was delivered twice; ``order_id``: for what was sent twice.
``item_ids``, ``positions`` and ``goods`` go together, the last where a catalogue is wanted; positions count from the
source's own start, and from one where one of them is zero. ``user_query``: the text of the search that an item's event
carries: where its request is not among the rows, a run makes one of it. ``extra``: of a row that another step counts.
"""


def create_steps(connection: duckdb.DuckDBPyConnection) -> None:
    """Make the empty table ``steps``."""
    columns = ", ".join(f"{name} {kind}" for name, kind in STEPS.items())
    connection.execute(f"CREATE TABLE steps ({columns})")


def ubi_of_steps(
    connection: duckdb.DuckDBPyConnection, request: ImportRequest, rows_in: int, notes: Sequence[str] = ()
) -> Loaded:
    """The tables of UBI that the table ``steps`` makes.

    Args:
        connection: DuckDB with ``steps`` filled.
        request: The import.
        rows_in: Rows that were read from the source.
        notes: What the adapter has to say.
    """
    if count(connection, "SELECT count(*) FROM steps WHERE list_contains(positions, 0)"):
        connection.execute("UPDATE steps SET positions = [p + 1 for p in positions] WHERE positions IS NOT NULL")
    sessions = count(connection, "SELECT count(*) FROM steps WHERE kind IS NOT NULL AND session_id IS NULL")
    with watched(connection, request.progress, "putting visits together"):
        connection.execute(VISITS_SQL.format(session="session_id IS NULL" if sessions else "false"))
        connection.execute(SEARCHES_SQL)
        connection.execute(LISTS_SQL)
    with watched(connection, request.progress, "finding the request of each event"):
        connection.execute(EVENTS_SQL)
        connection.execute(TABLES_SQL)
    catalog = None
    if request.wants_catalog:
        with watched(connection, request.progress, "putting a catalogue together"):
            connection.execute(SEEN_SQL)
        catalog = "items_seen" if count(connection, "SELECT count(*) FROM items_seen") else None
    return Loaded(
        rows_in=rows_in,
        became="steps_became",
        queries="journey_queries",
        events="journey_events",
        catalog=catalog,
        notes=[*notes, *_notes(connection, catalog)],
    )


def _notes(connection: duckdb.DuckDBPyConnection, catalog: str | None) -> list[str]:
    searches, responses, clicks, events = (
        count(connection, query)
        for query in (
            "SELECT count(DISTINCT query_id) FROM journey_queries",
            "SELECT count(*) FROM journey_queries WHERE len(query_response_hit_ids) > 0",
            "SELECT count(*) FROM item_events WHERE kind = 'click'",
            "SELECT count(*) FROM item_events WHERE NOT again AND kind <> 'shown'",
        )
    )
    by_how = dict(
        connection.execute(
            "SELECT how, count(*) FROM item_events WHERE NOT again AND kind <> 'shown' GROUP BY how"
        ).fetchall()
    )
    told = []
    if not searches and not by_how.get("told"):
        told.append("There is no search among the events: without requests nothing can be learned of this log.")
    elif not responses:
        told.append(
            "No list of results was logged, so nobody knows what was shown and not clicked: training has no unclicked"
            " items and positions are unknown. Log the items of each result list to change that."
        )
    if events:
        parts = ", ".join(
            f"{by_how.get(how, 0):,} {what}"
            for how, what in (
                ("named", "name their request"),
                ("told", "carry the text of their search"),
                ("shown", "are of an item that the visit's last such request showed"),
                ("last", "follow a search by half an hour at most, which may not have shown the item"),
                ("none", "belong to no search"),
            )
            if by_how.get(how)
        )
        told.append(f"Of {events:,} clicks, carts and orders, {parts}.")
    if events and not clicks and count(connection, "SELECT count(*) FROM item_events WHERE kind = 'view'"):
        told.append("Clicks in lists were not logged: views of an item's own page count as clicks.")
    if catalog:
        told.append(
            "What the events say of items was written as a catalogue into each day's folder: it knows only items that"
            " were shown or bought. A catalogue of the shop, catalog.* in the folder, is better; take these away then."
        )
    return told
