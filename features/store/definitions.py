"""The entities, feature views and feature service of Feast, built from the table schemas and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa

from infra.contract.names import FEATURE_SERVICE
from infra.contract.partitions import FILES, table_files
from infra.contract.tables import CREATED, ENTITY_KEYS, EVENT_TIME, FEATURE_TABLES, ITEM_FACTS, Entity, feature_names
from infra.settings import Settings

ViewName = Literal["user", "item", "item_facts", "query"]
ALWAYS = timedelta(0)
"""Feast's TTL of what never grows stale."""
SERVED: tuple[Entity, ...] = ("user", "query")
"""The views that the service reads; what a model needs of items is in the index."""


@dataclass(frozen=True)
class View:
    """One wide feature view over a table of Parquet days, or over some columns of it."""

    entity: Entity
    name: str
    """Name in Feast."""
    features: tuple[str, ...]
    """The columns that are features."""
    key: str
    schema: pa.Schema
    ttl: timedelta
    table: Path

    @property
    def pattern(self) -> str:
        """Glob of the table's files; the days of a table are its ``dt=`` folders."""
        return str(self.table / FILES)

    def files(self) -> list[Path]:
        """The files that are there, in order of day."""
        return table_files(self.table)


def views(settings: Settings) -> dict[ViewName, View]:
    """The feature views of a shop. ``item`` and ``item_facts`` are columns of one table: a price holds until another
    is known, a count of the last 30 days does not."""
    ttls, chosen = settings.features, {name: feature_names(table) for name, table in FEATURE_TABLES.items()}
    of_a_time = tuple(name for name in chosen["item"] if name not in ITEM_FACTS)

    def view(entity: Entity, name: str, features: tuple[str, ...], ttl: timedelta) -> View:
        table = settings.paths.features / entity
        return View(entity, name, features, ENTITY_KEYS[entity], FEATURE_TABLES[entity], ttl, table)

    return {
        "user": view("user", "user_features", chosen["user"], ttls.user_ttl),
        "item": view("item", "item_features", of_a_time, ttls.item_ttl),
        "item_facts": view("item", "item_facts", ITEM_FACTS, ALWAYS),
        "query": view("query", "query_features", chosen["query"], ttls.query_ttl),
    }


def feast_objects(views: Sequence[View]) -> list[Any]:
    """Entities, feature views and the feature service, as Feast's objects."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.data_format import ParquetFormat

    entities = {v.entity: Entity(name=v.entity, join_keys=[v.key], value_type=ValueType.STRING) for v in views}
    feature_views = {
        v.name: FeatureView(
            name=v.name,
            entities=[entities[v.entity]],
            ttl=v.ttl,
            schema=[Field(name=n, dtype=_feast_type(v.schema.field(n).type)) for n in [v.key, *v.features]],
            source=FileSource(
                name=f"{v.name}_source",
                path=v.pattern,
                file_format=ParquetFormat(),
                timestamp_field=EVENT_TIME,
                created_timestamp_column=CREATED,
            ),
            online=v.entity in SERVED,
        )
        for v in views
    }
    served = [feature_views[v.name] for v in views if v.entity in SERVED]
    service = FeatureService(name=FEATURE_SERVICE, features=served)
    return [*entities.values(), *feature_views.values(), service]


def _feast_type(arrow: pa.DataType) -> Any:
    from feast.types import Array, Float64, Int64, String

    scalars = {pa.string(): String, pa.int64(): Int64, pa.float64(): Float64}
    return Array(scalars[arrow.value_type]) if pa.types.is_list(arrow) else scalars[arrow]
