"""The session transforms on both engines, and against slow Python that does the same another way."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.compiled import engine_table, make_table, with_variables
from features.ignored_requests import leave_out, left_out, mark_events
from features.screening import DayWindow, open_baskets, screen_events, screen_requests
from features.sessions import (
    attributed_events,
    clean_requests,
    day_impressions,
    seen_items,
    touched_impressions,
    with_sessions,
)
from features.typed_ahead import typed_ahead
from infra.contract.query_text import normalise
from infra.contract.tables import EVENTS, IDS, IMPRESSIONS, LEFT_OUT, LOCATION, REQUESTS, TIME
from infra.settings import RawSettings
from tests.features.raw_log import DAY

START = datetime(2026, 5, 10, tzinfo=UTC)
RAW = RawSettings(attribution_window=timedelta(minutes=30))
WINDOW = DayWindow.of(DAY, RAW)
MARKS = [("row_id", pa.int64()), ("not_json", pa.bool_()), ("action_line", pa.bool_()), ("wrong_type", pa.bool_())]
IDENTITY = [(name, pa.string()) for name in ("query_id", "user_id", "client_id", "session_id")]
TOLD = [(name, pa.string()) for name in ("query_text", "agent", "content")]
QUERIES = pa.schema([*MARKS, *IDENTITY, *TOLD, ("time", TIME), ("hits", IDS), *LOCATION])
EVENT_ROWS = pa.schema(
    [
        *MARKS,
        *IDENTITY,
        ("action", pa.string()),
        ("item_id", pa.string()),
        ("position", pa.int64()),
        ("time", TIME),
        ("event_id", pa.string()),
        *TOLD,
        ("basket", pa.list_(pa.struct([("item_id", pa.string()), ("position", pa.int64())]))),
        ("names_object", pa.bool_()),
    ]
)
Tables = dict[str, pa.Table]


def keystroke(row: int, query_id: str, draw: random.Random) -> dict[str, Any]:
    """A row of a page that searches with each key, now and then after a pause, a slip or by another person."""
    return dict.fromkeys(QUERIES.names) | {
        "row_id": row,
        "not_json": False,
        "action_line": False,
        "wrong_type": False,
        "query_id": query_id,
        "client_id": draw.choice(["u1", "u1", "u1", None]),
        "session_id": draw.choice(["session-1"] * 5 + [None]),
        "content": query_id,
        "query_text": draw.choice(["Σ", "σι", "ΣΙΣ", "σισ υφ", "x", "Σι\u3000"]),
        "time": START + timedelta(minutes=5, milliseconds=500 * draw.randint(0, row)),
        "hits": ["a", "b"],
    }


def random_log(seed: int, size: int) -> Tables:
    """A raw day and the day before it, with every kind of gap, repeat and tie."""
    draw = random.Random(seed)
    users, items = ["u1", "u2", "u3", None], ["a", "b", "c", "d", None]

    def minutes(low: int, high: int) -> datetime:
        return START + timedelta(minutes=draw.randint(low, high))

    def identity(n: int, ids: list[str | None]) -> dict[str, Any]:
        return {
            "row_id": n,
            "not_json": draw.random() < 0.02,
            "action_line": draw.random() < 0.02,
            "wrong_type": draw.random() < 0.02,
            "query_id": draw.choice(ids),
            "user_id": draw.choice([None, "u1", "u2"]),
            "client_id": draw.choice(users),
            "session_id": draw.choice([None, None, "session-1", "session-2"]),
            "content": draw.choice(["same", f"row {n}", f"row {n}"]),
        }

    new_ids = [f"q{n}" for n in range(size)]
    old_ids = [f"p{n}" for n in range(size // 2)]
    queries = [
        identity(n, [*new_ids, None, "p0"])
        | {
            "query_text": draw.choice(["", " Red  Shoes", "ΣΊΣΥΦΟΣ İstanbul", "straße\u3000x\t", "ﬁ Ⅷ"]),
            "time": draw.choice([None, minutes(-20_000, 4_000), *(minutes(-30, 200) for _ in range(8))]),
            "hits": [draw.choice(items) for _ in range(draw.randint(0, 5))],
            "country": draw.choice([None, "DE", "us"]),
            "language": draw.choice([None, "de-DE"]),
            "zip": draw.choice([None, "02134", "SW1A 1AA"]),
        }
        | draw.choice([{"latitude": None, "longitude": None}, {"latitude": -33.87, "longitude": 151.21}])
        for n in range(size)
    ]
    queries += [keystroke(size + n, f"k{n}", draw) for n in range(size)]
    new_ids += [f"k{n}" for n in range(size)]
    events = [
        identity(n, [*new_ids, *old_ids, None, None, "gone"])
        | {
            "action": draw.choice(["impression", "click", "purchase", "add_to_cart", "login", "warp", None]),
            "item_id": draw.choice(items),
            "position": draw.choice([None, -1, 0, 1, 2]),
            "time": draw.choice([None, minutes(-20_000, 4_000), *(minutes(-30, 240) for _ in range(8))]),
            "event_id": f"e{draw.randint(0, size * 2)}",
            "basket": draw.choice(
                [None, None, None, [{"item_id": "a", "position": 3}, {"item_id": draw.choice(items), "position": None}]]
            ),
            "names_object": draw.random() < 0.5,
        }
        for n in range(size * 3)
    ]
    requests = [
        {
            "query_id": q,
            "user_id": draw.choice(["u1", "u2", "u3"]),
            "client_id": draw.choice([None, "u1", "u3"]),
            "session_id": draw.choice([None, "session-1"]),
            "query_text": "x",
            "query": "x",
            "time": minutes(-60, -1),
            "known_at": START - timedelta(days=1),
            "shown": 2,
        }
        for q in old_ids
    ]
    impressions = [
        {"query_id": r["query_id"], "user_id": r["user_id"], "item_id": item, "position": place + 1}
        | {"time": r["time"], "known_at": r["known_at"]}
        for r in requests
        for place, item in enumerate(draw.sample(["a", "b", "c"], 2))
    ]
    done = [{"event_id": f"e{n}", "action": "click", "attribution": "none"} for n in range(3)]
    gone = [
        {"query_id": q, "user_id": draw.choice(users), "client_id": None, "reason": draw.choice(["typed_ahead", "bot"])}
        for q in ("gone", "p0", "q1")
    ]
    return {
        "earlier_left_out": pa.Table.from_pylist(gone, LEFT_OUT),
        "queries": pa.Table.from_pylist(queries, QUERIES),
        "events": pa.Table.from_pylist(events, EVENT_ROWS),
        "earlier_requests": pa.Table.from_pylist(requests, REQUESTS),
        "earlier_impressions": pa.Table.from_pylist(impressions, IMPRESSIONS),
        "earlier_events": pa.Table.from_pylist(done, EVENTS),
    }


def transform(engine: Any, load: Callable[..., Any], log: Tables) -> dict[str, Any]:
    """Each step as ``build_sessions`` takes it, its rows kept for the next one; on DuckDB compiled once, as there."""
    on_duckdb = engine.name == "duckdb"

    def loaded(name: str, rows: pa.Table) -> Any:
        table = load(engine, f"sessions_{name}", rows)
        return engine_table(engine, f"sessions_{name}") if on_duckdb else table

    def keep(name: str, build: Callable[..., Any], *inputs: Any) -> Any:
        if on_duckdb:
            return make_table(engine, f"sessions_{name}", build, *inputs)
        table = build(*inputs).to_pyarrow()
        utc = [pa.field(f.name, TIME) if pa.types.is_timestamp(f.type) else f for f in table.schema]
        return loaded(name, table.cast(pa.schema(utc)))

    window = with_variables(engine, WINDOW) if on_duckdb else WINDOW
    raw = {name: loaded(name, table) for name, table in log.items()}
    before, shown_before, done_before = (raw[f"earlier_{name}"] for name in ("requests", "impressions", "events"))
    judged_requests = keep("judged_requests", screen_requests, raw["queries"], before, window)
    opened = keep("opened", open_baskets, raw["events"], RAW.actions)
    typed = keep("typed", typed_ahead, judged_requests, opened, RAW.typing_window)
    bots = {name: keep(f"bot_{name}", of_bots, raw[name]) for name in ("queries", "events")}
    screened = keep("screened", leave_out, judged_requests, typed, bots["queries"], raw["earlier_left_out"])
    asked = keep("asked", nameable, screened, before)
    gone = keep("gone", left_out, screened, raw["earlier_left_out"])
    marked = keep("marked", mark_events, opened, asked, gone, bots["events"])
    judged = keep("judged", screen_events, marked, asked, done_before, window)
    events = keep("clean", clean, judged)
    touched = keep("touched", touched_impressions, shown_before, before, events, screened)
    shown = keep("shown", day_impressions, screened, events, before, touched, window)
    done = keep("done", touched_impressions, done_before, before, events, screened)
    seen = keep("seen", seen_items, shown, touched, events, done)
    in_sessions = keep("in_sessions", with_sessions, asked, events)
    results = {
        "typed ahead": typed,
        "query reasons": screened,
        "event reasons": judged,
        "requests": keep("requests", clean_requests, screened, events, shown, window),
        "impressions": shown,
        "events": keep("attributed", attributed_events, events, in_sessions, seen, window),
    }
    tables = {name: engine.table(table.name) if on_duckdb else table for name, table in results.items()}
    tables["query reasons"] = tables["query reasons"].select("row_id", "reason", "user_id")
    tables["event reasons"] = tables["event reasons"].drop("not_json", "action_line", "wrong_type")
    return tables


def of_bots(rows: Any) -> Any:
    return rows.filter(rows.client_id == "u3").select("row_id")


def nameable(screened: Any, before: Any) -> Any:
    named = ["query_id", "user_id", "client_id", "session_id", "time"]
    return screened.filter(screened.leads).select(named).union(before.select(named))


def clean(judged: Any) -> Any:
    return judged.filter(judged.reason.isnull())


@pytest.mark.spark
def test_spark_and_duckdb_agree(
    duckdb_engine: Any, spark_engine: Any, load: Callable[..., Any], assert_same_rows: Callable[..., None]
) -> None:
    log = random_log(7, 120)
    on_duckdb, on_spark = (transform(engine, load, log) for engine in (duckdb_engine, spark_engine))
    for name, table in on_duckdb.items():
        found = table.to_pyarrow()
        assert found.num_rows > 20, f"{name} is too small to tell"
        assert_same_rows(found, on_spark[name])


def slow_typed_ahead(screened: list[dict[str, Any]], opened: list[dict[str, Any]]) -> set[str]:
    acted = {row["query_id"] for row in opened if row["kind"] in ("click", "cart", "order")}
    people = defaultdict(list)
    for row in screened:
        text = normalise(row["query_text"])
        person = row["user_id"] or ("session", row["session_id"])
        if row["leads"] and text and (row["user_id"] or row["session_id"]):
            people[person, row["session_id"]].append((row["time"], len(text), row["query_id"], text))
    found = set()
    for rows in people.values():
        chains: list[list[Any]] = []
        for row in sorted(rows):
            last = chains[-1][-1] if chains else None
            near = last is not None and row[0] - last[0] <= RAW.typing_window
            on_the_minute = near and row[0] == last[0] and row[0].second == row[0].microsecond == 0
            if near and not on_the_minute and (row[3].startswith(last[3]) or last[3].startswith(row[3])):
                chains[-1].append(row)
            else:
                chains.append([row])
        found |= {row[2] for chain in chains for row in chain if row[3] != chain[-1][3]}
    return found - acted


@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(20, 80))
def test_typed_ahead_is_what_slow_python_finds(
    duckdb_engine: Any, load: Callable[..., Any], seed: int, size: int
) -> None:
    log = random_log(seed, size)
    names = {name: f"typing_{name}" for name in ("earlier_requests", "queries", "events")}
    for name, table in names.items():
        load(duckdb_engine, table, log[name])
    before, queries, events = (engine_table(duckdb_engine, table) for table in names.values())
    screened = make_table(duckdb_engine, "typing_screened", screen_requests, queries, before, WINDOW)
    opened = make_table(duckdb_engine, "typing_opened", open_baskets, events, RAW.actions)
    make_table(duckdb_engine, "typing_found", typed_ahead, screened, opened, RAW.typing_window)
    screened_rows, opened_rows, found_rows = (
        duckdb_engine.con.table(f"typing_{name}").to_arrow_table().to_pylist()
        for name in ("screened", "opened", "found")
    )
    found = [row["query_id"] for row in found_rows]
    assert set(found) == slow_typed_ahead(screened_rows, opened_rows)
    assert len(found) == len(set(found))


def same_person(row: dict[str, Any], request: dict[str, Any], session: str | None) -> bool:
    """``session``: the request's, or that which its events carry."""
    sessions = {row["session_id"], session}
    if row["user_id"] == request["user_id"] is not None:
        return None in sessions or len(sessions) == 1
    asked_as_guest = request["user_id"] is None or request["user_id"] == request["client_id"]
    if row["logged_id"] is not None and not asked_as_guest:
        return False
    if row["client_id"] is None or request["client_id"] is None:
        return None not in sessions and len(sessions) == 1
    return bool(row["client_id"] == request["client_id"])


