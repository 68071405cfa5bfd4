"""A tiny healthy shop, written by hand, and ways to break it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features import day_report
from features.day_report import DayReport, built_days, read_report
from features.publishing import Verdict, accepted_tables
from features.quality import SessionJudge, SuiteResult
from features.quality.training_set import LABELS
from infra.contract import tables
from infra.contract.partitions import partition_file, write_json, write_parquet, write_partition
from infra.settings import Settings

FIRST = date(2026, 3, 1)
DAYS = [FIRST + timedelta(days=n) for n in range(5)]
LAST = DAYS[-1]
ITEMS = [f"i{n}" for n in range(12)]
SHOWN = 4
REQUESTS_PER_DAY = 3
FIGURES = {"requests": 3, "impressions": 12, "clicks": 3, "carts": 0, "orders": 1, "anonymous_share": 0}
Row = dict[str, Any]
Change = Callable[[list[Row]], Any]


def at(day: date, hour: int, **parts: int) -> datetime:
    """A moment of a day, in UTC."""
    return datetime.combine(day, time(hour, **parts), UTC)


def write_shop(settings: Settings, days: Sequence[date] = DAYS) -> None:
    """Catalogue, days of sessions and features, and a training set of the first five, all healthy."""
    write_parquet(settings.paths.catalog, table(tables.CATALOG, [catalog_item(i) for i in ITEMS]), tables.CATALOG)
    write_json(settings.paths.reports / "catalog.json", {"columns": {"item_id": "sku"}})
    for day in days:
        write_sessions(settings, day)
        write_features(settings, day)
    write_training_set(settings)


def table(fields: pa.Schema, rows: list[Row]) -> pa.Table:
    """Rows in a schema; a column that a row lacks is null."""
    return pa.Table.from_pylist(rows, schema=fields)


def catalog_item(item: str) -> Row:
    """An item that always was there."""
    return {
        "item_id": item,
        "title": f"lamp {item}",
        "category_path": ["home"],
        "price": 9.5,
        "attributes": [],
        "tags": [],
        "available_from": datetime(1970, 1, 1, tzinfo=UTC),
    }


def write_sessions(settings: Settings, day: date) -> None:
    """Three requests that show four items each; the second item is clicked, in one of them also ordered."""
    requests, impressions, events = [], [], []
    for n in range(REQUESTS_PER_DAY):
        moment = at(day, 8 + n)
        who = {"query_id": f"q{day}-{n}", "user_id": f"u{n}", "time": moment, "known_at": moment}
        requests.append(who | {"session_id": f"s{n}", "query_text": "Lamp", "query": "lamp", "shown": SHOWN})
        impressions += [who | {"item_id": ITEMS[n + p], "position": p} for p in range(SHOWN)]
        for action in ("click", "order")[: 1 + (n == 0)]:
            after = moment + timedelta(minutes=5)
            event = {"event_id": f"e{day}-{n}-{action}", "action": action, "item_id": ITEMS[n + 1], "position": 1}
            events.append(who | event | {"time": after, "known_at": after, "attribution": "last_shown"})
    folder = settings.paths.sessions
    write_partition(folder / "requests", day, table(tables.REQUESTS, requests), tables.REQUESTS)
    write_partition(folder / "impressions", day, table(tables.IMPRESSIONS, impressions), tables.IMPRESSIONS)
    write_partition(folder / "events", day, table(tables.EVENTS, events), tables.EVENTS)
    refused = [{"source": "events", "reason": "no time", "raw": "{}"}]
    write_partition(settings.paths.quarantine, day, table(tables.QUARANTINE, refused), tables.QUARANTINE)
    write_report(settings, day)


def write_report(settings: Settings, day: date, **changes: Any) -> None:
    """What the builder of sessions says about a day: one of 40 rows refused."""
    report = DayReport(
        day=day,
        fingerprint="",
        stamps="",
        files=("ubi_queries.parquet",),
        sources={},
        rows_in=40,
        clean=37,
        ignored=2,
        reasons={"no_time": 1},
        examples={},
        bad_share=1 / 38,
        held=False,
        kept_previous=False,
        rows_out={"requests": 3, "impressions": 12, "events": 4},
        attribution={},
        unknown_actions={},
        inputs="",
        output="",
        settings="",
        seconds=0.1,
        figures=FIGURES,
    )
    day_report.write_report(settings, replace(report, **changes))


def write_features(settings: Settings, day: date) -> None:
    """A row per user after each request, and a row per item and query at the day's end."""
    end = at(day, 0) + timedelta(days=1)
    users = [
        {
            "user_id": f"u{n}",
            "event_timestamp": at(day, 8 + n, microsecond=1),
            "created": at(day, 8 + n, microsecond=1),
            "recent_queries": ["lamp"],
            "recent_items": [ITEMS[n + 1]],
            "recent_brands": [],
            "recent_orders": [],
            "order_history": [],
            "ordered_tags": [],
            "requests_7d": 1,
            "clicks_7d": 1,
            "orders_30d": 0,
        }
        for n in range(REQUESTS_PER_DAY)
    ]
    counts = {f"{what}_{w}d": 1 for w in (7, 30) for what in ("impressions", "clicks", "carts", "orders")}
    values = {"click_rate": 0.3, "order_rate": 0.1, "price": 9.5, "rating": None, "age_days": None}
    stamped = {"event_timestamp": end, "created": end}
    items = [{"item_id": item, **stamped, **counts, **values} for item in ITEMS]
    query = {"query": "lamp", "query_requests_30d": 3, "query_clicks_30d": 3, "query_orders_30d": 1}
    queries = [query | stamped]
    folder = settings.paths.features
    write_partition(folder / "user", day, table(tables.USER_FEATURES, users), tables.USER_FEATURES)
    write_partition(folder / "item", day, table(tables.ITEM_FEATURES, items), tables.ITEM_FEATURES)
    write_partition(folder / "query", day, table(tables.QUERY_FEATURES, queries), tables.QUERY_FEATURES)


