"""Checks of the raw sessions of a landing day, on all rows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from features.quality.results import SuiteResult
from features.quality.rules import Absent, AtLeast, Between, Rule, Suite, none_of
from features.quality.session_measures import NEEDED, VOLUME_DAYS, session_measures
from features.quality.tables import DAY, scope_of
from features.quality.validation import validate
from infra.settings import Settings


def check_sessions(settings: Settings, days: Sequence[date]) -> SuiteResult:
    """Judge the sessions of landing days: refused rows, rows in = rows out, funnel, volume, times and ids.

    Every figure is over all rows of a day; only the volume of earlier days comes from their files' metadata. A held day
    fails with its reasons and their counts; its other measures are not judged, for it has no rows.
    """
    days = sorted(set(days))
    return validate(settings, session_suite(settings), session_measures(settings, days), scope_of(days))


def session_suite(settings: Settings) -> Suite:
    """The rules on a landing day."""
    bounds = settings.checks
    rules: list[Rule] = [
        Absent("not_built", "The day was built from its landing files"),
        Absent("held", "The day is not held for broken rows"),
        Between("bad_share", "Share of refused rows", high=settings.raw.max_bad_share),
        none_of("rows_unaccounted", "Rows in = clean + ignored + refused"),
        none_of("quarantine_missing", "Each refused row is in quarantine"),
        none_of("rows_lost", "The tables hold the rows that the day was made of"),
        none_of("held_rows_in_use", "Nothing of a held day is in the tables, but for its last accepted version"),
        Between("requests", "The day has requests", low=1),
        Between(
            "volume_ratio",
            f"Requests against the median of up to {VOLUME_DAYS} days before",
            low=bounds.min_volume_share,
            high=bounds.max_volume_ratio,
        ),
        Between("anonymous_share", "Share of requests without a user", high=bounds.max_anonymous_share),
        none_of("shown_miscounted", "A request counts the items that it showed"),
        AtLeast("impressions", "requests_shown", "Funnel: impressions against requests that showed something"),
        AtLeast(
            "impressions",
            "clicked_pairs",
            "Funnel: impressions against items clicked, carted or ordered",
        ),
        none_of("events_not_shown", "What is attributed to a request as shown was shown in it"),
        none_of("events_before_request", "Nothing is attributed to a later request"),
        none_of("attribution_unclear", "An event names a request exactly where it is attributed"),
        none_of("actions_unknown", "An event is a click, a cart or an order"),
        none_of("impressions_without_request", "Each impression belongs to a request that exists"),
        none_of("events_without_request", "Each attributed event belongs to a request that exists"),
        none_of("requests_repeated", "A request's id occurs once"),
        none_of("impressions_repeated", "A request shows an item once"),
        none_of("events_repeated", "An event's id occurs once"),
        Between(
            "unknown_shown_share", "Share of impressions of unknown items", high=settings.checks.max_unknown_item_share
        ),
        Between("unknown_event_share", "Share of events on unknown items", high=settings.checks.max_unknown_item_share),
    ]
    for table, columns in NEEDED.items():
        rules += [
            none_of(f"{table}_with_nulls", f"{table}: ids and times are there ({', '.join(columns)})"),
            none_of(f"{table}_outside_day", f"{table}: times are within reach of the landing day"),
            none_of(f"{table}_known_early", f"{table}: nothing counts as known before it happened or landed"),
        ]
    return Suite("sessions", DAY, tuple(rules))
