"""Settings of the demo shop."""

from __future__ import annotations

from datetime import date

from pydantic import Field

from infra.settings.base import Count, Group


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
    taste_strength: float = Field(1.0, ge=0)
    """How much a user's hidden taste moves clicks and orders. 0: everybody clicks alike."""
