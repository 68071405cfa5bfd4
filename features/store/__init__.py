"""Features in Feast: as of a time for training (offline), the latest for serving (online)."""

from __future__ import annotations

from features.store.errors import OnlineStoreUnavailable
from features.store.materialize import MaterializeReport, materialize
from features.store.offline import point_in_time
from features.store.online import OnlineFeatures
from features.store.repository import apply
from features.store.session import SessionEvent
from features.store.values import QueryFeatures, RequestFeatures, UserFeatures

__all__ = [
    "MaterializeReport",
    "OnlineFeatures",
    "OnlineStoreUnavailable",
    "QueryFeatures",
    "RequestFeatures",
    "SessionEvent",
    "UserFeatures",
    "apply",
    "materialize",
    "point_in_time",
]
