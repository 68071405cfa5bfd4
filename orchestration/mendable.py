"""Errors whose message says what to do; imported only where one was raised, as each costs import time."""

from __future__ import annotations

import errno

from pydantic import ValidationError
from pydantic_settings import SettingsError

from features.adapters.base import AdapterError
from features.catalog import CatalogError
from features.landing import LandingError
from features.store.errors import OnlineStoreUnavailable, RegistryError
from infra.run_lock import RunInProgress
from infra.services import ServiceError
from infra.settings import Settings
from infra.settings.errors import in_words, unparsed
from orchestration.backup import BackupError
from orchestration.releases import PromotionRefused
from serving import IndexUnavailable, NoLiveRelease
from serving.api.auth import KeyFileError, OpenToOthersError
from serving.ubi_log import UbiLogError
from training.release.manifest import ReleaseError

MENDABLE: tuple[type[Exception], ...] = (
    BackupError,
    OnlineStoreUnavailable,
    RegistryError,
    RunInProgress,
    ValidationError,
    SettingsError,
    LandingError,
    AdapterError,
    CatalogError,
    ServiceError,
    PromotionRefused,
    IndexUnavailable,
    NoLiveRelease,
    KeyFileError,
    OpenToOthersError,
    UbiLogError,
    ReleaseError,
)
_OF_THE_DISK = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}


def in_a_sentence(error: Exception) -> str | None:
    """What is wrong and what to do; None for an error that a user cannot mend."""
    if isinstance(error, ValidationError):
        return in_words(error, Settings)
    if isinstance(error, SettingsError):
        return unparsed(error, Settings) or str(error)
    if isinstance(error, MENDABLE):
        return str(error)
    if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
        where = error.filename or "the disk"
        return f"{where}: {error.strerror}. See to its rights and space, or name another folder by SHELFWISE_HOME"
    return None
