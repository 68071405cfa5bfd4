"""What a session event leaves alone: features of the batch row that no event changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from features.store.merge import merged
from features.store.session import MICROSECOND, Entry
from features.store.values import UserFeatures
from infra.contract.names import ACTIONS, Action
from infra.settings import FeatureSettings

STAMP = (datetime(2026, 3, 1, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // MICROSECOND
HOUR = timedelta(hours=1) // MICROSECOND


@dataclass(frozen=True)
class MoreFeatures(UserFeatures):
    """A schema with a number and a list that nothing of a session changes."""

    returns_90d: int = 0
    sizes: tuple[str, ...] = ()


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("hours", [1, 24 * 400])
def test_features_that_no_event_changes_survive_an_event(action: Action, hours: int) -> None:
    row = MoreFeatures(recent_items=("lamp",), clicks_7d=2, returns_90d=3, sizes=("42", "43"))
    entry = Entry(STAMP + hours * HOUR, "e1", action, "shoe", "Aco", ["red"])
    found = merged(row, STAMP, [entry], FeatureSettings())
    assert isinstance(found, MoreFeatures)
    assert (found.returns_90d, found.sizes) == (3, ("42", "43"))
    if action == "click" and hours == 1:
        assert (found.recent_items, found.clicks_7d) == (("shoe", "lamp"), 3)
