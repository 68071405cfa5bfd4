"""A shop whose log is known event by event: the batch path over it, and the same events to record."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from features.engine import from_arrow, open_engine
from features.store import SessionEvent, UserFeatures
from features.store.definitions import views
from features.user_features import user_features
from infra.contract.partitions import write_partition
from infra.contract.query_text import normalise
from infra.contract.tables import CATALOG, EVENTS, REQUESTS, USER_FEATURES
from infra.settings import Settings

ITEMS = {"i0": (None, ["t2", "t1"]), "i1": ("b1", ["t1"]), "i2": ("b2", []), "i3": ("b1", ["t3"]), "i4": ("b3", ["t4"])}
"""Brand and tags by item."""


@dataclass(frozen=True)
class Done:
    """What a user did; what is known of it at once is what the log says of it later."""

    user: str
    time: datetime
    action: str
    what: str
    id: str

    def event(self) -> SessionEvent:
        """As serving records it."""
        if self.action == "search":
            return SessionEvent("search", query=self.what, time=self.time, id=self.id)
        brand, tags = ITEMS.get(self.what, (None, []))
        return SessionEvent(self.action, item_id=self.what, time=self.time, brand=brand, tags=tuple(tags), id=self.id)

    def row(self) -> dict[str, Any]:
        """As the log has it."""
        row = {"user_id": self.user, "time": self.time, "known_at": self.time}
        if self.action == "search":
            return row | {"query_id": self.id, "query_text": self.what, "query": normalise(self.what)}
        return row | {"event_id": self.id, "action": self.action, "item_id": self.what}


def batch(settings: Settings, done: list[Done]) -> pa.Table:
    """The rows that the batch path makes of a log."""
    requests = [d.row() for d in done if d.action == "search"]
    events = [d.row() for d in done if d.action != "search"]
    catalog = [{"item_id": item, "brand": brand, "tags": tags} for item, (brand, tags) in ITEMS.items()]
    kept = pa.schema([CATALOG.field(name) for name in ("item_id", "brand", "tags")])
    tables = (
        pa.Table.from_pylist(requests, REQUESTS),
        pa.Table.from_pylist(events, EVENTS),
        pa.Table.from_pylist(catalog, kept),
    )
    with open_engine(settings) as engine:
        rows = user_features(*(from_arrow(engine, table) for table in tables), settings.features)
        return engine.to_pyarrow(rows).cast(USER_FEATURES)


def write_rows(settings: Settings, rows: pa.Table) -> None:
    """Make these the only rows of the user table."""
    write_partition(views(settings)["user"].table, datetime(2026, 3, 1).date(), rows, USER_FEATURES)


def features_of(row: dict[str, Any]) -> UserFeatures:
    """A batch row as it is served."""
    keys = ("user_id", "event_timestamp", "created")
    return UserFeatures(**{name: tuple(v) if isinstance(v, list) else v for name, v in row.items() if name not in keys})
