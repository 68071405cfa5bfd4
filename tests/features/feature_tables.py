"""Small feature tables: one row of a view is (entity, time, number), the number goes into every feature."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from features.store.definitions import View, views
from infra.contract.partitions import write_partition
from infra.contract.tables import TIME, Entity, feature_names
from infra.settings import Settings

START = datetime(2026, 3, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Row:
    """A feature row. ``created`` breaks the tie of two rows with the same entity and time."""

    entity: str
    time: datetime
    number: int | None
    created: datetime = field(default=START)


def write(settings: Settings, name: Entity, day: int, rows: Iterable[Row]) -> None:
    """Replace a day of a view; the days of a table need not be those of its rows."""
    view = views(settings)[name]
    table = table_of(view, list(rows))
    write_partition(view.table, (START + timedelta(days=day)).date(), table, view.schema)


def table_of(view: View, rows: list[Row]) -> pa.Table:
    columns: dict[str, Any] = {
        view.key: [row.entity for row in rows],
        "event_timestamp": pa.array([row.time for row in rows], TIME),
        "created": pa.array([row.created for row in rows], TIME),
    }
    for name in feature_names(view.schema):
        kind = view.schema.field(name).type
        columns[name] = pa.array([value_of(kind, row.number) for row in rows], kind)
    return pa.table(columns)


def value_of(kind: pa.DataType, number: int | None) -> Any:
    """The number as a value of a feature's type; an even number makes an empty list."""
    if number is None:
        return None
    if pa.types.is_list(kind):
        return [] if number % 2 == 0 else [scalar(kind.value_type, number), scalar(kind.value_type, number + 1)]
    return scalar(kind, number)


def scalar(kind: pa.DataType, number: int) -> Any:
    return f"value, {number}" if pa.types.is_string(kind) else number / 2 if pa.types.is_floating(kind) else number


def latest(rows: Iterable[Row], entity: str, at: datetime, ttl: timedelta) -> Row | None:
    """The oracle: a loop over all rows."""
    alive = [row for row in rows if row.entity == entity and row.time <= at <= row.time + ttl]
    return max(alive, key=lambda row: (row.time, row.created), default=None)
