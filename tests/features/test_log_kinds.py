"""Logs as shops have them: responses, baskets, guests, other spellings, ignored rows, actions that are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import DayReport, build_sessions
from infra.settings import RawSettings, Settings, action_key
from tests.features.raw_log import DAY, Row, at, event, land, next_day, query, shop, stored

OBJECT = {"object_id": "a"}


def build(settings: Settings, queries: list[Any], events: list[Any]) -> DayReport:
    land(settings, queries, events)
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_in == len(queries) + len(events)
    assert report.rows_in + report.basket_items == report.clean + report.ignored + sum(report.reasons.values())
    assert report.ignored == sum(report.ignored_reasons.values())
    return report


def test_the_responses_of_a_query_id_are_one_request(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries = [
        query("q", "10:00:02", query_response_hit_ids=["d", "a", "e"], query_response_id="page 2"),
        query("q", "10:00:00", user=None, user_query="", query_response_hit_ids=[], query_response_id="facet"),
        query("q", "10:00:01", user_query=" RED  shoes", query_response_id="page 1"),
        query("q", "10:00:03", query_response_id="page 1 again"),
    ]
    report = build(settings, queries, [])
    assert (report.clean, report.ignored, report.reasons) == (4, 0, {})
    (request,) = stored(settings, "requests")
    assert (request["time"].isoformat(), request["shown"]) == ("2026-05-10T10:00:00+00:00", 5)
    assert (request["user_id"], request["query"]) == ("u1", "red shoes")
    places = [(row["item_id"], row["position"]) for row in stored(settings, "impressions")]
    assert places == [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 6)]


@pytest.mark.parametrize("other", [{"user": "u2"}, {"user_query": "blue"}, {"user": None, "user_id": "u2"}])
def test_another_text_or_person_is_no_response(tmp_path: Path, other: Row) -> None:
    settings = shop(tmp_path, max_bad_share=1.0)
    assert build(settings, [query("q"), query("q", "10:00:01", **other)], []).reasons == {"duplicate_id": 1}


def test_a_response_after_midnight_goes_on(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [query("q", "23:59:59")], [])
    late = [query("q", "00:00:01", day=next_day(), query_response_hit_ids=["d"]), query("q", "23:59:59")]
    land(settings, late, [], day=next_day())
    _, report = build_sessions(settings, [DAY, next_day()])
    assert (report.reasons, report.ignored_reasons) == ({}, {"delivered_twice": 1})
    assert [(r["item_id"], r["position"]) for r in stored(settings, "impressions", next_day())] == [("d", 4)]


ITEMS = [{"object_id": "a"}, {"object_id": "b"}]
BASKETS: list[dict[str, Any]] = [
    {"items": ITEMS},
    {"object": {"items": [{"sku": "a"}, {"sku": "b"}]}},
    {"products": [{"productId": "a"}, {"productId": "b"}], "object": {"object_id": "t7"}},
    {"order": {"items": [{"id": "a"}, {"id": "b"}]}, "coupons": [{"id": "x"}]},
    {"ecommerce": json.dumps({"items": [{"item_id": "a"}, {"item_id": "b"}]})},
    {"object": ITEMS},
    {"object_ids": ["a", "b"]},
]


def test_a_basket_is_one_event_per_item(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    every = [*BASKETS, *map(json.dumps, BASKETS)]
    queries = [query(f"q{n}", user=f"u{n}") for n in range(len(every))]
    orders = [
        event("purchase", None, user=f"u{n}", query_id=f"q{n}", event_attributes=given) for n, given in enumerate(every)
    ]
    report = build(settings, queries, orders)
    assert (report.basket_items, report.reasons) == (len(every), {})
    found = stored(settings, "events")
    items = {n: {r["item_id"] for r in found if r["query_id"] == f"q{n}"} for n in range(len(every))}
    assert items == {n: {"a", "b"} for n in range(len(every))}, [every[n] for n in items if items[n] != {"a", "b"}]
    assert len({r["event_id"] for r in found}) == 2 * len(every)


GUESTS: list[Any] = [0, "0", "NULL", "none", "undefined", "NaN", "Guest", "anonymous", "", -1, "-1", False]


def test_guests_are_told_apart_by_client(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries, orders = [], []
    for n, guest in enumerate(GUESTS):
        queries.append(query(f"q{n}", user=f"c{n}", user_id=guest))
        queries.append(query(f"other{n}", "10:00:30", user=f"d{n}", user_id=guest))
        orders.append(event("purchase", "a", user=f"c{n}", user_id=guest))
    report = build(settings, queries, orders)
    assert report.reasons == {}
    people = {r["query_id"]: r["user_id"] for r in stored(settings, "requests")}
    known = [(f"q{n}", f"c{n}") for n in range(len(GUESTS))]
    assert people == dict([*known, *((f"other{n}", f"d{n}") for n in range(len(GUESTS)))])
    assert sorted((r["query_id"], r["user_id"]) for r in stored(settings, "events")) == sorted(known)


def test_a_shop_names_its_guests(tmp_path: Path) -> None:
    settings = shop(tmp_path, guest_ids=("Visitor",))
    build(settings, [query("q1", user_id="VISITOR"), query("q2", user_id="0")], [])
    assert {r["user_id"] for r in stored(settings, "requests")} == {"u1", "0"}


PLACES: list[Row] = [
    {"event_attributes": {"object": json.dumps(OBJECT)}},
    {"event_attributes": {"Object": {"objectId": "a"}}},
    {"event_attributes.object": OBJECT},
    {"event_attributes.object": json.dumps(OBJECT)},
    {"event_attributes.object.internal_id": "a"},
    {"eventAttributes": {"object": {"objectID": "a"}}},
    {"event_attributes": [{"key": "object", "value": json.dumps(OBJECT)}]},
    {"event_attributes": {"object.object_id": "a"}},
    {"event_attributes": {"product_id": "a"}},
    {"EVENT_ATTRIBUTES": {"OBJECT": {"OBJECT_ID": "a"}}},
]


def test_an_item_is_found_at_any_level(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    asked, clicks = [], []
    for n, place in enumerate(PLACES):
        person = {"queryId": f"q{n}", "clientId": f"u{n}"}
        asked.append(
            person | {"userQuery": "red", "timestamp": at("10:00:00"), "queryResponseHitIds": ["a"]},
        )
        clicks.append(person | {"actionName": "click", "Timestamp": at("10:01:00")} | place)
    report = build(settings, asked, clicks)
    assert (report.reasons, report.ignored) == ({}, 0)
    found = sorted((r["query_id"], r["item_id"], r["position"]) for r in stored(settings, "events"))
    assert found == [(f"q{n}", "a", 1) for n in range(len(PLACES))]


def test_rows_that_nothing_is_wrong_with_are_ignored_each_for_its_reason(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    click = event("click", "a", query_id="q")
    events = [
        click,
        click,
        event("impression", "a"),
        event("impression", "a", query_id=""),
        event("watch", "a"),
        event("click", None, query_id="q", event_attributes={"page": "/help"}),
        event("login", None),
    ]
    report = build(settings, [query("q"), query("q")], events)
    assert (report.held, report.reasons) == (False, {})
    assert report.ignored_reasons == {
        "delivered_twice": 2,
        "ignored_action": 1,
        "names_no_item": 1,
        "outside_search": 2,
        "unknown_action": 1,
    }


def test_a_field_of_another_form_is_named_with_what_it_should_be(tmp_path: Path) -> None:
    queries = [query(f"q{n}", timestamp="04.05.2026 10:01:00") for n in range(3)]
    queries += [query("q9", query_response_hit_ids=[{"sku": "1", "score": 0.5}])]
    report = build(shop(tmp_path), queries, [event("click", "a", user="u1")])
    assert report.wrong_fields == (
        'timestamp of 3 rows is no ISO 8601 or HTTP date and no number since 1970, such as "04.05.2026 10:01:00"',
        'query_response_hit_ids of 1 row is no list of ids, such as [{"sku":"1","score":0.5}]',
    )
    assert report.wrong_fields[0] in report.message
    assert "SHELFWISE" not in report.message


def test_an_action_that_is_mostly_refused_holds_the_day(tmp_path: Path) -> None:
    queries = [query(f"q{n}") for n in range(400)]
    orders = [event("order", {"broken": n}, user=f"u{n}", event_id=f"o{n}") for n in range(4)]
    report = build(shop(tmp_path / "held"), queries, orders)
    assert (report.held, report.reasons) == (True, {"wrong_type": 4})
    assert "order: refused 4 of 4 rows (wrong_type), such as {" in report.message
    assert "SHELFWISE_RAW__MAX_BAD_ACTION_SHARE" in report.message
    sound = [event("order", "a", user="u1", event_id=f"s{n}") for n in range(4)]
    assert not build(shop(tmp_path / "half"), queries, orders + sound).held


@pytest.mark.many(1)
@pytest.mark.parametrize("name", ["ProductView", "product-view", "Product View", "PRODUCT_VIEW"])
def test_action_names_are_compared_without_case_and_marks(tmp_path: Path, name: str) -> None:
    raw = RawSettings(actions={name: "click", "Add-To Cart": "ignore"})
    assert raw.actions[name.lower()] == "click"
    assert [meaning for key, meaning in raw.actions.items() if action_key(key) == "addtocart"] == ["ignore"]
    settings = shop(tmp_path, actions={name: "click"})
    build(settings, [query("q")], [event("product_view", "a", query_id="q")])
    assert [r["action"] for r in stored(settings, "events")] == ["click"]


def test_an_order_after_the_login_belongs_to_the_guests_search(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries = [
        query("q1", "10:00:00", user="c1"),
        query("q2", "10:00:30", user="c2"),
        query("q3", "10:00:40", user="c1", user_id="u9"),
    ]
    orders = [event("purchase", "a", "10:05:00", user="c1", user_id="u1")]
    report = build(settings, queries, orders)
    assert report.reasons == {}
    assert [r["client_id"] for r in stored(settings, "requests")] == ["c1", "c2", "c1"]
    (found,) = stored(settings, "events")
    # q3 is later and of the same browser, but of somebody else who was logged in
    assert (found["user_id"], found["query_id"], found["attribution"]) == ("u1", "q1", "last_shown")


LOGINS: list[tuple[Row, Row, bool]] = [
    ({"user": "c1", "session_id": "session-1"}, {"user": None, "user_id": "u1", "session_id": "session-1"}, True),
    ({"user": "c1", "session_id": "session-1"}, {"user": None, "session_id": "session-1"}, True),
    ({"user": "c1", "session_id": "session-1"}, {"user": "c1", "user_id": "u1", "session_id": "session-2"}, True),
    ({"user": "c1", "session_id": "session-1"}, {"user": "c2", "user_id": "u1", "session_id": "session-1"}, False),
    ({"user": "c1", "session_id": "7"}, {"user": None, "user_id": "u1", "session_id": "7"}, False),
    (
        {"user": None, "user_id": "u2", "session_id": "session-1"},
        {"user": None, "user_id": "u1", "session_id": "session-1"},
        False,
    ),
    ({"user": "c1", "user_id": "u1"}, {"user": "c1"}, True),
]


def of_case(row: Row, case: int) -> Row:
    """The same people and sessions, of a case's own."""
    return {name: id and f"{id}{case}" for name, id in row.items()}


