"""Requests that no row of queries tells, made of events that carry their text."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import DayReport, build_sessions
from features.landing import day_files
from infra.settings import Settings
from tests.features.raw_log import DAY, Row, event, files_of, land, next_day, query, shop, stored

RED = {"user_query": "red shoes"}


def build(settings: Settings, queries: list[Any], events: list[Any], day: date = DAY) -> DayReport:
    land(settings, queries, events, day=day)
    (report,) = build_sessions(settings, [day])
    assert report.rows_in == len(queries) + len(events)
    assert report.rows_in + report.basket_items == report.clean + report.ignored + sum(report.reasons.values())
    return report


def asked(settings: Settings, day: date = DAY) -> list[tuple[str, str]]:
    """Text and time of the day's requests."""
    return [(row["query_text"], row["time"].strftime("%H:%M:%S")) for row in stored(settings, "requests", day)]


def led_to(settings: Settings, day: date = DAY) -> dict[str, str | None]:
    """Item -> the text of the request that its events belong to."""
    texts = {row["query_id"]: row["query_text"] for row in stored(settings, "requests", day)}
    return {row["item_id"]: texts.get(row["query_id"], row["query_id"]) for row in stored(settings, "events", day)}


def test_a_lost_request_is_made_of_its_events(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    events = [
        event("click", "b", "10:02:00", query_id="lost", user_query="Red  shoes ", session_id="session-1"),
        event("impression", "b", "10:01:00", user=None, query_id="lost"),
        event("impression", "a", "10:01:00", user=None, query_id="lost", event_attributes={"object": {"object_id": "a"},
              "position": {"ordinal": 2}}),
        event("purchase", "b", "10:09:00", query_id="lost", user_id="u9"),
    ]  # fmt: skip
    report = build(settings, [query("q1", user="u3")], events)
    assert (report.held, report.reasons, report.rebuilt_requests) == (False, {}, {"named": 1})
    assert report.sources["ubi_queries"].rows_in == 1
    lost = stored(settings, "requests")[1]
    assert (lost["query_id"], lost["query_text"], lost["query"]) == ("lost", "Red  shoes", "red shoes")
    assert (lost["user_id"], lost["client_id"], lost["session_id"]) == ("u9", "u1", "session-1")
    assert (lost["time"].minute, lost["shown"]) == (1, 2)
    shown = [(row["item_id"], row["position"]) for row in stored(settings, "impressions") if row["query_id"] == "lost"]
    assert shown == [("b", 1), ("a", 2)]
    assert {row["attribution"] for row in stored(settings, "events")} == {"logged", "last_shown"}


def test_a_broken_row_is_refused_and_its_request_rebuilt(tmp_path: Path) -> None:
    settings = shop(tmp_path, max_bad_share=1.0)
    broken = ["{no json", query("lost1", timestamp=None), query("lost2", query_response_hit_ids="a,b")]
    events = [event("click", "a", user=f"u{n}", query_id=f"lost{n}", **RED) for n in range(len(broken))]
    report = build(settings, [query("q1", user="u9"), *broken], events)
    assert (sum(report.reasons.values()), report.rebuilt_requests) == (3, {"named": 3})
    assert sorted(row["query_id"] for row in stored(settings, "requests")) == ["lost0", "lost1", "lost2", "q1"]


def test_a_request_that_nothing_tells_stays_unknown(tmp_path: Path) -> None:
    rows = [
        event("click", "a", query_id="lost0"),
        event("click", "a", query_id="lost1", user_query="  "),
        event("click", "a", query_id="lost2", user_query="null"),
        event("impression", "a", query_id="lost3", timestamp=None, **RED),
    ]
    report = build(shop(tmp_path, max_bad_share=1.0), [query("q1")], rows)
    assert (report.reasons, report.rebuilt_requests) == ({"unknown_request": 4}, {})


def test_events_that_are_broken_or_of_another_time_tell_nothing(tmp_path: Path) -> None:
    events = [
        event("click", "a", query_id="lost", day=next_day(-9), **RED),
        event("click", {"broken": 1}, query_id="lost", **RED),
    ]
    report = build(shop(tmp_path, max_bad_share=1.0), [query("q1")], events)
    assert (report.reasons, report.rebuilt_requests) == ({"too_old": 1, "wrong_type": 1}, {})


def test_a_request_of_an_earlier_day_is_not_rebuilt(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [query("q1", "23:59:00")], [event("click", "a", "23:59:10", query_id="lost", **RED)])
    late = [event("click", item, "00:01:00", day=next_day(), query_id=key, **RED) for item, key in
            (("a", "q1"), ("b", "lost"))]  # fmt: skip
    land(settings, [query("q2", day=next_day(), user="u2")], late, day=next_day())
    first, second = build_sessions(settings, [DAY, next_day()])
    assert (first.rebuilt_requests, second.rebuilt_requests, second.reasons) == ({"named": 1}, {}, {})
    assert {row["query_id"] for row in stored(settings, "events", next_day())} == {"q1", "lost"}


def test_a_row_that_lands_a_day_late_is_a_response_of_the_rebuilt_request(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [query("q1", user="u2")], [event("click", "a", query_id="late", **RED)])
    land(settings, [query("late", "10:00:59")], [], day=next_day())
    _, second = build_sessions(settings, [DAY, next_day()])
    assert (second.reasons, second.rows_out["requests"], second.rows_out["impressions"]) == ({}, 0, 3)


def test_texts_under_one_id_are_requests_of_their_own(tmp_path: Path) -> None:
    """A site that keeps one id for a visit: the id is the first text's, the others are told by person and text."""
    settings = shop(tmp_path)
    texts = [("a", "10:01:00", "red shoes"), ("b", "10:02:00", "lamp"), ("c", "10:03:00", " RED shoes")]
    texts += [("d", "10:04:00", "Lamp")]
    events = [event("click", item, clock, query_id="visit", user_query=text) for item, clock, text in texts]
    report = build(settings, [], events)
    assert report.rebuilt_requests == {"named": 1, "other_text": 1}
    assert asked(settings) == [("red shoes", "10:01:00"), ("lamp", "10:02:00")]
    assert led_to(settings) == {"a": "red shoes", "b": "lamp", "c": "red shoes", "d": "lamp"}


def carriers(text: str) -> list[Row]:
    """A text in each of the ways that events carry it."""
    return [
        {"user_query": text},
        {"userQuery": text},
        {"event_attributes": {"object": {"object_id": "a"}, "search_term": text}},
        {"event_attributes": {"object": {"object_id": "a"}, "query": {"text": text}}},
        {"search_term": text},
    ]


def test_a_shop_that_logs_events_alone(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    carried = carriers("red") + carriers("Red")
    rows = [event("click", "a", f"10:0{n}:00", user=f"u{n}", **more) for n, more in enumerate(carried)]
    folder = land(settings, [], rows)
    (folder / "ubi_queries.ndjson").unlink()
    assert [file.name for file in day_files(settings, DAY).all] == ["ubi_events.ndjson"]
    (report,) = build_sessions(settings, [DAY])
    assert (report.held, report.reasons, report.rebuilt_requests, report.named_by_text) == (
        False, {}, {"unnamed": 10}, 10)  # fmt: skip
    assert report.message.startswith(f"{DAY} has no row of queries: its 10 requests were rebuilt from events")
    assert {row["query"] for row in stored(settings, "requests")} == {"red"}
    assert [row["attribution"] for row in stored(settings, "events")] == ["logged"] * 10


PERSONS: list[tuple[Row, Row, int]] = [
    ({"user": "c1"}, {"user": "c1"}, 1),
    ({"user": "c1"}, {"user": "c2"}, 2),
    ({"user": "c1"}, {"user": "c1", "user_id": "u1"}, 1),
    ({"user": None, "user_id": "u1"}, {"user": None, "user_id": "u1"}, 1),
    ({"user": "c1", "session_id": "session-1"}, {"user": "c1", "session_id": "session-2"}, 1),
    ({"user": None, "session_id": "session-1"}, {"user": None, "session_id": "session-1"}, 1),
    ({"user": None, "session_id": "1"}, {"user": None, "session_id": "1"}, 2),
    ({"user": None}, {"user": None}, 2),
]


def of_case(row: Row, case: int) -> Row:
    """The same people and sessions, of a case's own."""
    return {name: id and f"{id}{case}" for name, id in row.items()}


def test_who_searched_tells_requests_apart(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    events = []
    for n, (one, other, _) in enumerate(PERSONS):
        events.append(event("click", f"a{n}", **RED, **of_case(one, n)))
        events.append(event("click", f"b{n}", "10:05:00", **RED, **of_case(other, n)))
    report = build(settings, [], events)
    assert (sum(report.rebuilt_requests.values()), report.reasons) == (sum(n for _, _, n in PERSONS), {})
    assert report.rebuilt_requests.keys() == {"unnamed"}
    assert set(led_to(settings).values()) == {"red shoes"}
    found = {row["item_id"]: row["query_id"] for row in stored(settings, "events")}
    apart = [len({found[f"a{n}"], found[f"b{n}"]}) for n in range(len(PERSONS))]
    assert apart == [requests for _, _, requests in PERSONS]


GAPS: list[tuple[str, str, int]] = [
    ("click", "10:30:00", 1),
    ("click", "10:31:01", 2),
    ("purchase", "11:30:00", 1),
    ("add_to_cart", "12:30:00", 2),
    ("search", "10:20:00", 1),
    ("impression", "10:45:00", 2),
]


@pytest.mark.parametrize("next_file", [False, True])
def test_a_text_asked_again_later_is_another_request(tmp_path: Path, next_file: bool) -> None:
    settings = shop(tmp_path)
    first = [event("click", "a", user=f"c{n}", **RED) for n in range(len(GAPS))]
    second = [event(action, "b", clock, user=f"c{n}", **RED) for n, (action, clock, _) in enumerate(GAPS)]

    def by_person(day: date) -> list[int]:
        clients = [row["client_id"] for row in stored(settings, "requests", day)]
        return [clients.count(f"c{n}") for n in range(len(GAPS))]

    requests = [n for _, _, n in GAPS]
    if not next_file:
        assert build(settings, [], first + second).rebuilt_requests == {"unnamed": sum(requests)}
        assert by_person(DAY) == requests
        return
    build(settings, [], first)
    late = build(settings, [query("other", user="u9", day=next_day())], [], day=next_day())
    assert late.rebuilt_requests == {}
    build(settings, [], second, day=next_day())
    assert by_person(next_day()) == [n - 1 for n in requests]


def test_ids_are_the_same_on_each_run_and_in_any_order(tmp_path: Path) -> None:
    rows = [event("click", item, f"10:0{n}:00", user=f"u{n % 2}", **RED) for n, item in enumerate("abcdef")]
    one, other = shop(tmp_path / "one"), shop(tmp_path / "other")
    build(one, [], rows)
    again = files_of(one)
    build_sessions(one, [DAY])
    build(other, [], rows[::-1])
    assert files_of(one) == again
    assert [row["query_id"] for row in stored(one, "requests")] == [r["query_id"] for r in stored(other, "requests")]


def test_an_event_without_an_id_takes_the_logged_request_of_its_text(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries = [query("q1"), query("q2", "10:20:00", user_query="lamp"), query("q3", "11:30:00")]
    events = [
        event("click", "a", "09:59:58", **RED),
        event("click", "x", "11:29:00", **RED),
        event("click", "y", "11:31:00", **RED),
        event("click", "z", "10:21:00", user_query=" LAMP"),
        event("impression", "carousel", "10:01:00", **RED),
        event("add_to_cart", "w", "16:00:00", **RED),
        event("search", None, "16:00:00", user_query="sofa"),
    ]
    report = build(settings, queries, events)
    assert (report.rebuilt_requests, report.named_by_text) == ({}, 4)
    found = {row["item_id"]: row["query_id"] for row in stored(settings, "events")}
    assert found == {"a": "q1", "x": "q1", "y": "q3", "z": "q2", "w": None}
    assert report.ignored_reasons == {"ignored_action": 1, "outside_search": 1}


def test_a_click_of_a_lost_search_is_one_beside_logged_queries(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    events = [event("click", "a", user_query="sofa"), event("purchase", "a", "10:40:00", user_query="sofa")]
    report = build(settings, [query("q1", user="u2")], events)
    assert (report.rebuilt_requests, led_to(settings)) == ({"unnamed": 1}, {"a": "sofa"})


def test_two_people_at_one_browser_are_two(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    report = build(settings, [query("q1", user="c1", user_id="u1")], [event("click", "a", user="c1", user_id="u2",
        **RED)])  # fmt: skip
    assert report.rebuilt_requests == {"unnamed": 1}


@pytest.mark.many(2)
@pytest.mark.parametrize("text", [None, "red shoes"])
@pytest.mark.parametrize("queries_file", ["absent", "empty", "no rows"])
def test_a_day_of_events_alone_that_tells_no_request_says_so(
    tmp_path: Path, text: str | None, queries_file: str
) -> None:
    settings = shop(tmp_path)
    rows = [event("click", "a", f"10:0{n}:00", user=f"u{n}", user_query=text) for n in range(3)]
    if text:
        rows = [row | {"timestamp": None} for row in rows]
    folder = land(settings, [], rows)
    if queries_file == "absent":
        (folder / "ubi_queries.ndjson").unlink()
    elif queries_file == "no rows":
        (folder / "ubi_queries.ndjson").write_text("\n")
    (report,) = build_sessions(settings, [DAY])
    assert report.held
    why = "none of the 3 events that carry a text" if text else "none of its 3 events carries user_query"
    assert "there is no row of queries in its files" in report.message and why in report.message
    if text:
        assert "0 of them have a readable time, 3 a query_id or somebody who did it" in report.message
        assert "Looked for: timestamp, @timestamp, time; the rows have " in report.message
