"""The day's log as UBI 1.3 tables (User Behavior Insights), and days on disk."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from infra.contract.partitions import day_folder

APPLICATION = "demoshop"
TIME = pa.timestamp("us")

QUERIES = pa.schema(
    [
        ("query_id", pa.string()),
        ("user_id", pa.string()),
        ("client_id", pa.string()),
        ("application", pa.string()),
        ("user_query", pa.string()),
        ("timestamp", pa.string()),
        ("query_response_hit_ids", pa.list_(pa.string())),
    ]
)

EVENTS = pa.schema(
    [
        ("action_name", pa.string()),
        ("query_id", pa.string()),
        ("session_id", pa.string()),
        ("user_id", pa.string()),
        ("client_id", pa.string()),
        ("user_query", pa.string()),
        ("timestamp", pa.string()),
        (
            "event_attributes",
            pa.struct(
                [
                    ("object", pa.struct([("object_id", pa.string()), ("object_id_field", pa.string())])),
                    ("position", pa.struct([("ordinal", pa.int32())])),
                ]
            ),
        ),
    ]
)


@dataclass(frozen=True)
class Log:
    """Queries and events as in ``QUERIES`` and ``EVENTS``, with ``timestamp`` still a time."""

    queries: pa.Table
    events: pa.Table

    @classmethod
    def empty(cls) -> Log:
        """No rows."""
        return cls(*(timed(schema).empty_table() for schema in (QUERIES, EVENTS)))

    @classmethod
    def concat(cls, logs: list[Log]) -> Log:
        """The rows of several logs."""
        return cls(pa.concat_tables([x.queries for x in logs]), pa.concat_tables([x.events for x in logs]))

    def split(self, midnight: int) -> tuple[Log, Log]:
        """The rows before a midnight (microseconds since 1970), and the others."""
        end = pa.scalar(midnight, TIME)
        tables = (self.queries, self.events)
        before = Log(*(t.filter(pc.less(t["timestamp"], end)) for t in tables))
        return before, Log(*(t.filter(pc.greater_equal(t["timestamp"], end)) for t in tables))


def timed(schema: pa.Schema) -> pa.Schema:
    """The schema with ``timestamp`` as a time."""
    at = schema.get_field_index("timestamp")
    return schema.set(at, pa.field("timestamp", TIME))


def finished(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """In order of time, which becomes ISO 8601 text in UTC."""
    table = table.sort_by("timestamp")
    text = pc.strftime(table["timestamp"].cast(pa.timestamp("ms")), format="%Y-%m-%dT%H:%M:%SZ")
    return table.set_column(schema.get_field_index("timestamp"), "timestamp", text).cast(schema)


def write_day(landing: Path, day: date, log: Log) -> None:
    """Write the log of a day; the folder appears whole or not at all."""
    folder = day_folder(landing, day)
    temporary = folder.with_name(f".{folder.name}.making")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    pq.write_table(finished(log.queries, QUERIES), temporary / "ubi_queries.parquet")
    pq.write_table(finished(log.events, EVENTS), temporary / "ubi_events.parquet")
    shutil.rmtree(folder, ignore_errors=True)
    temporary.replace(folder)


def write_table(path: Path, table: pa.Table) -> None:
    """Write a Parquet file in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.making")
    pq.write_table(table, temporary)
    temporary.replace(path)
