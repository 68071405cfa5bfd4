"""What became of each item of a request: the rows that carry a stage."""

from __future__ import annotations

from typing import Any

import ibis


def stage_rows(requests: Any, impressions: Any, events: Any, unclicked_per_request: int) -> Any:
    """One row per (request, item) that was shown or clicked, with its deepest stage.

    Only what was known before the request's ``labels_until`` counts. An order or a cart implies a click, so that
    ordered and carted are within clicked. An item that was clicked without having been shown has no position. Of the
    unclicked items of a request the first ``unclicked_per_request`` by position stay.

    Args:
        requests: ``query_id, labels_until``: the requests wanted, and when their label window ends.
        impressions: ``IMPRESSIONS``.
        events: ``EVENTS``.
        unclicked_per_request: see above.

    Returns:
        ``query_id, item_id, stage, clicked, carted, ordered, position``; ``stage`` is ordered, carted, clicked or
        unclicked.
    """
    limits = requests.select("query_id", "labels_until")
    shown = impressions.inner_join(limits, "query_id")
    shown = shown.filter(shown.known_at < shown.labels_until)
    acted = events.inner_join(limits, "query_id")
    acted = acted.filter(acted.known_at < acted.labels_until)
    no = ibis.literal(False)
    rows = ibis.union(
        shown.select("query_id", "item_id", "position", clicked=no, carted=no, ordered=no),
        acted.select(
            "query_id",
            "item_id",
            position=ibis.null("int64"),
            clicked=ibis.literal(True),
            carted=acted.action == "cart",
            ordered=acted.action == "order",
        ),
    )
    rows = rows.group_by("query_id", "item_id").agg(
        clicked=rows.clicked.any(), carted=rows.carted.any(), ordered=rows.ordered.any(), position=rows.position.min()
    )
    by_position = ibis.window(
        group_by=[rows.query_id, rows.clicked],
        order_by=[rows.position.isnull(), rows.position, rows.item_id],
    )
    rows = rows.mutate(place=ibis.row_number().over(by_position))
    rows = rows.filter(rows.clicked | (rows.place < unclicked_per_request))
    stage = ibis.cases((rows.ordered, "ordered"), (rows.carted, "carted"), (rows.clicked, "clicked"), else_="unclicked")
    return rows.select("query_id", "item_id", "clicked", "carted", "ordered", "position", stage=stage)


def available_items(catalog: Any, impressions: Any) -> Any:
    """``item_id, available_from``: the catalogue's items and when they can first have been found.

    An item that the log shows before the catalogue's ``available_from`` was there from that first time on.
    """
    first = impressions.group_by("item_id").agg(first_shown=impressions.time.min())
    rows = catalog.select("item_id", "available_from").left_join(first, "item_id")
    return rows.select(
        "item_id", available_from=ibis.least(rows.available_from, rows.first_shown.fill_null(rows.available_from))
    )
