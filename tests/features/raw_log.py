"""Small raw logs for the tests: rows as dictionaries, landed as the kinds of files that shops export."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from infra.contract.partitions import partition_file
from infra.settings import RawSettings, Settings

DAY = date(2026, 5, 10)
Row = dict[str, Any]


def at(clock: str, day: date = DAY) -> str:
    """A time of a day as UBI writes it."""
    return f"{day.isoformat()}T{clock}Z"


def query(query_id: Any, clock: str = "10:00:00", *, user: str | None = "u1", day: date = DAY, **more: Any) -> Row:
    """A row of ubi_queries."""
    row = {
        "query_id": query_id,
        "client_id": user,
        "user_query": "red shoes",
        "timestamp": at(clock, day),
        "query_response_hit_ids": ["a", "b", "c"],
    }
    return row | more


def event(action: str, item: Any, clock: str = "10:01:00", *, user: str | None = "u1", **more: Any) -> Row:
    """A row of ubi_events."""
    day = more.pop("day", DAY)
    row = {
        "action_name": action,
        "client_id": user,
        "timestamp": at(clock, day),
        "event_attributes": {"object": {"object_id": item}, "position": {"ordinal": 1}},
    }
    return row | more


def ndjson(rows: Sequence[Row | str]) -> str:
    """A line per row; a text is a line as it stands."""
    return "".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows)


def bulk(rows: Sequence[Row | str]) -> str:
    """As the bulk format interleaves action lines."""
    lines = [line for n, row in enumerate(rows) for line in ({"index": {"_index": "ubi", "_id": str(n)}}, row)]
    return ndjson(lines)


def land(
    settings: Settings,
    queries: Sequence[Row | str],
    events: Sequence[Row | str],
    *,
    day: date = DAY,
    kind: str = "ndjson",
) -> Path:
    """Write a landing day, replacing it; ``kind``: ndjson, ndjson.gz, bulk, source or parquet."""
    folder = Path(str(settings.landing), f"dt={day.isoformat()}")
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for name, rows in (("ubi_queries", queries), ("ubi_events", events)):
        if kind == "parquet":
            pq.write_table(
                pa.Table.from_pylist([dict(r) for r in rows if isinstance(r, Mapping)]), folder / f"{name}.parquet"
            )
        elif kind == "ndjson.gz":
            (folder / f"{name}.ndjson.gz").write_bytes(gzip.compress(ndjson(rows).encode()))
        elif kind == "bulk":
            (folder / f"{name}.json").write_text(bulk(rows))
        elif kind == "source":
            (folder / f"{name}.jsonl").write_text(ndjson([{"_index": "ubi", "_source": row} for row in rows]))
        else:
            (folder / f"{name}.ndjson").write_text(ndjson(rows))
    return folder


def shop(folder: Path, **raw: Any) -> Settings:
    """Settings of a shop whose landing folder lies beside what Shelfwise writes."""
    return Settings(home=folder / "home", landing=str(folder / "landing"), shop="test", raw=RawSettings(**raw))


def stored(settings: Settings, table: str, day: date = DAY) -> list[Row]:
    """The rows of a day of ``requests``, ``impressions`` or ``events``."""
    file = partition_file(settings.paths.sessions / table, day)
    return pq.ParquetFile(file).read().to_pylist() if file.exists() else []


def quarantined(settings: Settings, day: date = DAY) -> list[Row]:
    """The rows of a day that were refused."""
    return pq.ParquetFile(partition_file(settings.paths.quarantine, day)).read().to_pylist()


def files_of(settings: Settings) -> dict[str, bytes]:
    """Every table file of the sessions, byte for byte."""
    root = settings.paths.sessions
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.glob("*/dt=*/part.parquet"))}


def next_day(days: int = 1) -> date:
    return DAY + timedelta(days=days)


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
