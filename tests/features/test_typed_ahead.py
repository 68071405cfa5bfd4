"""Pages that search with each key: of what a person types in one go the last request counts."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from features.build_sessions import DayReport, build_sessions
from infra.settings import Settings
from tests.features.raw_log import DAY, Row, event, land, next_day, query, shop, stored


def typed(*keys: str, start: float = 0.0, step: float = 0.3, name: str = "q", **more: Any) -> list[Row]:
    """A request for each text, a step apart."""
    return [
        query(f"{name}{n}", f"10:00:{start + n * step:09.6f}", user_query=text, **more) for n, text in enumerate(keys)
    ]


def build(settings: Settings, queries: list[Any], events: list[Any]) -> DayReport:
    land(settings, queries, events)
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_in == report.clean + report.ignored + sum(report.reasons.values())
    assert report.reasons == {}
    return report


def kept(settings: Settings) -> list[str]:
    return [row["query_text"] for row in stored(settings, "requests")]


TYPED: list[tuple[list[str], list[str]]] = [
    (["r", "ru", "run", "running"], ["running"]),
    (["run", "runj", "run", "runn", "running"], ["running"]),
    (["runj", "run"], ["run"]),
    (["R", "Ru ", "RU", "run shoes"], ["run shoes"]),
    (["к", "кр", "кросс"], ["кросс"]),
    (["r", "ru", "lamp"], ["ru", "lamp"]),
    (["run", "run"], ["run", "run"]),
    (["r", "r", "run", "run"], ["run", "run"]),
    (["", "r", "run", ""], ["", "run", ""]),
    (["shoes", "red shoes"], ["shoes", "red shoes"]),
    (["ab%", "ab_c", "ab%c"], ["ab%", "ab_c", "ab%c"]),
]


def test_the_last_of_what_is_typed_in_one_go_counts(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    rows = [row for n, (keys, _) in enumerate(TYPED) for row in typed(*keys, name=f"p{n}-", user=f"c{n}")]
    report = build(settings, rows, [])
    found = stored(settings, "requests")
    for n, (_, left) in enumerate(TYPED):
        assert [row["query_text"] for row in found if row["client_id"] == f"c{n}"] == left
    assert (report.clean, report.ignored_reasons) == (len(found), {"typed_ahead": len(rows) - len(found)})
    assert len(stored(settings, "impressions")) == 3 * len(found)


def test_a_refinement_after_a_pause_stays_and_the_pause_is_a_setting(tmp_path: Path) -> None:
    rows = typed("lamp", "lamp shade", step=20)
    for name, window, left in (
        ("default", timedelta(seconds=3), 2),
        ("long", timedelta(seconds=20), 1),
        ("short", timedelta(seconds=19), 2),
    ):
        settings = shop(tmp_path / name, typing_window=window)
        build(settings, rows, [])
        assert len(kept(settings)) == left
    settings = shop(tmp_path / "off", typing_window=timedelta(0))
    build(settings, typed("r", "ru", step=0), [])
    assert kept(settings) == ["r", "ru"]


def test_events_of_what_was_typed_ahead_go_with_it(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    events = [event("impression", item, f"10:00:0{n + 1}", query_id=f"q{n}") for n in range(3) for item in ("a", "b")]
    report = build(settings, typed("r", "ru", "run"), events)
    assert report.ignored_reasons == {"typed_ahead": 2 + 4}
    assert report.bad_share == 0 and not report.held
    assert {row["query_id"] for row in stored(settings, "impressions")} == {"q2"}


def test_what_led_to_something_stays(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries, events = [], []
    for action in ("click", "add_to_cart", "purchase"):
        queries += typed("r", "ru", "run", "running", name=action, user=action)
        events.append(event(action, "b", "10:00:30", user=action, query_id=f"{action}2"))
    report = build(settings, queries, events)
    assert kept(settings) == ["run"] * 3 + ["running"] * 3
    assert report.ignored_reasons == {"typed_ahead": 2 * 3}
    assert len(stored(settings, "events")) == 3


STRANGERS: list[tuple[Row, Row]] = [
    ({"user": "c1"}, {"user": "c2"}),
    ({"user": None}, {"user": None}),
    ({"user": None, "user_id": "guest"}, {"user": None, "user_id": "guest"}),
    ({"user": None, "session_id": "1"}, {"user": None, "session_id": "1"}),
    ({"session_id": "one-session"}, {"session_id": "other-session"}),
]


def test_strangers_and_nobody_never_belong_together(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    rows = []
    for n, (one, other) in enumerate(STRANGERS):
        rows += [typed("run", name=f"a{n}-", **one)[0], typed("run", "runner", name=f"b{n}-", **other)[1]]
    build(settings, rows, [])
    assert {row["query_id"] for row in stored(settings, "requests")} == {row["query_id"] for row in rows}


def test_a_person_is_a_user_a_client_or_a_session(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    people: list[Row] = [
        {"user_id": "u8"},
        {"user": None, "user_id": "u9"},
        {"user": None, "session_id": "s-12345678"},
    ]
    build(settings, [row for n, who in enumerate(people) for row in typed("ru", "run", name=f"p{n}-", **who)], [])
    assert {row["query_id"] for row in stored(settings, "requests")} == {"p0-1", "p1-1", "p2-1"}


def test_keys_of_several_people_at_once_in_any_order_of_rows(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    rows = [row for n in range(3) for row in typed("s", "so", "sofa", start=0.1 * n, name=f"p{n}-", user=f"c{n}")]
    build(settings, rows[::-2] + rows[-2::-2], [])
    assert kept(settings) == ["sofa"] * 3


def test_a_log_that_tells_no_seconds_says_nothing_of_keys(tmp_path: Path) -> None:
    minutes, seconds = shop(tmp_path / "minutes"), shop(tmp_path / "seconds")
    build(minutes, [query("q1", user_query="lamp"), query("q2", user_query="lamp shade")], [])
    assert sorted(kept(minutes)) == ["lamp", "lamp shade"]
    build(seconds, [query("q1", "10:00:01", user_query="lamp s"), query("q2", "10:00:01", user_query="lamp")], [])
    assert kept(seconds) == ["lamp s"]


def test_a_request_of_several_responses_is_one_key(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    facet = {"query_response_hit_ids": [], "query_response_id": "facet"}
    rows = [row | more for row in typed("ru", "run") for more in ({}, facet)]
    report = build(settings, rows, [])
    assert (kept(settings), report.ignored_reasons) == (["run"], {"typed_ahead": 2})


def test_what_lands_a_day_late_is_known_to_be_typed_ahead(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, typed("ru", "run"), [])
    late = [
        event("impression", "a", "10:00:01", query_id="q0"),
        event("impression", "a", "10:00:01", user=None, query_id="q0"),
        event("click", "a", "10:00:02", user=None, query_id="q0"),
        event("click", "b", "10:00:03", query_id="q0"),
    ]
    page_two = typed("ru", query_response_hit_ids=["z"], query_response_id="page 2")
    land(settings, [query("n", day=next_day()), *page_two], late, day=next_day())
    _, report = build_sessions(settings, [DAY, next_day()])
    assert (report.reasons, report.ignored_reasons) == ({}, {"typed_ahead": 4})
    assert [row["query_id"] for row in stored(settings, "requests", next_day())] == ["n"]
    (click,) = stored(settings, "events", next_day())
    assert (click["item_id"], click["query_id"]) == ("b", "q1")
