"""A log cut into chunks of whole users, so that what is computed per user needs the memory of a chunk only."""

from __future__ import annotations

from typing import Any

import ibis

CHUNK_ROWS = 50_000
"""Requests and events of a chunk. DuckDB holds the lists of all of them before it sorts them, about 10 KB a row: at 250
orders a user a build takes 1.1 GB by this many, however long the log, 1.6 GB by twice as many, and as long."""


def user_chunks(engine: Any, requests: Any, events: Any) -> list[tuple[Any, Any]]:
    """``requests`` and ``events`` of ranges of users, in order of ``user_id``, so that sorted chunks stay sorted.

    A chunk has ``CHUNK_ROWS`` rows and what its last user has beyond them; the tables as they are where that is all.
    Rows without a user are in no chunk where there are several.

    Args:
        engine: holds the tables.
        requests: with ``user_id``.
        events: with ``user_id``.
    """
    starts = _starts(engine, requests, events)
    if len(starts) < 2:
        return [(requests, events)]
    ranges = zip([None, *starts[1:]], [*starts[1:], None], strict=True)
    return [(_within(requests, *users), _within(events, *users)) for users in ranges]


def _starts(engine: Any, requests: Any, events: Any) -> list[str]:
    """The first user of each chunk."""
    rows = ibis.union(requests.select("user_id"), events.select("user_id"))
    rows = rows.filter(rows.user_id.notnull())
    users = rows.group_by("user_id").agg(rows=rows.count())
    before = users.rows.sum().over(ibis.cumulative_window(order_by=users.user_id)) - users.rows
    users = users.select("user_id", chunk=before // CHUNK_ROWS)
    starts: list[str] = engine.to_pyarrow(users.group_by("chunk").agg(start=users.user_id.min()))["start"].to_pylist()
    return sorted(starts)


def _within(rows: Any, start: str | None, stop: str | None) -> Any:
    """Rows of the users from ``start`` on, up to and without ``stop``."""
    if start is not None:
        rows = rows.filter(rows.user_id >= start)
    return rows if stop is None else rows.filter(rows.user_id < stop)
