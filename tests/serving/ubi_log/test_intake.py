"""UBI rows of others: what the nightly run can use is kept as sent, all else is refused with a sentence."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import RawSettings
from serving.ubi_log.intake import RowError, checked_row, item_of, parse_rows, read_time, user_event_of
from serving.ubi_log.rows import Source, line_of

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
RAW = RawSettings()
EVENT: dict[str, Any] = {
    "application": "shop",
    "action_name": "add_to_cart",
    "query_id": "q1",
    "session_id": "s1",
    "client_id": "c1",
    "user_id": "",
    "timestamp": "2026-11-28T09:29:00.123Z",
    "message_type": "INFO",
    "message": "",
    "event_attributes": {"object": {"object_id": "i7", "object_id_field": "ean"}, "position": {"ordinal": 2}},
}
"""As ``ubi.js`` sends it."""
QUERY: dict[str, Any] = {"query_id": "q1", "client_id": "c1", "user_query": "mug", "query_response_hit_ids": ["i7", 8]}
WORDS = ["query_id", "user_id", "client_id", "action_name", "timestamp", "user_query", "event_attributes", "object"]
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(WORDS) | st.text(), inner, max_size=6),
    max_leaves=12,
)
SOURCES: list[Source] = ["ubi_events", "ubi_queries"]


def test_what_ubi_js_sends_is_kept_whole() -> None:
    kept = checked_row("ubi_events", EVENT, RAW, NOW)
    assert kept.pop("event_id")
    assert kept.pop("timestamp") == "2026-11-28T09:29:00.123000+00:00"
    assert kept == {name: value for name, value in EVENT.items() if name != "timestamp"}
    found = user_event_of("ubi_events", checked_row("ubi_events", EVENT, RAW, NOW), RAW)
    assert found is not None
    assert (found.user, found.action, found.item_id) == ("c1", "cart", "i7")


def test_a_search_of_elsewhere_is_one_for_the_next_search_too() -> None:
    found = user_event_of("ubi_queries", checked_row("ubi_queries", QUERY, RAW, NOW), RAW)
    assert found is not None
    assert (found.user, found.action, found.query, found.time) == ("c1", "search", "mug", NOW)


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ("2026-11-28T10:29:00+01:00", NOW - timedelta(minutes=1)),
        ("2026-11-28T09:29:00", NOW - timedelta(minutes=1)),
        *((int(NOW.timestamp()) * unit, NOW) for unit in (1, 10**3, 10**6, 10**9)),
        (f"{int(NOW.timestamp())}000", NOW),
        ("Sat, 28 Nov 2026 09:29:00 GMT", NOW - timedelta(minutes=1)),
        (None, NOW),
        ("", NOW),
        ("1970-01-01T00:00:00Z", NOW),
        ("2031-01-01T00:00:00Z", NOW),
    ],
)
def test_times_are_read_and_those_of_wrong_clocks_are_the_servers(sent: object, read: datetime) -> None:
    for name in ("timestamp", "@timestamp"):
        row = {key: value for key, value in EVENT.items() if key != "timestamp"} | {name: sent}
        assert checked_row("ubi_events", row, RAW, NOW)["timestamp"] == read.isoformat()


@pytest.mark.parametrize(
    ("source", "changes", "says"),
    [
        ("ubi_events", {"action_name": ""}, "action_name"),
        ("ubi_events", {"action_name": 3}, "action_name"),
        ("ubi_events", {"query_id": None, "client_id": " "}, "belongs to nobody"),
        ("ubi_events", {"client_id": {}}, "client_id"),
        ("ubi_events", {"query_id": "x" * 1001}, "query_id"),
        ("ubi_events", {"timestamp": "yesterday"}, "timestamp"),
        ("ubi_events", {"timestamp": True}, "timestamp"),
        ("ubi_events", {"timestamp": "1" * 400}, "timestamp"),
        ("ubi_queries", {"query_id": ""}, "query_id"),
        ("ubi_queries", {"user_query": None}, "user_query"),
        ("ubi_queries", {"query_response_hit_ids": "i7"}, "query_response_hit_ids"),
        ("ubi_queries", {"query_response_hit_ids": [{}]}, "query_response_hit_ids"),
    ],
)
def test_a_row_of_no_use_says_why(source: Source, changes: dict[str, Any], says: str) -> None:
    with pytest.raises(RowError, match=says):
        checked_row(source, (EVENT if source == "ubi_events" else QUERY) | changes, RAW, NOW)


@pytest.mark.parametrize("body", [b"", b"{", b"3", b'[["a"]]', b"[1]", b"\xff", b"[" * 200_000])
def test_a_body_that_is_no_array_of_objects_is_refused(body: bytes) -> None:
    with pytest.raises(RowError, match="expected a JSON array"):
        parse_rows(body)


@given(st.sampled_from(SOURCES), st.dictionaries(st.sampled_from(WORDS) | st.text(), ANYTHING, max_size=8))
def test_any_row_is_refused_or_has_a_time_and_an_owner(source: Source, row: dict[str, Any]) -> None:
    try:
        kept = checked_row(source, row, RAW, NOW)
    except RowError as error:
        assert str(error)
        return
    happened = read_time(kept["timestamp"])
    assert NOW - RAW.late_window < happened < NOW + RAW.ahead_window
    assert set(row) - {"timestamp", "@timestamp", "event_id"} <= set(kept)
    user_event_of(source, kept, RAW)
    item_of(kept)
    try:
        line = line_of(kept)
    except ValueError:
        return
    assert line.count(b"\n") == 1
    assert json.loads(line) == kept
