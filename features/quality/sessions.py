"""The rules on the raw sessions of a landing day, judged on all rows before they are published."""

from __future__ import annotations

import math
from collections.abc import Mapping

from features.quality.history import Bounds
from features.quality.rules import Absent, AtLeast, Between, Rule, Suite, none_of
from features.quality.session_measures import NEEDED
from features.quality.tables import DAY
from infra.settings import Settings

OWN_DAYS = {
    "requests": "Requests",
    "impressions_per_request": "Impressions per request",
    "clicks_per_request": "Clicks per request",
    "carts_per_request": "Carts per request",
    "orders_per_request": "Orders per request",
    "anonymous_share": "Share of requests without a user",
    "unknown_shown_share": "Share of impressions of unknown items",
    "unknown_acted_share": "Share of events on unknown items",
}
"""Measure that is compared with the shop's own days -> its name."""


def session_suite(settings: Settings, own: Mapping[str, Bounds]) -> Suite:
    """The rules on a landing day.

    Args:
        settings: Bounds that are the same for every day.
        own: Measure of ``OWN_DAYS`` -> where it lies by the shop's own days; nothing is judged of one without bounds.
    """
    rules: list[Rule] = [
        Absent("held", "The day is not held for broken rows"),
        Between("bad_share", "Share of refused rows", high=settings.raw.max_bad_share),
        none_of("rows_unaccounted", "Rows in = clean + ignored + refused"),
        none_of("quarantine_missing", "Each refused row is in quarantine"),
        none_of("rows_lost", "The tables hold the rows that the day was made of"),
        Between("requests", "The day has requests", low=1),
        Between("anonymous_share", "Share of requests without a user", high=settings.checks.max_anonymous_share),
        none_of("shown_miscounted", "A request counts the items that it showed"),
        AtLeast("impressions", "requests_shown", "Funnel: impressions against requests that showed something"),
        AtLeast("impressions", "clicked_pairs", "Funnel: impressions against items clicked, carted or ordered"),
        none_of("events_not_shown", "What is attributed to a request as shown was shown, or clicked, in it"),
        none_of("events_before_request", "Nothing is attributed to a later request"),
        none_of("attribution_unclear", "An event names a request exactly where it is attributed"),
        none_of("actions_unknown", "An event is a click, a cart or an order"),
        none_of("impressions_without_request", "Each impression belongs to a request that exists"),
        none_of("events_without_request", "Each attributed event belongs to a request that exists"),
        none_of("requests_repeated", "A request's id occurs once"),
        none_of("impressions_repeated", "A request shows an item once"),
        none_of("events_repeated", "An event's id occurs once"),
        Between(
            "known_share",
            "Share of impressions and events on items of the catalogue",
            low=settings.checks.min_known_item_share,
        ),
    ]
    for measure, bounds in own.items():
        if bounds.low is not None or bounds.high is not None:
            low, high = _whole(bounds) if measure == "requests" else (bounds.low, bounds.high)
            rules.append(Between(measure, f"{OWN_DAYS[measure]}, by the shop's own days", low, high, bounds.against))
    for table, columns in NEEDED.items():
        rules += [
            none_of(f"{table}_with_nulls", f"{table}: ids and times are there ({', '.join(columns)})"),
            none_of(f"{table}_outside_day", f"{table}: times are within reach of the landing day"),
            none_of(f"{table}_known_early", f"{table}: nothing counts as known before it happened or landed"),
        ]
    return Suite("sessions", DAY, tuple(rules))


def _whole(bounds: Bounds) -> tuple[int | None, int | None]:
    """Bounds of a count, as counts."""
    low, high = bounds.low, bounds.high
    return (None if low is None else math.ceil(low)), (None if high is None else math.floor(high))
