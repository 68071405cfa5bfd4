"""The releases that a serving machine fetched: those that it may need again stay, so that its disk does not fill."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from infra.settings import Settings
from serving.connection import failures
from serving.errors import IndexUnavailable
from serving.index.aliases import kept_ids, one_writer

if TYPE_CHECKING:
    from serving.connection import Connection

log = logging.getLogger(__name__)


def clean_fetched(settings: Settings, connection: Connection, timeout_s: float) -> None:
    """Remove releases of this machine beyond the newest ``index.kept_releases``, never live or the one before.

    Where ``releases.url`` is not set the disk is shared, and cleaning is the nightly run's.
    """
    from training.release.manifest import clean_releases

    if settings.releases.url is None:
        return
    try:
        with failures():
            kept = kept_ids(settings, connection.client(), timeout_s)
        # A push or a promotion of this machine under way is not waited for: the next release is another occasion.
        with one_writer(settings).acquire(timeout=0):
            removed = clean_releases(settings, keep=kept)
    except (IndexUnavailable, OSError) as error:
        log.warning("old releases stay on this machine until the next one is live: %s", error)
        return
    if removed:
        log.info("releases %s are no longer kept on this machine", ", ".join(removed))
