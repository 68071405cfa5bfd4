"""Where a shop's logs come from, and where each thing lies under its folder."""

from __future__ import annotations

import os
from pathlib import Path


def same_landing(landing: str | None) -> str | None:
    """A landing folder or URL by its one name: ``/logs/``, ``/logs/.`` and ``file:///logs`` are ``/logs``."""
    if not landing:
        return landing
    if landing.startswith("file://"):
        landing = landing.removeprefix("file://")
    if "://" in landing or "::" in landing:
        return landing.rstrip("/")
    return os.path.normpath(landing)


class Paths:
    """Where each thing lies under a shop's folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.landing = root / "landing"
        """Logs that the demo shop makes (``ubi_log`` alone writes to a given landing folder)."""
        self.truth = root / "truth"
        """The demo shop's hidden truth, for evaluation only."""
        self.catalog = root / "catalog" / "items.parquet"
        self.item_aliases = root / "catalog" / "aliases.parquet"
        """``alias_id``, ``item_id``: ids of variants and the item that each is of."""
        self.sessions = root / "sessions"
        """``{requests,impressions,events}/dt=YYYY-MM-DD/part.parquet``: accepted days."""
        self.staged = root / "sessions_staged"
        """Tables of the day that is being built, until it is judged and published; see ``features.publishing``."""
        self.quarantine = root / "quarantine"
        """``dt=YYYY-MM-DD/part.parquet``: rows that were refused, each with its reason."""
        self.reports = root / "reports"
        """``sessions/YYYY-MM-DD.json`` and other small results."""
        self.notices = root / "notices"
        """What somebody is to be told and was told; see ``orchestration.night.outbox``."""
        self.features = root / "features"
        """``{user,item,query}/dt=YYYY-MM-DD/part*.parquet``."""
        self.feast = root / "feast"
        self.training_set = root / "training_set"
        self.training = root / "training"
        """Arrays, checkpoints and the candidate model of the run in progress."""
        self.releases = root / "releases"
        self.built_indexes = root / "built_indexes"
        """FAISS indexes of releases, as this machine built them; may be deleted."""
        self.data_docs = root / "data_docs"
        self.services = root / "services"
        """Embedded Redis and Milvus: data, logs, process ids."""
        self.dagster = root / "dagster"
