"""Settings of the demo shop."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from infra.settings.base import Count, Group, Share


class DemoSettings(Group):
    """The demo shop, which makes raw sessions where none are given."""

    seed: int = 7
    """Seed of everything that is drawn."""
    start: date = date(2026, 3, 1)
    """First day."""
    days: Count = 30
    """Days of logs."""
    users: Count = 5_000
    """People who search."""
    items: Count = 20_000
    """Items of the catalogue on the first day."""
    new_items_per_day: int = Field(20, ge=0)
    """Items that join the catalogue each day."""
    requests_per_user_day: float = Field(0.8, gt=0)
    """Searches of a user on a day, at the mean."""
    shown_per_request: Count = 20
    """Items shown in a request."""
    judged_held_out: Share = 0.34
    """Share of the judged queries that get no sessions, over a given catalogue and judgements."""
    taste_strength: float = Field(1.0, ge=0)
    """How much a user's hidden taste moves clicks and orders. 0: everybody clicks alike."""
    taste_drift: Share = 0.05
    """Share of a taste that is drawn anew each day."""
    typo_share: Share = 0.05
    """Share of the queries with a typing error."""
    lost_query_id_share: Share = 0.5
    """Share of the cart and purchase events without a query id: checkouts often do not know the search."""
    anonymous_share: Share = 0.1
    """Share of the users who never log in: only their client id is in the logs."""
