"""What it costs that requests were not logged and had to be made of events."""

from __future__ import annotations

from collections.abc import Iterator

from features.readiness.report import Gap, Joins, Ratio, Rows, counted

DAYS_NAMED = 3
FEW = 0.02
"""Share of the requests up to which rebuilt ones are no gap: rows get lost everywhere."""


def rebuilt_gaps(rows: Rows, joins: Joins, days: int) -> Iterator[Gap]:
    """Requests that no row tells, and days that have no others.

    Args:
        rows: Rows of the days that were read.
        joins: Of the same days.
        days: How many days were read.
    """
    rebuilt = Ratio(sum(rows.rebuilt_requests.values()), joins.requests)
    share = rebuilt.share or 0.0
    if 0 < len(rows.days_rebuilt) < days:
        more = len(rows.days_rebuilt) - DAYS_NAMED
        named = ", ".join(str(day) for day in rows.days_rebuilt[:DAYS_NAMED]) + (
            f" and {more} more" if more > 0 else ""
        )
        yield Gap(
            42,
            f"{counted(len(rows.days_rebuilt), 'day')} without a row of queries, though other days have some: {named}",
            "Their requests were rebuilt from events: searches that led to nothing are missing, and so is what they"
            " showed unless impressions were logged.",
            "Land the ubi_queries of these days, if there are any, and run them again.",
        )
    if share <= FEW:
        return
    blind = not joins.with_impressions.part
    yield Gap(
        25 + 35 * share,
        f"{rebuilt.told} requests were not logged, but rebuilt from events that carry their text",
        "A search of which no event tells is missing, so that too many may seem to lead to a click; each is timed by"
        " its first event; "
        + (
            "and as no impression was logged, nobody knows what was shown and passed over."
            if blind
            else "and what was shown without an impression event is not known."
        ),
        "Log ubi_queries: a row for each search with its query_id, user_query and query_response_hit_ids, and send"
        " that query_id with each event.",
    )
