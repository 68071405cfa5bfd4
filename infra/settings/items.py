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
    """How many items that are in stock, of those that follow it, an item is served behind while it is sold out: so many
    hits of an answer are in stock, where there are so many. Who asks for it by its number finds it first all the same.
    0: it stays where it is. None: it is not served."""
