"""Up to when the accepted logs of a shop tell."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from infra.contract.partitions import written_days
from infra.settings import Settings


def data_end(settings: Settings) -> datetime:
    """The end of the last accepted day: what the features in place know up to."""
    last = written_days(settings.paths.sessions / "requests")[-1]
    return datetime.combine(last + timedelta(days=1), time(), UTC)
