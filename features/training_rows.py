"""The requests and rows of some landing days for the training set, with features as of the request's time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.compute as pc

from features.engine import from_arrow, read_catalog, read_days
from features.random_items import draw_random_items
from features.split import Split
from features.stages import available_items, stage_rows
from features.store.offline import point_in_time
from infra.contract.partitions import written_days
from infra.contract.tables import (
    EVENTS,
    IMPRESSIONS,
    REQUESTS,
    TIME,
    TRAINING_ITEM_FEATURES,
    TRAINING_REQUESTS,
    TRAINING_ROWS,
    Entity,
)
from infra.settings import Settings

DAY = timedelta(days=1)
TIME_COLUMN = "event_timestamp"


class LostRowsError(RuntimeError):
    """A join returned other rows than it was given."""


@dataclass
class Tally:
    """What was written, and what was kept out, while days are built."""

    requests: Counter[str] = field(default_factory=Counter)
    """By split."""
    rows: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By split and stage."""
    cold: Counter[str] = field(default_factory=Counter)
    """Requests of users of whom nothing was known, by split."""
    dropped: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    """Time of the first request."""


@dataclass(frozen=True)
class Sources:
    """What the days of a training set are built from."""

    engine: Any
    """DuckDB, from ``open_engine``."""
    settings: Settings
    split: Split
    items: pa.Table
    """What ``items_of_catalog`` gives."""
    repeated: pa.Array
    """What ``repeated_ids`` gives."""


@dataclass(frozen=True)
class TrainingDay:
    """A landing day's part of the training set: requests in TRAINING_REQUESTS, rows in TRAINING_ROWS."""

    day: date
    requests: pa.Table
    rows: pa.Table


def items_of_catalog(engine: Any, settings: Settings) -> pa.Table:
    """``item_id, available_from``; see ``available_items``."""
    days = written_days(settings.paths.sessions / "impressions")
    impressions = read_days(engine, settings.paths.sessions / "impressions", days, IMPRESSIONS)
    return engine.to_pyarrow(available_items(read_catalog(engine, settings), impressions))


def repeated_ids(engine: Any, settings: Settings) -> pa.Array:
    """The query ids that more than one request of the log has: which rows are whose cannot be told."""
    sessions = settings.paths.sessions / "requests"
    requests = read_days(engine, sessions, written_days(sessions), REQUESTS)
    counted = requests.group_by("query_id").agg(n=requests.count())
    return engine.to_pyarrow(counted.filter(counted.n > 1).select("query_id"))["query_id"].combine_chunks()


def items_at(settings: Settings, items: pa.Table, moments: list[datetime]) -> pa.Table:
    """The features of every item as of each moment, in the columns of ``TRAINING_ITEM_FEATURES``.

    Args:
        items: what ``items_of_catalog`` gives.

    Raises:
        LostRowsError: the point-in-time join returned other rows than it was given.
    """
    parts = []
    for moment in moments:
        rows = items.select(["item_id"]).append_column("time", pa.repeat(pa.scalar(moment, TIME), items.num_rows))
        rows = _as_of(settings, rows, "item_id", "item")
        parts.append(rows.rename_columns([TIME_COLUMN if name == "time" else name for name in rows.column_names]))
    return _in_schema(pa.concat_tables(parts), TRAINING_ITEM_FEATURES)


