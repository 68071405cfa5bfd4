"""Settings of the feature tables."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import Field, SecretStr

from infra.settings.base import Count, Group


class FeatureSettings(Group):
    """Windows and lengths of the features."""

    history_days: Count = 90
    """How far back the features of a day look."""
    recent_queries: Count = 5
    """Queries kept of a user, the newest."""
    recent_items: Count = 10
    """Clicked items kept of a user, the newest."""
    recent_orders: Count = 10
    """Ordered items kept of a user, the newest."""
    order_history: Count = 200
    """Orders kept of a user, the newest, an item as often as it was ordered."""
    ordered_tags: Count = 20
    """Tags of ordered items that the query tower reads."""
    snapshot_hours: int | None = Field(None, ge=1, le=24)
    """How often item and query statistics are stamped. None: daily, and hourly where the log has under three days."""
    user_ttl: timedelta = timedelta(days=90)
    """Features of a user older than this, at the time of a request, count as unknown."""
    item_ttl: timedelta = timedelta(days=30)
    """The same for items, but for price and rating, which stay as they were last known."""
    query_ttl: timedelta = timedelta(days=30)
    """The same for queries."""
    rate_prior: float = Field(20.0, gt=0)
    """Impressions that the shop-wide rate counts for in an item's smoothed click and order rate."""
    registry_url: SecretStr | None = None
    """Database of Feast's registry, for shops and teams that share one: ``postgresql://user:password@host/name`` (with
    the extra ``deploy``) or ``sqlite:////path/registry.db``. None: a file in the shop's folder."""
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it builds features and the training set; beyond it, it spills to disk."""
    build_days: int = Field(31, ge=1, le=200)
    """Days whose features are built together, a file of each open."""

    def of_the_data(self) -> dict[str, Any]:
        """The settings that the tables follow from; what only the machine decides is left out."""
        return self.model_dump(mode="json", exclude={"registry_url", "build_memory", "build_days"})
