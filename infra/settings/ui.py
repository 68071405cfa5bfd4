"""Settings of the pages that `shelfwise ui` opens."""

from __future__ import annotations

from infra.settings.base import Group


class UiSettings(Group):
    """Pages that `shelfwise ui` opens, on loopback."""

    port: int = 3000
    """Port of Dagster's pages."""
    docs_port: int = 3001
    """Data Docs of the checks: a browser follows no link from the UI to a file."""
