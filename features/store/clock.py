"""The shop's own time, where a log of the past is replayed."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

REPLAY_AFTER = timedelta(days=2)
"""A log that ends longer than this before it is used is a replay of the past."""


def clock_offset(used_at: datetime, data_until: datetime) -> timedelta:
    """How far the wall clock is ahead of the shop's time.

    Feature TTLs count from the time of the request. Where the log of a day in 2018 is replayed, every feature would be
    years old: the shop's time then goes on from the log's end as the wall clock does from when the log was used.
    """
    behind = used_at - data_until
    return behind if behind > REPLAY_AFTER else timedelta(0)