def training_days(sources: Sources, days: list[date], tally: Tally) -> Iterator[TrainingDay]:
    """Build landing days together, and count into ``tally``.

    Requests with an empty query, requests that were known only after their window, and requests that led to no item of
    the catalogue are kept out; so are rows of items that the catalogue does not know.

    Raises:
        LostRowsError: the point-in-time join returned other rows than it was given.
    """
    requests, shown, rows = staged_days(sources, days, tally)
    taken = pa.concat_tables([shown, rows.select(shown.column_names)])
    drawn = [_random_rows(sources, part, taken, rows.schema, day) for day, part in _by_landing(requests)]
    rows = _with_requests(pa.concat_tables([rows, *drawn]), requests)

    requests = _as_of(sources.settings, requests, "user_id", "user")
    requests = _as_of(sources.settings, requests, "query", "query")
    requests = requests.sort_by([(name, "ascending") for name in ("time", "query_id")])
    rows = _as_of(sources.settings, rows, "item_id", "item")
    rows = rows.sort_by([(name, "ascending") for name in ("time", "query_id", "item_id")])
    _count(requests, rows, tally)
    for day, part in _by_landing(requests):
        of_day = rows.filter(pc.equal(rows["landed"], pa.scalar(day)))
        yield TrainingDay(day, _in_schema(part, TRAINING_REQUESTS), _in_schema(of_day, TRAINING_ROWS))


def staged_days(sources: Sources, days: list[date], tally: Tally) -> tuple[pa.Table, pa.Table, pa.Table]:
    """What landing days give to learn from, before random items and features are added.

    Returns:
        The requests that stay (REQUESTS with ``landed``, ``split``, ``labels_until``), all ``query_id, item_id`` that
        were shown, and the rows of ``stage_rows`` of items of the catalogue.
    """
    requests = _requests(sources, days, tally)
    shown, rows = _shown_and_staged(sources, requests, days)
    rows = _known_items(rows, sources.items, tally)
    return _useful_requests(requests, rows, tally), shown, rows


def _requests(sources: Sources, days: list[date], tally: Tally) -> pa.Table:
    """The requests of both windows: REQUESTS with ``landed``, ``split`` and ``labels_until``."""
    split = sources.split
    rows = read_days(sources.engine, sources.settings.paths.sessions / "requests", days, REQUESTS)
    rows = rows.filter((rows.time >= _instant(split.train_start)) & (rows.time < _instant(split.end)))
    training = rows.time < _instant(split.cut)
    rows = rows.mutate(
        split=ibis.ifelse(training, "train", "validation"),
        labels_until=ibis.ifelse(training, _instant(split.cut), _instant(split.end)),
    )
    found = sources.engine.to_pyarrow(rows)
    empty = pc.equal(pc.fill_null(found["query"], ""), "")
    tally.dropped["empty_query"] += _trues(empty)
    found = found.filter(pc.invert(empty))
    late = pc.greater_equal(found["known_at"], found["labels_until"])
    tally.dropped["late_requests"] += _trues(late)
    found = found.filter(pc.invert(late))
    repeated = pc.is_in(found["query_id"], value_set=sources.repeated)
    tally.dropped["repeated_ids"] += _trues(repeated)
    return found.filter(pc.invert(repeated))


def _shown_and_staged(sources: Sources, requests: pa.Table, days: list[date]) -> tuple[pa.Table, pa.Table]:
    """All (request, item) that were shown, and the rows by stage; sessions of a day may land on the days around it."""
    engine, settings = sources.engine, sources.settings
    sessions, windows = settings.paths.sessions, settings.raw
    around = DAY * (1 + math.ceil(max(windows.late_window, windows.ahead_window) / DAY))
    landed = written_days(sessions / "requests")
    shown_on = [day for day in landed if days[0] - around <= day <= days[-1] + around]
    acted_on = [day for day in landed if days[0] - around <= day < sources.split.end.date()]
    wanted = from_arrow(engine, requests.select(["query_id", "labels_until"]))
    impressions = read_days(engine, sessions / "impressions", shown_on, IMPRESSIONS).semi_join(wanted, "query_id")
    events = read_days(engine, sessions / "events", acted_on, EVENTS).semi_join(wanted, "query_id")
    rows = stage_rows(wanted, impressions, events, settings.training.unclicked_per_request)
    return engine.to_pyarrow(impressions.select("query_id", "item_id")), engine.to_pyarrow(rows)


