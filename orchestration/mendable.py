"""Errors that a user can mend, and their sentence; imported only where one was raised, as each costs import time."""

from __future__ import annotations

import errno

from pydantic import ValidationError
from pydantic_settings import SettingsError

from features.adapters.base import AdapterError
from features.catalog import CatalogError
from features.engines.errors import SparkUnavailable
from features.landing import LandingError
from features.store.errors import OnlineStoreUnavailable, RegistryError
from infra.run_lock import RunInProgress
from infra.services import ServiceError
from infra.settings import Settings, get_settings
from infra.settings.errors import in_words, unparsed
from orchestration.backup import BackupError
from orchestration.disk_room import MIB, NoRoomError, free_bytes
from orchestration.full_disk import is_full, what_to_do
from orchestration.releases import PromotionRefused
from serving import IndexUnavailable, NoLiveRelease
from serving.api.auth import KeyFileError, OpenToOthersError
from serving.api.tracing import TracingError
from serving.ubi_log import UbiLogError
from training.release.manifest import ReleaseError

MENDABLE: tuple[type[Exception], ...] = (
    BackupError,
    NoRoomError,
    OnlineStoreUnavailable,
    RegistryError,
    RunInProgress,
    SparkUnavailable,
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
    TracingError,
    ReleaseError,
)
_OF_RIGHTS = {errno.EACCES, errno.EPERM, errno.EROFS}


def sentence(error: BaseException) -> str | None:
    """What is wrong and what to do; None of an error that no user can mend, whose traceback is what tells of it."""
    if is_full(error):
        return what_to_do(get_settings(), str(error))
    if isinstance(error, ServiceError) and free_bytes(get_settings()) < MIB:
        return f"{error}\n{what_to_do(get_settings())}"  # its log, which could not be written, does not say so
    if isinstance(error, ValidationError):
        return in_words(error, Settings)
    if isinstance(error, SettingsError):
        return unparsed(error, Settings) or str(error)
    if isinstance(error, OSError) and error.errno in _OF_RIGHTS and error.filename:
        return f"{error.filename}: {error.strerror}. See to its rights, or name another folder by SHELFWISE_HOME"
    return str(error) if isinstance(error, MENDABLE) else None
