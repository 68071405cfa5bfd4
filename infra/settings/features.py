"""Settings of the feature tables."""

from __future__ import annotations

import math
from datetime import timedelta

from pydantic import Field, field_validator

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
    stage_weights: dict[str, float] = Field({"clicked": 1.0, "carted": 2.0, "ordered": 4.0})
    """What a request adds to a pair of the query-item graph, by the deepest stage that the item reached in it: above 0,
    and a deeper stage no less than the one before."""
    build_memory: str = "2GB"
    """What DuckDB may hold in memory while it builds features and the training set; beyond it, it spills to disk."""
    build_days: Count = 31
    """Days whose features are built by one query."""

    @field_validator("stage_weights")
    @classmethod
    def _deeper_weighs_no_less(cls, value: dict[str, float]) -> dict[str, float]:
        stages = ("clicked", "carted", "ordered")
        if set(value) != set(stages):
            raise ValueError(f"give a weight for each of {', '.join(stages)}, and for nothing else")
        weights = [value[stage] for stage in stages]
        if not (0 < weights[0] <= weights[1] <= weights[2] < math.inf):
            raise ValueError("weights are finite, above 0 and rise with the stage: clicked <= carted <= ordered")
        return value
