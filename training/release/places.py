"""Where the releases of a shop lie: under its home and, where machines share no disk, behind ``releases.url`` as well.

What went live is copied there (:func:`publish`); what is fetched is a folder under the home as any other, so whoever
opens a release asks :func:`release_folder` for it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

from infra.settings import Settings
from training.release.manifest import ReleaseError, ReleaseInfo, list_releases
from training.release.store import ReleaseStore, StoreUnavailable

log = logging.getLogger(__name__)


def store_of(settings: Settings) -> ReleaseStore | None:
    """Where the shop's releases travel; None where they stay under ``home``. Raises StoreUnavailable."""
    return ReleaseStore(f"{settings.releases.url}/{settings.shop_name}") if settings.releases.url else None


def release_folder(settings: Settings, release_id: str) -> Path:
    """Where a release lies on this machine, fetched where it does not yet; nothing of it is verified here.

    Raises:
        ReleaseError: it is behind no ``releases.url`` either. StoreUnavailable: that cannot be read.
    """
    folder = settings.paths.releases / release_id
    if folder.is_dir():
        return folder
    store = store_of(settings)
    if store is None:
        raise ReleaseError(
            f"{folder} is no release: there is none of that id on this machine; copy it again, train again, or set"
            " releases.url where machines share no disk"
        )
    return store.fetch(release_id, settings.paths.releases)


def found_folder(settings: Settings, release_id: str) -> Path | None:
    """As :func:`release_folder`; None where the release is nowhere. Raises StoreUnavailable."""
    try:
        return release_folder(settings, release_id)
    except StoreUnavailable:
        raise
    except ReleaseError:
        return None


def publish(settings: Settings, release_id: str) -> bool:
    """Bring a release to where servers fetch it; False where it is there, or they share the disk.

    Raises:
        ReleaseError: it is missing or damaged. StoreUnavailable: it cannot be written there.
    """
    store = store_of(settings)
    return store is not None and store.publish(settings.paths.releases / release_id)


def known_releases(settings: Settings) -> list[ReleaseInfo]:
    """Releases on disk and behind ``releases.url``, the newest first; where that is away, a warning says so."""
    found = list_releases(settings)
    here = {release.id for release in found}
    try:
        store = store_of(settings)
        elsewhere = store.releases() if store else []
    except StoreUnavailable as error:
        log.warning("only releases of this machine are known: %s", error)
        return found
    found += [ReleaseInfo(r.id, settings.paths.releases / r.id, r.trained_at) for r in elsewhere if r.id not in here]
    return sorted(found, key=lambda r: (r.trained_at, r.id), reverse=True)


def clean_store(settings: Settings, keep: Collection[str]) -> list[str]:
    """As ``clean_releases``, of what lies behind ``releases.url``; where that is away, a warning says so."""
    try:
        store = store_of(settings)
        return store.clean(keep, settings.index.kept_releases) if store else []
    except StoreUnavailable as error:
        log.warning("old releases stay until the next cleaning: %s", error)
        return []
