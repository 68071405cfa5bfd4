"""Feast's registry of a shop, and a feature store opened on it."""

from __future__ import annotations

import hashlib
import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.store.definitions import feast_objects, views
from features.store.stored_rows import ENTITY_KEY_VERSION
from infra.services import RedisAddress
from infra.settings import Settings
from infra.telemetry import silence

if TYPE_CHECKING:
    from feast import FeatureStore

WRITE_BATCH = 2_000
"""Rows per round trip to Redis in a materialization."""
MADE_AT = re.compile(r"(created|last_updated)_timestamp \{[^}]*\}")
"""Feast puts the time of its making into an object, which is no part of a definition."""


def open_store(settings: Settings, redis: RedisAddress | None = None, timeout_ms: int | None = None) -> FeatureStore:
    """The shop's feature store; without a Redis address for offline use alone. Registers the definitions if needed."""
    return _open(settings, apply(settings), redis, timeout_ms or settings.online.timeout_ms)


def apply(settings: Settings) -> Path:
    """Register the definitions that follow from the settings; return the registry's file.

    The file is named by what it holds: a change of definitions makes another file, and a process that has the old one
    open keeps it. Calling this again does nothing.
    """
    silence()
    objects = feast_objects(list(views(settings).values()))
    registry = settings.paths.feast / f"registry-{_digest(settings, objects)}.db"
    if not registry.exists():
        registry.parent.mkdir(parents=True, exist_ok=True)
        temporary = registry.with_name(f".{registry.name}.{uuid.uuid4().hex}")
        try:
            _open(settings, temporary, None, settings.online.timeout_ms).apply(objects)
            temporary.replace(registry)
        finally:
            temporary.unlink(missing_ok=True)
    return registry


def _open(settings: Settings, registry: Path, redis: RedisAddress | None, timeout_ms: int) -> FeatureStore:
    from feast import FeatureStore
    from feast.repo_config import MaterializationConfig, RegistryConfig, RepoConfig

    from features.store import offline_store, online_store

    return FeatureStore(
        config=RepoConfig(
            project=settings.project,
            provider="local",
            # Zero: never read again. The file does not change, and a refresh would show as a spike in latency.
            registry=RegistryConfig(path=str(registry), cache_ttl_seconds=0),
            online_store={
                "type": online_store.STORE_TYPE,
                "address": redis,
                "timeout_ms": timeout_ms,
            },
            offline_store={
                "type": offline_store.STORE_TYPE,
                "memory_limit": settings.features.build_memory,
                "spill_folder": str(settings.paths.root),
            },
            materialization=MaterializationConfig(pull_latest_features=True, online_write_batch_size=WRITE_BATCH),
            entity_key_serialization_version=ENTITY_KEY_VERSION,
            repo_path=registry.parent,
        )
    )


def _digest(settings: Settings, objects: list[Any]) -> str:
    specs = sorted(f"{type(o).__name__} {o.to_proto().spec}" for o in objects)
    text = MADE_AT.sub("", "\n".join([settings.project, *specs]))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
