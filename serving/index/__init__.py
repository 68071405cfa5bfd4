"""The vector index: collections in Milvus, the aliases that say which is live, and what searches a live one."""

from __future__ import annotations

from serving.index.aliases import (
    LIVE,
    PREVIOUS,
    collection_name,
    kept_release_ids,
    last_known_live,
    live_release_id,
    note_live,
    nothing_live,
    promote,
    read_live,
    roll_back,
)
from serving.index.collection import PushReport, push

__all__ = [
    "LIVE",
    "PREVIOUS",
    "PushReport",
    "collection_name",
    "kept_release_ids",
    "last_known_live",
    "live_release_id",
    "note_live",
    "nothing_live",
    "promote",
    "push",
    "read_live",
    "roll_back",
]
