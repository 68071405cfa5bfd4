"""The latest features of each entity, from the feature tables into Redis."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset as ds
from filelock import FileLock

from features.store.definitions import SERVED, View, views
from features.store.errors import reported
from features.store.progress import Progress, load, read_files, save
from features.store.repository import open_store
from features.store.shards import mark_keys
from infra.contract.tables import EVENT_TIME, Entity
from infra.services import redis_address
from infra.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from redis import Redis

TIMEOUT_MS = 10_000
"""A batch of thousands of rows is no online read."""


@dataclass(frozen=True)
class ViewReport:
    """What was done for one feature view."""

    rows: int
    """Entities written."""
    removed: int
    """Entities taken out: their rows vanished or are past the TTL."""
    since: datetime
    until: datetime
    """Rows from ``since`` to ``until`` were read."""
    rebuilt: bool
    """Whether all was written again: for the first time, or because rows of an earlier time had changed."""


@dataclass(frozen=True)
class MaterializeReport:
    """What a materialization did."""

    views: dict[Entity, ViewReport]
    seconds: float

    @property
    def rows(self) -> dict[Entity, int]:
        """Entities written, per view."""
        return {name: view.rows for name, view in self.views.items()}

    @property
    def until(self) -> datetime:
        """The time whose features are online."""
        return max(view.until for view in self.views.values())


def materialize(settings: Settings, until: datetime, since: datetime | None = None) -> MaterializeReport:
    """Bring the online store to the latest features known at ``until``, per entity.

    Only rows newer than the last time are read, unless rows up to then have changed: a file that was written again is
    noticed, and the caller may name the time of a change as ``since``. Then the view is written again in whole and what
    has no row any more is removed. Readers see the old or the new row of an entity at any moment, never none. A call
    that was killed is made good by the next one. ``until`` never moves back: an earlier one than the last counts as it.

    Raises ValueError for times without a time zone, OnlineStoreUnavailable if Redis fails, ServiceError where its URL
    leads to something of another kind than it says.
    """
    if until.tzinfo is None or (since is not None and since.tzinfo is None):
        raise ValueError("until and since need a time zone; use datetime.now(UTC) rather than datetime.now().")
    started = time.perf_counter()
    address = redis_address(settings)
    address.refuse_another_kind()
    store = open_store(settings, address, TIMEOUT_MS)
    client = address.connect(TIMEOUT_MS)
    reports: dict[Entity, ViewReport] = {}
    with FileLock(settings.paths.feast / "materialize.lock"), reported(address):
        for name in SERVED:
            view = views(settings)[name]
            marks = mark_keys(settings.project, view.name) if address.is_cluster else []
            reports[name] = _materialize_view(store, client, view, marks, until, since)
    client.close()
    return MaterializeReport(reports, time.perf_counter() - started)


def _materialize_view(
    store: FeatureStore, client: Redis, view: View, marks: Sequence[str], until: datetime, since: datetime | None
) -> ViewReport:
    known = load(client, store.project, view, marks)
    files = read_files(view, known)
    if known:
        until = max(until, known.until)
    rebuilt = known is None or _is_outdated(known, view, files, since)
    start = until - view.ttl if known is None or rebuilt else known.until
    entities = _entities(view, start, until)
    if len(entities):
        _write(store, view, start, until)
    removed = _remove_others(store, view, entities) if rebuilt else 0
    # Last: until this stands, the next call does the same again, which changes nothing that was right already.
    save(client, store.project, view, Progress(until, list(view.features), files), marks)
    return ViewReport(len(entities), removed, start, until, rebuilt)


def _is_outdated(known: Progress, view: View, files: dict[str, Any], since: datetime | None) -> bool:
    """Whether rows that were materialized may have changed."""
    changes = [change for change in (known.earliest_change(files), since) if change is not None]
    return known.features != list(view.features) or any(change <= known.until for change in changes)


def _entities(view: View, start: datetime, until: datetime) -> pa.Array:
    """The entities with a row in [start, until]."""
    files = [str(path) for path in view.files()]
    if not files:
        return pa.array([], pa.string())
    event_time = ds.field(EVENT_TIME)
    rows = ds.dataset(files, schema=view.schema).to_table(
        columns=[view.key], filter=(event_time >= pa.scalar(start)) & (event_time <= pa.scalar(until))
    )
    return rows[view.key].unique().drop_null()


def _write(store: FeatureStore, view: View, start: datetime, until: datetime) -> None:
    """Feast's own materialization of one view, without the record that it would keep in the registry: ours is in Redis,
    and a registry that is written every night may be read half-written."""
    from feast.infra.provider import get_provider

    get_provider(store.config).materialize_single_feature_view(
        config=store.config,
        feature_view=store.get_feature_view(view.name),
        start_date=start,
        end_date=until,
        registry=store.registry,
        project=store.project,
        tqdm_builder=lambda length: None,
    )


def _remove_others(store: FeatureStore, view: View, entities: pa.Array) -> int:
    from feast.infra.provider import get_provider

    online_store = get_provider(store.config).online_store
    removed: int = online_store.delete_others(store.config, store.get_feature_view(view.name), entities.to_pylist())
    return removed
