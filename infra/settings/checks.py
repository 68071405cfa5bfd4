"""Settings of the data checks."""

from __future__ import annotations

from pydantic import Field

from infra.settings.base import Count, Group, Share


class CheckSettings(Group):
    """Bounds of the data checks."""

    min_volume_share: Share = 0.3
    """A day below this share of the median of the days before it fails."""
    max_volume_ratio: float = Field(5.0, gt=1)
    """A day above this multiple of the median of the days before it fails."""
    min_unclicked_share: Share = 0.2
    """A day with a smaller share of unclicked impressions fails: impressions are probably missing."""
    max_unknown_item_share: Share = 0.05
    """A day with a larger share of items that are not in the catalogue fails."""
    max_odd_item_share: Share = 0.05
    """Of items that say nothing about themselves, or have a negative price or rating."""
    max_anonymous_share: Share = 1.0
    """A day with a larger share of requests without a user fails: there is too little to personalize from."""
    kept_validations: Count = 60
    """Validations per suite that Data Docs keeps: with a check per day, the last two months."""
