"""Features in Feast: as of a time for training (offline), the latest for serving (online)."""

from __future__ import annotations

from features.store.definitions import FEATURE_SERVICE
from features.store.errors import OnlineStoreUnavailable
from features.store.materialize import MaterializeReport, materialize
from features.store.offline import point_in_time
from features.store.online import OnlineFeatures, QueryFeatures, RequestFeatures, UserFeatures
from features.store.repository import apply

__all__ = [
    "FEATURE_SERVICE",
    "MaterializeReport",
    "OnlineFeatures",
    "OnlineStoreUnavailable",
    "QueryFeatures",
    "RequestFeatures",
    "UserFeatures",
    "apply",
    "materialize",
    "point_in_time",
]
