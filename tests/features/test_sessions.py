"""One landing day, from files to tables, by hand."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import DayReport, build_sessions, read_report
from features.screening import REASONS
from infra.contract.tables import LOCATION_NAMES
from infra.settings import Settings
from tests.features.raw_log import DAY, Row, at, event, land, next_day, quarantined, query, shop, stored


def build(settings: Settings, queries: list[Any], events: list[Any], kind: str = "ndjson") -> DayReport:
    land(settings, queries, events, kind=kind)
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_in + report.basket_items == report.clean + report.ignored + sum(report.reasons.values())
    assert len(quarantined(settings)) == sum(report.reasons.values())
    assert read_report(settings, DAY) == report
    return report


@pytest.fixture
def lenient(tmp_path: Path) -> Settings:
    """A shop that holds no day: its tests are about rows."""
    return shop(tmp_path, max_bad_share=1.0)


def the_event(settings: Settings) -> Row:
    (found,) = stored(settings, "events")
    return found


@pytest.mark.many(2)
@pytest.mark.parametrize("kind", ["ndjson", "ndjson.gz", "bulk", "source", "parquet"])
def test_every_kind_of_file_gives_the_same_day(tmp_path: Path, kind: str) -> None:
    settings = shop(tmp_path)
    place = {"zip": "02134", "location": "42.35,-71.13"}
    queries = [query("q1", query_attributes=None), query("q2", "11:00:00", query_attributes=place)]
    report = build(settings, queries, [event("click", "b", query_id="q1")], kind)
    assert report.sources["ubi_queries"].action_lines == (2 if kind == "bulk" else 0)
    assert (report.rows_in, report.clean, report.held) == (3, 3, False)
    assert report.rows_out == {"requests": 2, "impressions": 6, "events": 1}
    first, second = stored(settings, "requests")
    assert first == {
        "query_id": "q1",
        "user_id": "u1",
        "client_id": "u1",
        "session_id": None,
        "query_text": "red shoes",
        "query": "red shoes",
        "time": datetime(2026, 5, 10, 10, tzinfo=UTC),
        "known_at": datetime(2026, 5, 10, 10, tzinfo=UTC),
        "shown": 3,
        **dict.fromkeys(LOCATION_NAMES),
    }
    assert [second[name] for name in LOCATION_NAMES] == [None, None, "02134", 42.35, -71.13]
    assert [(r["item_id"], r["position"]) for r in stored(settings, "impressions")[:3]] == [
        ("a", 1),
        ("b", 2),
        ("c", 3),
    ]
    found = the_event(settings)
    assert (found["action"], found["query_id"], found["position"], found["attribution"]) == ("click", "q1", 2, "logged")


REFUSED_QUERIES: list[tuple[Any, str]] = [
    ("{no json", "not_json"),
    ("[1]", "not_json"),
    (query(None), "no_query_id"),
    (query("n2", timestamp=None), "no_time"),
    (query("n3", timestamp="soon"), "wrong_type"),
    (query("n4", query_response_hit_ids="a,b"), "wrong_type"),
    (query("n5", user_query={"text": "x"}), "wrong_type"),
    (query("n6", day=next_day(-8)), "too_old"),
    (query("n7", day=next_day(2)), "too_new"),
    (query("q1", "12:00:00", user="u2"), "duplicate_id"),
]
REFUSED_EVENTS: list[tuple[Any, str]] = [
    ("{no json", "not_json"),
    (event(None, "a", query_id="q1"), "no_action"),
    (event("click", None, query_id="q1"), "no_item"),
    (event("click", {"id": 1}, query_id="q1"), "wrong_type"),
    (event("click", "a", query_id="q1", timestamp=None), "no_time"),
    (event("click", "a", query_id=["q1"]), "wrong_type"),
    (event("order", "a", user=None), "no_user"),
    (event("click", "a", query_id="gone"), "unknown_request"),
    (event("order", "a", day=next_day(-8)), "too_old"),
    (event("order", "a", day=next_day(2)), "too_new"),
    (event("order", "c", query_id="q1", event_id="e1"), "duplicate_event"),
]


def test_rows_are_refused_each_for_its_reason(lenient: Settings) -> None:
    queries = [query("q1"), *(row for row, _ in REFUSED_QUERIES)]
    events = [event("order", "b", query_id="q1", event_id="e1"), *(row for row, _ in REFUSED_EVENTS)]
    report = build(lenient, queries, events)
    wanted = [("ubi_queries", *case) for case in REFUSED_QUERIES] + [("ubi_events", *case) for case in REFUSED_EVENTS]
    lines = [(source, row if isinstance(row, str) else json.dumps(row), reason) for source, row, reason in wanted]
    assert sorted((r["source"], r["raw"], r["reason"]) for r in quarantined(lenient)) == sorted(lines)
    assert {reason for *_, reason in lines} == set(REASONS)
    assert report.reasons == dict(Counter(reason for *_, reason in lines))
    assert report.examples["duplicate_event"] == [lines[-1][1]]
    assert report.bad_share == 21 / 23
    assert [r["query_id"] for r in stored(lenient, "requests")] == ["q1"]
    assert the_event(lenient)["item_id"] == "b"


@pytest.mark.parametrize(
    "row",
    [
        event("login", None, user=None, timestamp=None),
        event("Product_Hover", {"odd": 1}, query_id="gone"),
    ],
)
def test_ignored_actions_are_counted_and_never_refused(tmp_path: Path, row: Row) -> None:
    report = build(shop(tmp_path), [query("q1")], [row] * 3)
    assert (report.ignored, report.reasons, report.bad_share) == (3, {}, 0)


def test_what_harms_nothing_is_not_refused(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries = [
        query("empty", user_query=None, query_response_hit_ids=None),
        query("odd session", session_id={"a": 1}),
        query(7, query_response_hit_ids=["a", "a", None, "b"]),
    ]
    events = [
        event("click", "a", query_id="7", event_attributes={"object": {"object_id": "a"}, "position": "first"}),
        event("click", "b", query_id="7", user=None),
    ]
    report = build(settings, queries, events)
    assert report.reasons == {}
    requests = {row["query_id"]: row for row in stored(settings, "requests")}
    assert (requests["empty"]["query_text"], requests["empty"]["query"], requests["empty"]["shown"]) == ("", "", 0)
    shown = [(r["item_id"], r["position"]) for r in stored(settings, "impressions") if r["query_id"] == "7"]
    assert shown == [("a", 1), ("b", 4)]
    assert {row["user_id"] for row in stored(settings, "events")} == {"u1"}


def test_unknown_actions_name_the_setting(lenient: Settings) -> None:
    report = build(lenient, [query("q1")], [event("Teleport", "a"), event("Teleport", "b"), event("warp", "a")])
    assert report.unknown_actions == {"teleport": 2, "warp": 1}
    assert "teleport 2, warp 1. Say in shelfwise.toml, under [raw.actions], what each is" in report.message


def test_the_first_by_time_of_one_id_is_the_request(lenient: Settings) -> None:
    build(lenient, [query("q1", "12:00:00", user="late"), query("q1", "09:00:00", user="first")], [])
    assert [r["user_id"] for r in stored(lenient, "requests")] == ["first"]


def test_the_user_is_the_logged_in_one_else_the_client(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    build(settings, [query("q1", user_id="person"), query("q2", user="browser")], [])
    assert [r["user_id"] for r in stored(settings, "requests")] == ["person", "browser"]


def test_impression_events_outrank_hit_ids(tmp_path: Path) -> None:
    settings = shop(tmp_path)

    def seen(item: str, ordinal: Any, query_id: str) -> Row:
        place = {"object": {"object_id": item}, "position": {"ordinal": ordinal}}
        return event("impression", item, query_id=query_id, user=None, event_attributes=place)

    events = [
        seen("c", 3, "one"),
        seen("a", 1, "one"),
        seen("b", 1, "zero"),
        seen("a", 0, "zero"),
        seen("c", None, "nowhere"),
        seen("z", None, "nowhere"),
        seen("b", -1, "nowhere"),
    ]
    build(settings, [query(q) for q in ("one", "zero", "nowhere", "hits")], events)
    shown = {(r["query_id"], r["item_id"]): r["position"] for r in stored(settings, "impressions")}
    assert {k: v for k, v in shown.items() if k[0] == "one"} == {("one", "a"): 1, ("one", "c"): 3}
    assert {k: v for k, v in shown.items() if k[0] == "zero"} == {("zero", "a"): 1, ("zero", "b"): 2}
    assert {k: v for k, v in shown.items() if k[0] == "nowhere"} == {
        ("nowhere", "c"): 3,
        ("nowhere", "z"): 3,
        ("nowhere", "b"): 2,
    }
    assert len([k for k in shown if k[0] == "hits"]) == 3
    assert {r["query_id"]: r["shown"] for r in stored(settings, "requests")} == {
        "one": 2,
        "zero": 2,
        "nowhere": 3,
        "hits": 3,
    }


FOLLOWED: list[tuple[dict[str, Any], str | None, str]] = [
    ({}, "late", "last_shown"),
    ({"query_id": "early"}, "late", "last_shown"),
    ({"query_id": "other user"}, "late", "last_shown"),
    ({"clock": "10:30:00"}, "late", "last_shown"),
    ({"clock": "10:29:59"}, "early", "last_shown"),
    ({"clock": "12:30:00"}, "late", "last_shown"),
    ({"clock": "12:30:01"}, None, "none"),
    ({"clock": "12:30:01", "query_id": "early"}, "early", "logged"),
    ({"clock": "09:59:59"}, None, "none"),
    ({"item": "never shown"}, None, "none"),
    ({"item": "never shown", "query_id": "late"}, "late", "logged"),
    ({"session_id": "s1"}, "early", "last_shown"),
    ({"session_id": "s2"}, "late", "last_shown"),
    ({"session_id": "s3"}, None, "none"),
    ({"user": "stranger"}, None, "none"),
]


@pytest.mark.parametrize("action", ["order", "add_to_cart"])
def test_an_order_follows_the_last_request_that_showed_the_item(tmp_path: Path, action: str) -> None:
    settings = shop(tmp_path)
    queries, events = [], []
    for case, (more, _, _) in enumerate(FOLLOWED):
        user = f"u{case}"
        queries += [
            query(f"{case} early", "10:00:00", user=user, session_id="s1"),
            query(f"{case} late", "10:30:00", user=user, session_id="s2", query_response_hit_ids=["x", "b"]),
            query(f"{case} other item", "10:40:00", user=user, query_response_hit_ids=["x"]),
            query(f"{case} other user", "10:45:00", user="somebody"),
        ]
        fields = {"item": "b", "clock": "10:50:00", "user": user, "event_id": f"{case}"} | more
        if "query_id" in fields:
            fields["query_id"] = f"{case} {fields['query_id']}"
        events.append(event(action, fields.pop("item"), fields.pop("clock"), **fields))
    build(settings, queries, events)
    found = {int(row["event_id"]): row for row in stored(settings, "events")}
    for case, (_, request, attribution) in enumerate(FOLLOWED):
        wanted = (request and f"{case} {request}", attribution)
        assert (found[case]["query_id"], found[case]["attribution"]) == wanted, FOLLOWED[case]
        assert found[case]["action"] == {"order": "order", "add_to_cart": "cart"}[action]


def test_a_request_takes_its_session_from_the_events_that_name_it(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries = [query("one", "10:00:00"), query("two", "10:10:00")]
    events = [
        event("click", "a", "10:00:10", query_id="one", session_id="s1"),
        event("click", "a", "10:10:10", query_id="two", session_id="s2"),
        event("order", "b", "10:20:00", session_id="s1"),
    ]
    build(settings, queries, events)
    assert {r["query_id"]: r["session_id"] for r in stored(settings, "requests")} == {"one": "s1", "two": "s2"}
    assert stored(settings, "events")[-1]["query_id"] == "one"


def test_what_was_clicked_in_a_request_was_seen_there(tmp_path: Path) -> None:
    """A log without impressions: an order follows the click, over midnight as well."""
    settings = shop(tmp_path)
    queries = [query("q1", "10:00:00", query_response_hit_ids=[]), query("q2", "23:50:00", query_response_hit_ids=[])]
    events = [
        event("click", "a", "10:00:10", query_id="q1"),
        event("click", "a", "10:00:20", query_id="q1"),
        event("click", "b", "23:50:10", query_id="q2"),
        event("order", "a", "10:50:00"),
        event("order", "b", "23:51:00"),
        event("order", "z", "23:52:00"),
    ]
    build(settings, queries, events)
    orders = [r for r in stored(settings, "events") if r["action"] == "order"]
    assert [(r["query_id"], r["attribution"]) for r in orders] == [
        ("q1", "last_shown"),
        ("q2", "last_shown"),
        (None, "none"),
    ]
    assert not stored(settings, "impressions")
    following = next_day()
    later = {"day": following, "query_response_hit_ids": []}
    land(settings, [query("q3", "00:01:00", **later)], [event("order", "b", "00:05:00", day=following)], day=following)
    build_sessions(settings, [following])
    (order,) = stored(settings, "events", following)
    assert (order["query_id"], order["position"]) == ("q2", 1)


def test_of_requests_at_one_moment_the_named_one_counts(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    build(settings, [query("q1"), query("q2"), query("q3")], [event("order", "a", query_id="q2")])
    assert the_event(settings)["query_id"] == "q2"


def test_a_click_belongs_to_the_request_it_names_else_to_the_last(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    events = [
        event("click", "a", "11:00:00", query_id="q1"),
        event("click", "b", "11:00:01"),
        event("click", "z", "11:00:02"),
    ]
    report = build(settings, [query("q1", "10:00:00"), query("q2", "10:30:00")], events)
    found = [(r["query_id"], r["attribution"]) for r in stored(settings, "events")]
    assert found == [("q1", "logged"), ("q2", "last_shown"), (None, "none")]
    assert report.attribution == {"click": {"last_shown": 1, "logged": 1, "none": 1}}


def test_a_log_without_users_keeps_what_names_its_request(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    events = [
        event("click", "a", "10:01:00", query_id="q1", user=None),
        event("order", "a", "10:02:00", query_id="q1", user=None),
    ]
    report = build(settings, [query("q1", user=None)], events)
    assert report.reasons == {}
    assert [r["user_id"] for r in stored(settings, "requests")] == [None]
    assert [(r["action"], r["query_id"], r["attribution"]) for r in stored(settings, "events")] == [
        ("click", "q1", "logged"),
        ("order", "q1", "logged"),
    ]


def test_a_late_row_is_known_from_the_day_it_landed(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    build(settings, [query("q1", day=next_day(-2))], [event("order", "a", day=next_day(-1)), event("order", "b")])
    start = datetime(2026, 5, 10, tzinfo=UTC)
    (request,) = stored(settings, "requests")
    assert (request["time"], request["known_at"]) == (start - timedelta(days=2) + timedelta(hours=10), start)
    assert [r["known_at"] for r in stored(settings, "events")] == [start, start + timedelta(hours=10, minutes=1)]
    assert all(r["known_at"] == start for r in stored(settings, "impressions"))


def test_a_click_stamped_before_its_own_request_counts_from_the_request(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    build(settings, [query("q1", "10:30:00")], [event("click", "a", "10:00:00", query_id="q1")])
    (request,) = stored(settings, "requests")
    click = the_event(settings)
    assert click["known_at"] == request["known_at"] > click["time"]


def test_a_day_without_events_is_a_day(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    (land(settings, [query("q1")], []) / "ubi_events.ndjson").unlink()
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_out == {"requests": 1, "impressions": 3, "events": 0}


def test_normalised_query_is_the_key(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    build(settings, [query("q1", user_query="  Red\u00a0 SHOES\t", timestamp=at("10:00:00"))], [])
    (request,) = stored(settings, "requests")
    assert (request["query_text"], request["query"]) == ("  Red\u00a0 SHOES\t", "red shoes")
