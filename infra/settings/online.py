"""Settings of the online store."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, SecretStr

from infra.settings.base import Count, Group


class OnlineSettings(Group):
    """The online store."""

    redis_url: SecretStr | None = None
    """``redis://[:password@]host:port/db``; None: an embedded server, shared by processes."""
    timeout_ms: Count = 50
    """Longest wait for a round trip to the online store."""
    session_events: Count = 200
    """Events kept per user between two batches, the newest: beyond it, counts of the session stop growing."""
    session_ttl: timedelta = Field(timedelta(days=3), ge=timedelta(seconds=1))
    """How long a user's recorded events outlive the last one: through a night or two whose batch failed."""