def _known_items(rows: pa.Table, items: pa.Table, tally: Tally) -> pa.Table:
    known = pc.is_in(rows["item_id"], value_set=items["item_id"].combine_chunks())
    tally.dropped["unknown_item_rows"] += rows.num_rows - _trues(known)
    return rows.filter(known)


def _useful_requests(requests: pa.Table, rows: pa.Table, tally: Tally) -> pa.Table:
    useful = pc.is_in(requests["query_id"], value_set=rows["query_id"].combine_chunks())
    tally.dropped["without_items"] += requests.num_rows - _trues(useful)
    return requests.filter(useful)


def _random_rows(sources: Sources, requests: pa.Table, taken: pa.Table, schema: pa.Schema, day: date) -> pa.Table:
    """Rows of stage ``random``, of items that the request neither showed nor led to."""
    training = sources.settings.training
    drawn = draw_random_items(
        requests, taken, sources.items, per_request=training.random_per_request, seed=training.seed, day=day
    )
    constants = {"clicked": False, "carted": False, "ordered": False, "position": None, "stage": "random"}
    for name, value in constants.items():
        drawn = drawn.append_column(name, pa.repeat(pa.scalar(value, schema.field(name).type), drawn.num_rows))
    return drawn.select(schema.names).cast(schema)


def _with_requests(rows: pa.Table, requests: pa.Table) -> pa.Table:
    """The rows with the time, split and landing day of their request."""
    at = pc.index_in(rows["query_id"], value_set=requests["query_id"].combine_chunks())
    if at.null_count:
        raise LostRowsError(f"{at.null_count} training rows belong to no request; their requests were written twice")
    for name in ("time", "split", "landed"):
        rows = rows.append_column(name, requests[name].take(at))
    return rows


def _as_of(settings: Settings, rows: pa.Table, key: str, view: Entity) -> pa.Table:
    """The rows with a view's features as of their time; a feature whose name is taken carries its view's in front."""
    entities = rows.select([key]).append_column(TIME_COLUMN, rows["time"])
    joined = point_in_time(settings, entities, [view])
    if joined.num_rows != rows.num_rows or not joined[key].equals(rows[key]):
        raise LostRowsError(f"the join of {view} features gave {joined.num_rows} other rows for {rows.num_rows}")
    for name in joined.column_names[len(entities.column_names) :]:
        rows = rows.append_column(f"{view}_{name}" if name in rows.column_names else name, joined[name])
    return rows


def _count(requests: pa.Table, rows: pa.Table, tally: Tally) -> None:
    if requests.num_rows:
        first = pc.min(requests["time"]).as_py()
        tally.first = min(tally.first or first, first)
    for counted in requests["split"].value_counts().to_pylist():
        tally.requests[counted["values"]] += counted["counts"]
    for counted in rows.group_by(["split", "stage"]).aggregate([([], "count_all")]).to_pylist():
        tally.rows[(counted["split"], counted["stage"])] += counted["count_all"]
    cold = requests.filter(requests["requests_7d"].is_null())
    for counted in cold["split"].value_counts().to_pylist():
        tally.cold[counted["values"]] += counted["counts"]


def _by_landing(requests: pa.Table) -> Iterator[tuple[date, pa.Table]]:
    for day in sorted(requests["landed"].unique().to_pylist()):
        yield day, requests.filter(pc.equal(requests["landed"], pa.scalar(day)))


def _in_schema(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows in ``schema``; lists that no feature row filled are empty, other features stay null."""
    for at, name in enumerate(rows.column_names):
        if pa.types.is_list(rows[name].type):
            filled = pc.if_else(rows[name].is_valid(), rows[name], pa.scalar([], rows[name].type))
            rows = rows.set_column(at, name, filled)
    return rows.select(schema.names).cast(schema)


def _instant(moment: datetime) -> Any:
    return ibis.literal(moment, type="timestamp('UTC', 6)")


def _trues(flags: pa.ChunkedArray) -> int:
    return int(pc.sum(flags).as_py() or 0)
