"""Settings of the data checks."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from infra.settings.base import Count, Group, NonNegative, Share


class CheckSettings(Group):
    """Bounds of the data checks. A day is compared with the shop's own accepted days before it: with those of its
    weekday where there are two, else with the last ones where there are three; before that, and of
    the days of a shop's first run, it is told and nothing fails."""

    history_weeks: Count = 8
    """Weeks before a day whose accepted days it is compared with."""
    history_from: date | None = None
    """From this day on a day is compared with none before this one: for a shop that changed for good, or for one
    odd day that is right."""
    min_volume_share: Share = 0.3
    """A day fails whose requests, or impressions, clicks, carts or orders per request, are below this share of the
    median of the days that it is compared with."""
    min_first_weekday_share: Share = 0.02
    """In place of ``min_volume_share`` for the requests of a weekday's first day: shops close, or nearly so, on
    some."""
    max_volume_ratio: float = Field(5.0, gt=1)
    """A day fails whose requests, or what is counted per request, are above this multiple of their median, and of
    the largest of the last seven days."""
    volume_noise: NonNegative = 4.0
    """A day fails only where it is also this many standard deviations of chance (the square root of a count), or
    this many median absolute deviations of the days that it is compared with, away: small counts fail no day."""
    max_share_rise: Share = 0.2
    """A day fails whose share of requests without a user, or of items that are not in the catalogue, is this much
    above the median of the days that it is compared with."""
    min_known_item_share: Share = 0.1
    """A day fails with a smaller share of impressions and events on items of the catalogue: the log probably names
    items by other ids."""
    max_unknown_item_share: Share = 0.05
    """Up to this share of items that are not in the catalogue nothing is said; above it, it is told, for delisted
    goods are normal in a log with today's catalogue, and compared with the shop's own days."""
    min_unclicked_share: Share = 0.2
    """A training set with a smaller share of unclicked impressions fails: impressions are probably missing."""
    max_odd_item_share: Share = 0.05
    """Of items that say nothing about themselves, or have a negative price or rating."""
    max_anonymous_share: Share = 1.0
    """A day with a larger share of requests without a user fails: there is too little to personalize from."""
    kept_validations: Count = 60
    """Validations per suite that Data Docs keeps: with a check per day, the last two months."""
