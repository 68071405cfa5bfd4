"""Feast's registry of a shop, and a feature store opened on it."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from features.store.definitions import feast_objects, views
from features.store.errors import RegistryError
from features.store.stored_rows import ENTITY_KEY_VERSION
from infra.services import RedisAddress
from infra.settings import Settings
from infra.telemetry import silence

if TYPE_CHECKING:
    from feast import FeatureStore

WRITE_BATCH = 2_000
"""Rows per round trip to Redis in a materialization."""
DEFINITIONS = "shelfwise_definitions"
"""Tag of the feature service in a database: what was registered."""
MADE_AT = re.compile(r"(created|last_updated)_timestamp \{[^}]*\}")
"""Feast puts the time of its making into an object, which is no part of a definition."""


def open_store(settings: Settings, redis: RedisAddress | None = None, timeout_ms: int | None = None) -> FeatureStore:
    """The shop's feature store; without a Redis address for offline use alone. Registers the definitions if needed.

    Raises RegistryError where ``features.registry_url`` cannot be used.
    """
    return _open(settings, apply(settings), redis, timeout_ms or settings.online.timeout_ms)


def apply(settings: Settings) -> dict[str, Any]:
    """Register the definitions that follow from the settings; return where, as Feast's settings of a registry.

    Calling this again does nothing. Raises RegistryError where ``features.registry_url`` cannot be used.
    """
    silence()
    objects = feast_objects(list(views(settings).values()))
    url = settings.features.registry_url
    if url is None:
        return _apply_to_file(settings, objects)
    with _in_words(url.get_secret_value()):
        return _apply_to_database(settings, objects, url.get_secret_value())


def _apply_to_file(settings: Settings, objects: list[Any]) -> dict[str, Any]:
    """The file is named by what it holds: a change of definitions makes another file, and a process that has the old
    one open keeps it."""
    registry = settings.paths.feast / f"registry-{_digest(settings, objects)}.db"
    if not registry.exists():
        registry.parent.mkdir(parents=True, exist_ok=True)
        temporary = registry.with_name(f".{registry.name}.{uuid.uuid4().hex}")
        try:
            _open(settings, {"path": str(temporary)}, None, settings.online.timeout_ms).apply(objects)
            temporary.replace(registry)
        finally:
            temporary.unlink(missing_ok=True)
    return {"path": str(registry)}


def _apply_to_database(settings: Settings, objects: list[Any], url: str) -> dict[str, Any]:
    """The feature service, which Feast writes last, is tagged with what was registered; another change of it, as by
    another machine with other settings, is registered again by who needs it."""
    from feast import FeatureService
    from feast.errors import FeatureServiceNotFoundException

    digest = _digest(settings, objects)
    (service,) = [one for one in objects if isinstance(one, FeatureService)]
    service.tags[DEFINITIONS] = digest
    settings.paths.feast.mkdir(parents=True, exist_ok=True)
    registry = {"registry_type": "sql", "path": _with_driver(url)}
    with FileLock(settings.paths.feast / "registry.lock"):
        store = _open(settings, registry, None, settings.online.timeout_ms)
        try:
            known = store.registry.get_feature_service(service.name, store.project, allow_cache=False).tags
        except FeatureServiceNotFoundException:
            known = {}
        if known.get(DEFINITIONS) != digest:
            store.apply(objects)
    return registry


def _with_driver(url: str) -> str:
    """A plain ``postgresql://`` by psycopg2, which Dagster in containers brings; Feast would want a second driver."""
    return re.sub("^postgres(ql)?://", "postgresql+psycopg2://", url)


@contextmanager
def _in_words(url: str) -> Iterator[None]:
    """Say what is wrong with a database without repeating its password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    setting = "SHELFWISE_FEATURES__REGISTRY_URL"
    try:
        shown = make_url(_with_driver(url)).render_as_string(hide_password=True)
    except (SQLAlchemyError, ValueError) as error:
        raise RegistryError(f"{setting} is no URL of a database: postgresql://USER:PASSWORD@HOST/NAME") from error
    try:
        yield
    except ImportError as error:
        raise RegistryError(
            f"{setting}={shown} needs a driver that is not installed ({error}): PostgreSQL:"
            " `pip install -c constraints.txt -e '.[deploy]'`"
        ) from error
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
        raise RegistryError(f"{setting}={shown} cannot be used: {reason}") from error


def _open(settings: Settings, registry: dict[str, Any], redis: RedisAddress | None, timeout_ms: int) -> FeatureStore:
    from feast import FeatureStore
    from feast.repo_config import MaterializationConfig, RepoConfig

    from features.store import offline_store, online_store

    return FeatureStore(
        config=RepoConfig(
            project=settings.project,
            provider="local",
            # Zero: never read again. It does not change meanwhile, and a refresh would show as a spike in latency.
            registry={**registry, "cache_ttl_seconds": 0},
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
            repo_path=settings.paths.feast,
        )
    )


def _digest(settings: Settings, objects: list[Any]) -> str:
    specs = sorted(f"{type(o).__name__} {o.to_proto().spec}" for o in objects)
    text = MADE_AT.sub("", "\n".join([settings.project, *specs]))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
