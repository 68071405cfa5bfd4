"""A small clean log with late rows, unattributed events, empty queries and unknown items, in shuffled order."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from infra.contract.partitions import write_parquet, write_partition
from infra.contract.tables import CATALOG, EVENTS, IMPRESSIONS, REQUESTS
from infra.settings import Settings

START = date(2026, 3, 1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
UNKNOWN_ITEM = "not in the catalogue"


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), tzinfo=UTC)


@dataclass(frozen=True)
class Log:
    """Clean tables of some days. ``landed`` columns say the landing day of each row."""

    catalog: pa.Table
    requests: pa.Table
    impressions: pa.Table
    events: pa.Table

    def until(self, moment: datetime) -> Log:
        """What was known before ``moment``."""

        def known(table: pa.Table) -> pa.Table:
            return table.filter(pc.less(table["known_at"], pa.scalar(moment, table["known_at"].type)))

        return replace(
            self, requests=known(self.requests), impressions=known(self.impressions), events=known(self.events)
        )

    def write(self, settings: Settings, days: list[date] | None = None) -> None:
        """Lay the log out under ``settings.paths``; only the landing days ``days`` if given."""
        write_parquet(settings.paths.catalog, self.catalog, CATALOG)
        tables = {
            "requests": (self.requests, REQUESTS),
            "impressions": (self.impressions, IMPRESSIONS),
            "events": (self.events, EVENTS),
        }
        for name, (table, schema) in tables.items():
            for day in sorted({d.as_py() for d in self.requests["landed"]}):
                if days is None or day in days:
                    rows = table.filter(pc.equal(table["landed"], pa.scalar(day)))
                    write_partition(settings.paths.sessions / name, day, rows, schema)


def _table(rows: list[dict[str, Any]], schema: pa.Schema, rng: np.random.Generator) -> pa.Table:
    shuffled = [rows[i] for i in rng.permutation(len(rows))]
    return pa.Table.from_pylist(shuffled, schema=schema.append(pa.field("landed", pa.date32())))


def small_log(seed: int = 0, days: int = 5, requests_per_day: int = 20, users: int = 4, items: int = 12) -> Log:
    """A random log; a tenth of the requests land a day late, a few events two days after their request."""
    rng = np.random.default_rng(seed)
    catalog = pa.Table.from_pylist(
        [
            {
                "item_id": f"i{n:02}",
                "title": f"item {n}",
                "category_path": ["all"],
                "brand": None if n % 5 == 0 else f"b{n % 3}",
                "price": float(n),
                "rating": None if n % 4 == 0 else 4.0,
                "attributes": [],
                "tags": [] if n % 6 == 0 else [f"t{n % 4}", f"t{n % 3}"],
                "available_from": EPOCH if n % 2 else midnight(START) + timedelta(hours=7 * n),
            }
            for n in range(items)
        ],
        schema=CATALOG,
    )
    requests: list[dict[str, Any]] = []
    impressions: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []

    def placed(moment: datetime, delay: int) -> dict[str, Any]:
        landed = moment.date() + timedelta(days=delay)
        return {"time": moment, "known_at": max(moment, midnight(landed)), "landed": landed}

    for day in range(days):
        last = day == days - 1
        for _ in range(requests_per_day):
            asked = midnight(START + timedelta(days=day)) + timedelta(seconds=int(rng.integers(86_400)))
            delay = int(not last and rng.random() < 0.1)
            key = f"q{len(requests):04}"
            user = f"u{rng.integers(users)}"
            text = str(rng.choice(["", "Red  shoe", "red shoe", "lamp", "desk lamp"], p=[0.1, 0.2, 0.3, 0.2, 0.2]))
            base = {"query_id": key, "user_id": user}
            requests.append(
                base
                | placed(asked, delay)
                | {"session_id": user, "query_text": text, "query": " ".join(text.lower().split()), "shown": 6}
            )
            shown = [f"i{n:02}" for n in rng.permutation(items)[:6]] + ([UNKNOWN_ITEM] if rng.random() < 0.2 else [])
            impressions += [
                base | placed(asked, delay) | {"item_id": item, "position": at} for at, item in enumerate(shown, 1)
            ]
            for item in shown:
                for action, share in (("click", 0.3), ("cart", 0.1), ("order", 0.1), ("click", 0.05)):
                    if rng.random() < share:
                        happened = asked + timedelta(minutes=int(rng.integers(1, 180)))
                        late = 0 if happened.date() >= START + timedelta(days=days - 2) else int(rng.random() < 0.1) * 2
                        attributed = rng.random() < 0.9
                        events.append(
                            {
                                "event_id": f"e{len(events):05}",
                                "action": action,
                                "query_id": key if attributed else None,
                                "user_id": user,
                                "item_id": item if rng.random() < 0.95 else f"i{int(rng.integers(items)):02}",
                                "position": None,
                                "attribution": "last_shown" if attributed else "none",
                            }
                            | placed(happened, min(late, 2))
                        )
    final = START + timedelta(days=days - 1)
    for rows in (requests, events):
        for row in rows:
            row["landed"] = min(row["landed"], final)
    return Log(
        catalog,
        _table(requests, REQUESTS, rng),
        _table(impressions, IMPRESSIONS, rng),
        _table(events, EVENTS, rng),
    )
