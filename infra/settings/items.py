"""Settings of what is said of items by day."""

from __future__ import annotations

from pydantic import Field

from infra.settings.base import Group


class ItemSettings(Group):
    """Updates of items between two nightly runs: stock, prices, new items, removed ones."""

    feed_seconds: float = Field(15.0, gt=0)
    """How often a serving process looks whether ``stock.parquet`` (or .csv, .ndjson, .jsonl) in the landing folder is
    another one."""
    sold_out_places: int | None = Field(50, ge=0)
    """How many places further down an item is served while it is sold out, behind what is in stock and follows it; who
    asks for it by its number finds it first all the same. 0: it stays where it is. None: it is not served."""
