"""Settings of the HTTP API."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, SecretStr, model_validator

from infra.settings.base import Count, Group, NonNegative

Scope = Literal["search", "events", "items", "metrics"]
ALL_SCOPES: frozenset[Scope] = frozenset(get_args(Scope))


class ApiKeySettings(Group):
    """A key of the HTTP API, by a name that its requests are logged under."""

    key: SecretStr | None = Field(None, min_length=1)
    """The key itself."""
    key_file: Path | None = None
    """A file with a key a line, looked at again each second."""
    scopes: frozenset[Scope] = Field(ALL_SCOPES, min_length=1)
    """What it may: ``search``, record ``events``, update ``items``, read ``metrics``."""

    @model_validator(mode="after")
    def _is_one(self) -> ApiKeySettings:
        if (self.key is None) == (self.key_file is None):
            raise ValueError("set its key or its key_file, one of them")
        return self


class ApiSettings(Group):
    """HTTP API and search page."""

    host: str = "127.0.0.1"
    """Where it listens. Beyond loopback it needs ``key``, or ``allow_open``."""
    port: int = Field(8000, ge=0, le=65_535)
    """Port that it listens on; 0: a free one."""
    key: SecretStr | None = Field(None, min_length=1)
    """Callers send it as ``Authorization: Bearer KEY``; it may all. No key here, in ``key_file`` or ``keys``: open to
    whoever reaches the port."""
    key_file: Path | None = None
    """A file with a key a line, each of which may all, as secrets are mounted; looked at again each second, so that a
    key is added or taken away without a restart."""
    keys: dict[str, ApiKeySettings] = Field({})
    """Further keys by name, each for some scopes:
    ``SHELFWISE_API__KEYS='{"shop": {"key_file": "/run/secrets/shop", "scopes": ["search", "events"]}}'``."""
    allow_open: bool = False
    """Listen beyond loopback without a key."""
    proxies: tuple[str, ...] = ()
    """Addresses of reverse proxies whose ``X-Forwarded-For`` names the client that a rate is kept for."""
    max_k: Count = 1_000
    """Most hits of a request over HTTP."""
    max_body_bytes: Count = 65_536
    """Largest body of a request."""
    rate_per_second: NonNegative = 50.0
    """Requests per address and second in the long run, of those who hold no ``key``; where there is none, of those
    beyond this machine. 0: any number."""
    rate_burst: Count = 100
    """Requests that a client may send at once after a pause."""
    processes: int = Field(1, ge=0)
    """Processes that search, each with the live release, beside the one that speaks HTTP: that one keeps the queue, and
    refuses what would not be answered in time. More of them answer more searches a second, up to one per core. 0: one
    process does all, which takes least memory and falls behind where more is asked than it can answer
    (docs/performance.md)."""
    threads: Count = 8
    """Requests that a process works on at a time."""
    search_threads: Count = 1
    """Batches of searches that a process works on at a time; they share its interpreter."""
    max_batch: Count = 32
    """Searches that are answered together, of those that arrived while others were answered; fewer where they would
    take too much of ``serving.deadline_ms``. 1: each by itself."""
    max_waiting: Count = 256
    """Requests, and searches, that wait; the next ones are told to come back, and so are searches that would not be
    answered within ``serving.deadline_ms``."""
    shutdown_seconds: Count = 30
    """Longest that requests in flight are waited for when the server stops."""
    sample_users: int = Field(8, ge=0)
    """User ids that the search page offers to try, where this machine has features; 0: none."""
    log_queries: bool = False
    """Query text and user ids in the request log."""

    @property
    def has_key(self) -> bool:
        """Whether callers need a key."""
        return self.key is not None or self.key_file is not None or bool(self.keys)
