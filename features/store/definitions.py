"""The entities, feature views and feature service of Feast, built from the table schemas and the settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from infra.contract.names import FEATURE_SERVICE
from infra.contract.partitions import FILES, table_files
from infra.contract.tables import CREATED, ENTITY_KEYS, EVENT_TIME, FEATURE_TABLES, Entity, feature_names
from infra.settings import Settings

SERVED: tuple[Entity, ...] = ("user", "query")
"""The views that the service reads; what a model needs of items is in the index."""


@dataclass(frozen=True)
class View:
    """One wide feature view over a table of Parquet days."""

    entity: Entity
    key: str
    schema: pa.Schema
    ttl: timedelta
    table: Path

    @property
    def name(self) -> str:
        """Name in Feast."""
        return f"{self.entity}_features"

    @property
    def features(self) -> list[str]:
        """The columns that are features."""
        return list(feature_names(self.schema))

    @property
    def pattern(self) -> str:
        """Glob of the table's files; the days of a table are its ``dt=`` folders."""
        return str(self.table / FILES)

    def files(self) -> list[Path]:
        """The files that are there, in order of day."""
        return table_files(self.table)


def views(settings: Settings) -> dict[Entity, View]:
    """The feature views of a shop."""
    table, chosen = settings.paths.features, settings.features
    ttls = {"user": chosen.user_ttl, "item": chosen.item_ttl, "query": chosen.query_ttl}
    return {name: View(name, key, FEATURE_TABLES[name], ttls[name], table / name) for name, key in ENTITY_KEYS.items()}


def feast_objects(views: Sequence[View]) -> list[Any]:
    """Entities, feature views and the feature service, as Feast's objects."""
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
    from feast.data_format import ParquetFormat

    entities = {v.entity: Entity(name=v.entity, join_keys=[v.key], value_type=ValueType.STRING) for v in views}
    feature_views = {
        v.entity: FeatureView(
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
    service = FeatureService(name=FEATURE_SERVICE, features=[feature_views[entity] for entity in SERVED])
    return [*entities.values(), *feature_views.values(), service]


def _feast_type(arrow: pa.DataType) -> Any:
    from feast.types import Array, Float64, Int64, String

    scalars = {pa.string(): String, pa.int64(): Int64, pa.float64(): Float64}
    return Array(scalars[arrow.value_type]) if pa.types.is_list(arrow) else scalars[arrow]