@pytest.mark.parametrize("next_morning", [False, True])
def test_who_searched_is_who_ordered(tmp_path: Path, next_morning: bool) -> None:
    settings = shop(tmp_path)
    order_day, clock = (next_day(), "00:10:00") if next_morning else (DAY, "23:55:00")
    queries = [query(f"q{n}", "23:50:00", **of_case(asked, n)) for n, (asked, _, _) in enumerate(LOGINS)]
    orders = [
        event("purchase", f"i{n}", clock, day=order_day, **of_case(did, n)) for n, (_, did, _) in enumerate(LOGINS)
    ]
    hits = [f"i{n}" for n in range(len(LOGINS))]
    land(settings, [row | {"query_response_hit_ids": hits} for row in queries], [] if next_morning else orders)
    if next_morning:
        land(settings, [query("other", day=order_day, user="c9")], orders, day=order_day)
    build_sessions(settings, [DAY, next_day()] if next_morning else [DAY])
    found = {r["item_id"]: (r["query_id"], r["user_id"]) for r in stored(settings, "events", order_day)}
    assert found == {
        f"i{n}": (f"q{n}" if theirs else None, f"{did.get('user_id') or did['user'] or 'c1'}{n}")
        for n, (_, did, theirs) in enumerate(LOGINS)
    }


