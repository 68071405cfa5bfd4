"""Settings of the log that the server writes."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from infra.settings.base import Count, Group


class UbiLogSettings(Group):
    """The log that the server writes: what it answers, and the events that it is sent, as UBI day folders."""

    enabled: bool = False
    """Write it. It holds query texts and the ids of users, so it is written where somebody asks for it."""
    folder: Path | None = None
    """A folder of this machine; None: ``landing``."""
    flush_seconds: float = Field(0.5, gt=0, le=1)
    """A row is on disk after at most this and one fsync; what is lost where the server is killed."""
    max_file_bytes: Count = 256 * 2**20
    """A file that reached this size is followed by the next."""
    max_day_bytes: Count = 20 * 2**30
    """Bytes of a day's folder beyond which its rows are dropped, and counted; each server counts its own and what it
    found when it started."""
    max_waiting_bytes: Count = 32 * 2**20
    """Memory for rows that are not on disk yet, a full disk included; rows beyond are dropped, and counted."""
    min_free_bytes: int = Field(2**30, ge=0)
    """Room on the disk that is left for others."""
    origins: tuple[str, ...] = ()
    """Web pages, such as ``https://shop.example``, whose scripts may post to ``/ubi_events`` and ``/ubi_queries``; they
    send no ``api.key``, which a page cannot keep secret."""
