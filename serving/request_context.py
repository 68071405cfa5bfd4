"""What the store knows of a user and a query, as the query tower reads it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from features.store.values import QueryFeatures, UserFeatures
from infra.contract.names import TOWER_LISTS, USER_NUMERIC
from infra.contract.request import RequestContext

if TYPE_CHECKING:
    from training.model.tower_config import TowerConfig


def context_of(user: object, query: object, location: Mapping[str, Any] | None) -> RequestContext:
    """The context of a request.

    Args:
        user: ``UserFeatures``, or anything else for one who is unknown; query: ``QueryFeatures`` likewise.
    """
    features: dict[str, Any] = dict(location or {})
    features |= vars(user) if isinstance(user, UserFeatures) else {}
    features |= vars(query) if isinstance(query, QueryFeatures) else {}
    return RequestContext.of_features(features)


def is_personal(context: RequestContext, config: TowerConfig) -> bool:
    """Whether a query tower reads anything that is known of the user: it may read no history, or no numbers."""
    history = config.history != "none" and any(getattr(context, name) for name in TOWER_LISTS)
    return history or (config.request_numeric > 0 and any(name in context.numeric for name in USER_NUMERIC))
