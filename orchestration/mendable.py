"""Errors whose message says what to do; imported only where one was raised, as each costs import time."""

from __future__ import annotations

from pydantic import ValidationError
from pydantic_settings import SettingsError

from features.adapters.base import AdapterError
from features.catalog import CatalogError
from features.landing import LandingError
from features.store.errors import OnlineStoreUnavailable, RegistryError
from infra.run_lock import RunInProgress
from infra.services import ServiceError
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