def slow_attribution(log: Tables, found: dict[str, list[dict[str, Any]]]) -> dict[str, tuple[str | None, str]]:
    """event_id -> (query_id, attribution), one event and one request at a time, over the clean rows."""
    events = [row for row in found["event reasons"] if row["reason"] is None]
    carried: dict[str, list[str]] = defaultdict(list)
    for row in events:
        if row["query_id"] and row["session_id"]:
            carried[row["query_id"]].append(row["session_id"])
    requests = {r["query_id"]: r for r in [*log["earlier_requests"].to_pylist(), *found["requests"]]}
    shown = {(r["query_id"], r["item_id"]) for r in [*log["earlier_impressions"].to_pylist(), *found["impressions"]]}
    clicks = [row for row in events if RAW.actions[row["action"]] == "click"]
    clicks += [row for row in log["earlier_events"].to_pylist() if row["action"] == "click"]
    shown |= {(row["query_id"], row["item_id"]) for row in clicks if row["query_id"]}
    result: dict[str, tuple[str | None, str]] = {}
    for row in events:
        action = RAW.actions[row["action"]]
        if action == "impression":
            continue
        best: tuple[datetime, bool, str] | None = None
        for query_id, request in requests.items():
            session = request["session_id"] or min(carried[query_id], default=None)
            if (
                (query_id, row["item_id"]) in shown
                and same_person(row, request, session)
                and timedelta(0) <= row["time"] - request["time"] <= RAW.attribution_window
            ):
                candidate = (request["time"], query_id == row["query_id"], query_id)
                best = max(best, candidate) if best else candidate
        if best is not None and (action != "click" or row["query_id"] is None):
            result[row["event_id"]] = (best[2], "last_shown")
        else:
            result[row["event_id"]] = (row["query_id"], "logged" if row["query_id"] else "none")
    return result


@pytest.mark.slow
@hypothesis_settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(4, 60))
def test_attribution_is_what_slow_python_finds(
    duckdb_engine: Any, load: Callable[..., Any], seed: int, size: int
) -> None:
    log = random_log(seed, size)
    found = {name: table.to_pyarrow().to_pylist() for name, table in transform(duckdb_engine, load, log).items()}
    wanted = slow_attribution(log, found)
    assert {r["event_id"]: (r["query_id"], r["attribution"]) for r in found["events"]} == wanted
    assert len(found["events"]) == len(wanted)
    assert len(found["query reasons"]) == size * 2
    assert len({row["row_id"] for row in found["event reasons"]}) == size * 3
    pairs = [(r["query_id"], r["item_id"]) for r in found["impressions"]]
    assert len(pairs) == len(set(pairs))
