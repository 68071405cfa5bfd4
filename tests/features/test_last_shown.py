"""The last request that showed an item, against every pair of event and request, one by one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features.engine import from_arrow, open_engine
from features.last_shown import LEAST_SESSION_CHARS, last_shown
from features.screening import DayWindow
from infra.contract.tables import TIME
from infra.settings import FeatureSettings, RawSettings, Settings
from tests.features.raw_log import DAY

START = datetime(2026, 5, 10, tzinfo=UTC)
RAW = RawSettings(attribution_window=timedelta(minutes=30))
WINDOW = DayWindow.of(DAY, RAW)
PERSON = [(name, pa.string()) for name in ("user_id", "client_id", "session_id")]
ASKED = pa.schema([("item_id", pa.string()), ("query_id", pa.string()), *PERSON, ("time", TIME)])
EVENTS = pa.schema([("event_id", pa.string()), ("logged_id", pa.string()), *ASKED])
Rows = list[dict[str, Any]]

ids = st.sampled_from([None, "a", "b", "c"])
people = {
    "user_id": ids,
    "client_id": ids,
    "session_id": st.sampled_from([None, "1", "2", "session-1", "session-2"]),
    "item_id": st.sampled_from(["i", "j"]),
    "time": st.integers(0, 90).map(lambda minute: START + timedelta(minutes=minute)),
}
requests = st.lists(st.fixed_dictionaries(people), max_size=25)
events = st.lists(
    st.fixed_dictionaries(people | {"logged_id": ids, "query_id": st.integers(-5, 24)}), min_size=1, max_size=25
)


def tables(asked: Rows, did: Rows) -> tuple[Rows, Rows]:
    asked = [row | {"query_id": f"q{n:02}"} for n, row in enumerate(asked)]
    named = [row | {"query_id": None if row["query_id"] < 0 else f"q{row['query_id']:02}"} for row in did]
    return asked, [row | {"event_id": f"e{n}"} for n, row in enumerate(named)]


def identities(row: dict[str, Any]) -> set[Any]:
    session = row["session_id"]
    long = ("session", session) if session and len(session) >= LEAST_SESSION_CHARS else None
    return {row["user_id"], row["client_id"], long} - {None}


def is_theirs(event: dict[str, Any], request: dict[str, Any]) -> bool:
    """The rule of ``attributed_events``, for two that have some id in common."""

    def same(name: str) -> bool:
        return event[name] is not None and event[name] == request[name]

    def other(name: str) -> bool:
        return None not in (event[name], request[name]) and event[name] != request[name]

    asker = request["user_id"]
    guest = event["logged_id"] is None or asker is None or asker == request["client_id"]
    no_client = event["client_id"] is None or request["client_id"] is None
    if same("user_id"):
        return not other("session_id") or (guest and no_client and same("session_id"))
    return guest and (same("client_id") or (no_client and same("session_id")))


def slow_last_shown(asked: Rows, did: Rows) -> dict[str, tuple[str, str | None]]:
    found = {}
    for event in did:
        pairs = [
            (request["time"], request["query_id"] == event["query_id"], request["query_id"], request["user_id"])
            for request in asked
            if request["item_id"] == event["item_id"]
            and identities(request) & identities(event)
            and is_theirs(event, request)
            and event["time"] - RAW.attribution_window <= request["time"] <= event["time"]
        ]
        if pairs:
            _, _, query_id, asker = max(pairs, key=lambda pair: pair[:3])
            found[event["event_id"]] = (query_id, asker)
    return found


def as_dict(rows: pa.Table) -> dict[str, tuple[str, str | None]]:
    return {row["event_id"]: (row["last_shown"], row["asker"]) for row in rows.to_pylist()}


@hypothesis_settings(max_examples=60, deadline=None)
@given(requests, events)
def test_is_what_all_pairs_say(asked: Rows, did: Rows) -> None:
    asked, did = tables(asked, did)
    engine = ibis.duckdb.connect()
    try:
        engine.raw_sql("SET TimeZone = 'UTC'")
        shown, events = from_arrow(engine, pa.Table.from_pylist(asked, ASKED)), pa.Table.from_pylist(did, EVENTS)
        found = engine.to_pyarrow(last_shown(from_arrow(engine, events), shown, WINDOW))
    finally:
        engine.disconnect()
    assert as_dict(found) == slow_last_shown(asked, did)


def test_one_user_with_all_events_needs_no_memory_for_pairs(tmp_path: Path) -> None:
    """20,000 requests and 20,000 orders of one user on one item are 400 million pairs."""
    n = 20_000
    seconds = [START + timedelta(seconds=number) for number in range(n)]
    person: dict[str, Any] = {"user_id": ["u"] * n, "client_id": ["c"] * n, "session_id": ["session-1"] * n}
    asked = {"item_id": ["i"] * n, "query_id": [f"q{number:05}" for number in range(n)], **person, "time": seconds}
    did = asked | {
        "event_id": [f"e{number}" for number in range(n)],
        "logged_id": ["u"] * n,
        "query_id": [None] * n,
        "time": [moment + timedelta(milliseconds=500) for moment in seconds],
    }
    settings = Settings(home=tmp_path, features=FeatureSettings(build_memory="60MB"))
    with open_engine(settings) as engine:
        engine.raw_sql("SET threads = 1")
        shown, events = (
            from_arrow(engine, pa.table(columns, schema=schema)) for columns, schema in ((asked, ASKED), (did, EVENTS))
        )
        found = as_dict(engine.to_pyarrow(last_shown(events, shown, WINDOW)))
    assert found == {f"e{number}": (f"q{number:05}", "u") for number in range(n)}
