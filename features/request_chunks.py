"""The requests of landing days that can be learned from, in chunks of time: what is held is of a chunk, not of a day.

A chunk lies in tables of the engine: ``wanted`` (its requests), ``shown`` (all that they showed), ``staged`` (what
became of items of the catalogue) and ``useful`` (the requests that led to one). The next chunk replaces them.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa

from features.engine import read_catalog, read_days
from features.split import Split
from features.sql_text import quoted
from features.stages import available_items, stage_rows
from infra.contract.partitions import written_days
from infra.contract.tables import EVENTS, IMPRESSIONS, REQUESTS
from infra.settings import Settings

DAY = timedelta(days=1)
CHUNK_ROWS = 125_000
"""Training rows of a chunk, about: those of its last request, and of later days, come on top."""
KEPT_OUT = ("empty_query", "late_requests", "repeated_ids")
"""Why a request of a window is kept out; the first that holds counts."""


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
    """What the days of a training set are built from; made by ``open_sources``."""

    engine: Any
    """DuckDB, from ``open_engine``, with the tables ``repeated`` (query ids) and ``known_items``."""
    settings: Settings
    split: Split
    items: pa.Table
    """``item_id, available_from`` (see ``available_items``), in order of ``available_from``, then ``item_id``."""


def open_sources(engine: Any, settings: Settings, split: Split) -> Sources:
    """The catalogue's items, and the query ids that more than one request of the log has, put into the engine.

    Which rows are whose cannot be told for such an id.

    Raises:
        FileNotFoundError: the catalogue was not built yet.
    """
    sessions, con = settings.paths.sessions, engine.con
    impressions = read_days(engine, sessions / "impressions", written_days(sessions / "impressions"), IMPRESSIONS)
    items = engine.to_pyarrow(available_items(read_catalog(engine, settings), impressions))
    items = items.sort_by([("available_from", "ascending"), ("item_id", "ascending")])
    con.register("known_items", items.select(["item_id"]))
    requests = read_days(engine, sessions / "requests", written_days(sessions / "requests"), REQUESTS)
    counted = requests.group_by("query_id").agg(n=requests.count())
    con.execute(f"CREATE TABLE repeated AS SELECT query_id FROM ({engine.compile(counted)}) WHERE n > 1")
    return Sources(engine, settings, split, items)


def staged_chunks(sources: Sources, days: Sequence[date], tally: Tally) -> Iterator[int]:
    """Stage the requests of landing days chunk by chunk, in order of time; each is told by its number, from 0 on.

    Requests with an empty query, requests that were known only after their window, and requests that led to no item of
    the catalogue are kept out, and counted into ``tally``; so are rows of items that the catalogue does not know.

    ``useful`` has ``REQUESTS`` with ``landed`` and ``split``, ``shown`` has ``query_id, item_id``, ``staged`` is of
    ``stage_rows``.
    """
    con = sources.engine.con
    with tempfile.TemporaryDirectory(prefix=".spill-", dir=sources.settings.paths.root) as folder:
        requests = Path(folder) / "requests.parquet"
        shown, staged = _staging(sources, days, requests, tally)
        rows = f"read_parquet({quoted(requests)})"
        ((last,),) = con.execute(f"SELECT max(chunk) FROM {rows}").fetchall()
        for number in range(0 if last is None else last + 1):
            con.execute(f"CREATE OR REPLACE TABLE wanted AS SELECT * EXCLUDE chunk FROM {rows} WHERE chunk = {number}")
            con.execute(f"CREATE OR REPLACE TABLE shown AS {shown}")
            con.execute(f"CREATE OR REPLACE TABLE every_stage AS {staged}")
            con.execute("CREATE OR REPLACE TABLE staged AS FROM every_stage SEMI JOIN known_items USING (item_id)")
            con.execute("CREATE OR REPLACE TABLE useful AS FROM wanted SEMI JOIN staged USING (query_id)")
            tally.dropped["unknown_item_rows"] += _count(con, "every_stage") - _count(con, "staged")
            tally.dropped["without_items"] += _count(con, "wanted") - _count(con, "useful")
            yield number


def _staging(sources: Sources, days: Sequence[date], file: Path, tally: Tally) -> tuple[str, str]:
    """Write the requests that are not kept out to ``file``, in order of time, with their ``chunk``.

    Returns:
        What makes ``shown`` and ``staged`` of the table ``wanted``, in SQL.
    """
    engine, settings = sources.engine, sources.settings
    con = engine.con
    windows = engine.compile(_in_windows(sources, days))
    reasons = con.execute(f"SELECT reason, count(*) FROM ({windows}) WHERE reason NOT NULL GROUP BY reason").fetchall()
    tally.dropped.update(dict.fromkeys(KEPT_OUT, 0) | dict(reasons))
    in_order, each = "(ORDER BY time, query_id)", settings.training.random_per_request + 1
    con.execute(
        f"""COPY (SELECT * EXCLUDE reason,
            ((sum(shown + {each}) OVER {in_order} - shown - {each}) // {CHUNK_ROWS})::BIGINT AS chunk
        FROM ({windows}) WHERE reason IS NULL ORDER BY time, query_id) TO {quoted(file)}"""
    )
    con.execute(f"CREATE OR REPLACE TABLE wanted AS SELECT * EXCLUDE chunk FROM read_parquet({quoted(file)}) LIMIT 0")
    sessions, around = settings.paths.sessions, _days_around(settings)
    landed = written_days(sessions / "requests")
    shown_on = [day for day in landed if days[0] - around <= day <= days[-1] + around]
    acted_on = [day for day in landed if days[0] - around <= day < sources.split.end.date()]
    wanted = engine.table("wanted")
    impressions = read_days(engine, sessions / "impressions", shown_on, IMPRESSIONS)
    # an impression has its request's time: of files in order of time the rows around the chunk's are read alone
    within = impressions.time.between(wanted.time.min().as_scalar(), wanted.time.max().as_scalar())
    impressions = impressions.filter(within).semi_join(wanted, "query_id")
    shown = engine.compile(impressions.select("query_id", "item_id", "position", "known_at"))
    con.execute(f"CREATE OR REPLACE TABLE shown AS {shown}")
    events = read_days(engine, sessions / "events", acted_on, EVENTS).semi_join(wanted, "query_id")
    staged = stage_rows(wanted, engine.table("shown"), events, settings.training.unclicked_per_request)
    return shown, engine.compile(staged)


def _in_windows(sources: Sources, days: Sequence[date]) -> Any:
    """The requests of both windows: REQUESTS with ``landed``, ``split``, ``labels_until`` and ``reason``.

    ``reason`` is one of ``KEPT_OUT``, null of a request that stays.
    """
    split = sources.split
    rows = read_days(sources.engine, sources.settings.paths.sessions / "requests", days, REQUESTS)
    rows = rows.filter((rows.time >= _instant(split.train_start)) & (rows.time < _instant(split.end)))
    training = rows.time < _instant(split.cut)
    rows = rows.mutate(
        split=ibis.ifelse(training, "train", "validation"),
        labels_until=ibis.ifelse(training, _instant(split.cut), _instant(split.end)),
    )
    holds = (
        rows["query"].fill_null("") == "",
        rows.known_at >= rows.labels_until,
        rows.query_id.isin(sources.engine.table("repeated").query_id),
    )
    return rows.mutate(reason=ibis.cases(*zip(holds, KEPT_OUT, strict=True)))


def _days_around(settings: Settings) -> timedelta:
    """How far from a request's landing day lie those that its session may land on."""
    windows = settings.raw
    return DAY * (1 + math.ceil(max(windows.late_window, windows.ahead_window) / DAY))


def _count(con: Any, table: str) -> int:
    ((rows,),) = con.execute(f"SELECT count(*) FROM {table}").fetchall()
    return int(rows)


def _instant(moment: datetime) -> Any:
    return ibis.literal(moment, type="timestamp('UTC', 6)")