def test_a_field_that_all_rows_lack_is_named_with_the_columns_there_are(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    clicks = [event("click", None, query_id="q", event_attributes={"ref": {"code": str(n)}}) for n in range(3)]
    report = build(settings, [query("q")], clicks)
    assert report.held and report.ignored_reasons == {"names_no_item": 3}
    assert "Looked for: event_attributes.object.object_id" in report.message
    assert "event_attributes.ref" in report.message and "action_name" in report.message


def test_some_clicks_on_no_item_hold_no_day(tmp_path: Path) -> None:
    clicks = [event("click", None, query_id="q", event_attributes={"tab": str(n)}) for n in range(9)]
    assert not build(shop(tmp_path), [query("q")], [*clicks, event("click", "a", query_id="q")]).held


def test_requests_without_a_text_hold_the_day(tmp_path: Path) -> None:
    rows = [query(f"q{n}") | {"wording": "red shoes"} for n in range(10)]
    for row in rows:
        del row["user_query"]
    report = build(shop(tmp_path), rows, [event("click", "a", query_id="q1")])
    assert report.held and "none of its 10 requests has a text. Looked for: user_query" in report.message
    assert "wording" in report.message


def test_queries_that_all_lack_their_time_say_what_there_is(tmp_path: Path) -> None:
    rows = [query(f"q{n}") | {"at": "10:00"} for n in range(3)]
    for row in rows:
        del row["timestamp"]
    report = build(shop(tmp_path), rows, [])
    assert report.held and "(no_time). Looked for: timestamp" in report.message


@pytest.mark.parametrize("known", [True, False])
def test_a_day_whose_actions_nobody_explained_is_held(tmp_path: Path, known: bool) -> None:
    events = [event("tap_card", "a", f"10:0{n}:00", query_id="q") for n in range(4)]
    events += [event("click", "b", query_id="q")] if known else [event("impression", "b", query_id="q")]
    report = build(shop(tmp_path), [query("q")], events)
    assert report.held is not known
    assert "tap_card 4" in report.message


def test_a_quiet_day_is_not_held_for_what_nobody_clicked(tmp_path: Path) -> None:
    queries = [query(f"q{n}", user=f"u{n}", user_query="" if n < 2 else "red") for n in range(40)]
    events = [event("newsletter_signup", "a", f"10:0{n}:00", query_id=f"q{n}", user=f"u{n}") for n in range(2)]
    assert not build(shop(tmp_path), queries, events).held


def test_the_example_of_an_action_is_of_the_reason_that_is_told(tmp_path: Path) -> None:
    old = event("purchase", "a", day=next_day(-9))
    lost = [event("purchase", None, f"10:0{n}:00", coupon=str(n)) for n in range(3)]
    report = build(shop(tmp_path), [query("q")], [old, *lost])
    assert report.held and "(no_item), such as" in report.bad_actions["order"]
    assert '"coupon": "0"' in report.bad_actions["order"]