def write_training_set(settings: Settings) -> None:
    """A request per day, the last one validates: an ordered, a clicked, two unclicked items and a random one."""
    folder = settings.paths.training_set
    for day in DAYS:
        split = "validation" if day == LAST else "train"
        of_request = {"query_id": f"q{day}-0", "time": at(day, 8), "split": split}
        requests = [of_request | {"user_id": "u0", "query": "lamp", "query_text": "Lamp"}]
        rows = []
        for position, stage in enumerate(("ordered", "clicked", "unclicked", "unclicked", "random")):
            clicked = stage in ("ordered", "clicked")
            flags = {"clicked": clicked, "carted": False, "ordered": stage == "ordered"}
            place = {"item_id": ITEMS[position], "position": position, "stage": stage}
            rows.append(of_request | place | flags | {"click_rate": 0.2, "order_rate": 0.1, "clicks_7d": 1})
        write_partition(folder / "requests", day, table(LABELS, requests), LABELS)
        write_partition(folder / "rows", day, table(tables.TRAINING_ROWS, rows), tables.TRAINING_ROWS)
    windows = {"train_start": at(FIRST, 0), "cut": at(LAST, 0), "end": at(LAST, 0) + timedelta(days=1)}
    write_json(folder / "split.json", windows)


def change(path: Path, how: Change) -> None:
    """Rewrite a partition's file after ``how`` changed its rows in place."""
    stored = pq.read_table(path, partitioning=None)
    rows = stored.to_pylist()
    how(rows)
    write_parquet(path, table(stored.schema, rows), stored.schema)


def put(**values: Any) -> Change:
    """A change: the first row gets other values; a timedelta is meant from the start of the row's day."""

    def how(rows: list[Row]) -> None:
        rows[0].update({name: _moment(rows[0], value) for name, value in values.items()})

    return how


def _moment(row: Row, value: Any) -> Any:
    if not isinstance(value, timedelta):
        return value
    own = row.get("time") or row["event_timestamp"] - timedelta(microseconds=2)
    return datetime.combine(own.date(), time(), UTC) + value


def twice(rows: list[Row]) -> None:
    """A change: the first row occurs twice."""
    rows.append(dict(rows[0]))


def training_file(settings: Settings, name: str) -> Path:
    """A training table of the last day, which validates."""
    return partition_file(settings.paths.training_set / name, LAST)


def judge_day(settings: Settings, day: date) -> Verdict:
    """What the rules say of a day that lies in the tables."""
    report = read_report(settings, day)
    assert report is not None
    earlier = [d for d in built_days(settings) if d < day][-5:]
    return SessionJudge().judge(settings, report, accepted_tables(settings), earlier)


def check_day(settings: Settings, day: date) -> SuiteResult:
    """Each rule on a day that lies in the tables."""
    return SuiteResult.from_json(judge_day(settings, day).checked)


def broken_rules(result: SuiteResult) -> set[str]:
    """The measures whose rule is broken."""
    return {outcome.column for outcome in result.failed}


def broken_on(result: SuiteResult, day: date) -> set[str]:
    """The measures whose rule is broken by a day."""
    return {outcome.column for outcome in result.failed if day.isoformat() in outcome.rows}
