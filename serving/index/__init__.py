"""The vector index: collections in Milvus, the aliases that say which is live, and what searches a live one."""

from __future__ import annotations

from serving.index.aliases import (
    kept_ids,
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
from serving.index.names import names_of

__all__ = [
    "PushReport",
    "kept_ids",
    "kept_release_ids",
    "last_known_live",
    "live_release_id",
    "names_of",
    "note_live",
    "nothing_live",
    "promote",
    "push",
    "read_live",
    "roll_back",
]
