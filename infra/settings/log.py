"""Settings of the log."""

from __future__ import annotations

from typing import Literal

from infra.settings.base import Group


class LogSettings(Group):
    """The log of the server, of the night and of the commands."""

    format: Literal["text", "json"] = "text"
    """``json``: a line of JSON per record, for a collector; what a command answers stays text."""
