"""Clients that no person can be: told by rules, left out, counted and named, and never the shop as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.bots import NAMED, Bot, largest
from features.build_sessions import DayReport, build_sessions
from features.user_agents import says_bot
from infra.settings import BotSettings, Settings
from tests.features.raw_log import DAY, Row, event, land, next_day, query, shop, stored

CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36"
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"


def people(count: int = 20, **more: Any) -> list[Row]:
    """A search of each of many clients."""
    return [query(f"p{n}", f"09:{n % 60:02}:07", user=f"c{n}", **more) for n in range(count)]


def build(settings: Settings, queries: list[Any], events: list[Any]) -> DayReport:
    land(settings, queries, events)
    (report,) = build_sessions(settings, [DAY])
    assert report.rows_in + report.basket_items == report.clean + report.ignored + sum(report.reasons.values())
    return report


def named(report: DayReport) -> dict[str, tuple[int, int]]:
    return {bot.client: (bot.requests, bot.rows) for bot in report.bots}


def askers(settings: Settings) -> set[str | None]:
    return {row["user_id"] for row in stored(settings, "requests")}


@pytest.mark.many(2)
@pytest.mark.parametrize(
    "agent",
    [
        CRAWLER,
        "UptimeRobot/2.0",
        "curl/8.5.0",
        "python-requests/2.31",
        "facebookexternalhit/1.1",
        "Chrome-Lighthouse",
        "Mozilla/5.0 (X11) AppleWebKit/537.36 HeadlessChrome/120.0 Safari/537.36",
        "GPTBot/1.2 okhttp/4.9",
    ],
)
def test_an_agent_that_says_bot(tmp_path: Path, agent: str) -> None:
    settings = shop(tmp_path)
    bot = [query(f"b{n}", user="x1", user_agent=agent) for n in range(3)]
    events = [event("impression", "a", user=None, query_id="b0"), event("click", "a", user="x1")]
    report = build(settings, people(user_agent=CHROME) + bot, events)
    assert (report.ignored_reasons, report.reasons) == ({"bot": 5}, {})
    assert named(report) == {"x1": (3, 4)}
    assert "its user agent" in report.bots[0].why
    assert "x1" not in askers(settings) and stored(settings, "events") == []


@pytest.mark.many(2)
@pytest.mark.parametrize("agent", [CHROME, "okhttp/4.12", "MyShop/3 (Linux; Android 14) okhttp/4.9", "axios/1.6",
                                   "Mozilla/5.0 (Linux; Android 9; CUBOT X19) Chrome/90 Mobile", "Dart/3.1 (dart:io)",
                                   "MyShop/1 CFNetwork/1410 Darwin/22", "Amazon CloudFront"])  # fmt: skip
def test_agents_of_people(tmp_path: Path, agent: str) -> None:
    report = build(shop(tmp_path), [*people(user_agent=CHROME), query("x", user="x1", user_agent=agent)], [])
    assert (report.bots, report.ignored, report.agents) == ((), 0, 21)


def test_a_bot_without_an_id_is_told_by_each_request(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    shared = [query("s1", user="c1", user_agent=CRAWLER), query("s2", user="c1", user_agent=CHROME)]
    report = build(settings, [*people(user_agent=CHROME), *shared, query("n", user=None, user_agent=CRAWLER)], [])
    assert named(report) == {"(no id)": (1, 1), "c1": (1, 1)}
    assert {"p1", "s2"} <= {row["query_id"] for row in stored(settings, "requests")}


@pytest.mark.parametrize(
    "agents",
    [["python-requests/2.31"], ["python-requests/2.31", "python-requests/2.32.1"], ["curl/8.1", "Go-bot/1"]],
)
def test_the_agent_of_the_shops_own_server_tells_nothing(tmp_path: Path, agents: list[str]) -> None:
    settings = shop(tmp_path)
    rows = [row | {"user_agent": agents[n % len(agents)]} for n, row in enumerate(people(40))]
    report = build(settings, rows, [])
    assert (report.ignored, len(stored(settings, "requests"))) == (0, 40)
    assert "own server" in "".join(report.spared)
    if len(agents) == 1:
        report = build(settings, [*rows, query("g", user="x1", user_agent=CRAWLER)], [])
        assert named(report) == {"x1": (1, 1)}


@pytest.mark.many(2)
@pytest.mark.parametrize("bot", ["googlebot-7", "BOT:17", "price_crawler", "monitor@shop", "shop/healthcheck/1", "bot"])
def test_an_id_that_says_bot(tmp_path: Path, bot: str) -> None:
    settings = shop(tmp_path)
    events = [event("purchase", "a", user=bot), event("click", "b", user="c9", user_id=bot)]
    persons = ("abbot", "robotham", "botox", "c-3monitors")
    events += [event("click", "a", user=person, event_id=person) for person in persons]
    report = build(settings, [*people(), query("b", user=bot)], events)
    assert (report.ignored_reasons, named(report)[bot]) == ({"bot": 3}, (1, 2))
    assert report.bots[0].why == "its id"
    assert len(stored(settings, "events")) == 4


def test_ids_that_all_say_bot_are_the_shops_own_naming(tmp_path: Path) -> None:
    report = build(shop(tmp_path), [query(f"q{n}", user=f"bot-{n}") for n in range(9)], [])
    assert (report.ignored, len(report.spared)) == (0, 1)
    assert "bot-0" in report.spared[0]


def test_more_requests_than_a_person_makes(tmp_path: Path) -> None:
    settings = shop(tmp_path, bots={"requests_per_day": 30})
    busy = [query(f"b{n}", f"10:{n:02}:01", user="x1", user_query=f"shoe {n}x") for n in range(30)]
    almost = [query(f"a{n}", f"10:{n:02}:01", user="x2", user_query=f"shoe {n}x") for n in range(29)]
    broken = [event("click", "a", user="x1", query_id="gone", event_id=f"e{n}") for n in range(9)]
    report = build(settings, [*people(40), *busy, *almost], [event("click", "a", query_id="p1"), *broken])
    assert (named(report), report.bots[0].why) == ({"x1": (30, 39)}, "30 requests on one day")
    assert (report.bad_share, report.held, report.reasons) == (0, False, {})
    assert "x2" in askers(settings)


def test_keys_are_no_requests(tmp_path: Path) -> None:
    settings = shop(tmp_path, bots={"requests_per_day": 5})
    rows = [
        query(f"k{n}-{m}", f"10:0{n}:0{m}", user="x1", user_query="running"[: m + 1])
        for n in range(4)
        for m in range(7)
    ]
    report = build(settings, [*people(), *rows], [])
    assert report.ignored_reasons == {"typed_ahead": 24}


def test_one_id_for_everybody_is_no_bot(tmp_path: Path) -> None:
    settings = shop(tmp_path, bots={"requests_per_day": 30})
    report = build(settings, [*people(), *(query(f"b{n}", f"10:{n:02}:01", user="web") for n in range(40))], [])
    assert (report.ignored, named(report)) == (0, {})
    assert report.spared[0].startswith("web makes 67% of the requests")
    assert "raw.guest_ids" in report.spared[0]
    two = [query(f"b{n}", f"10:{n:02}:01", user=f"web{n % 2}") for n in range(60)]
    report = build(settings, [*people(10), *two], [])
    assert (report.ignored, len(report.spared)) == (0, 1)
    assert "2 clients" in report.spared[0]


def eager(count: int, clicked: int, user: str = "x1") -> tuple[list[Row], list[Row]]:
    """A client that is shown ``count`` items in pages of ten and clicks the first ``clicked``."""
    items = [f"i{n}" for n in range(count)]
    pages = [
        query(f"{user}-{n}", f"10:{n:02}:01", user=user, query_response_hit_ids=items[n * 10 : n * 10 + 10])
        for n in range(count // 10)
    ]
    clicks = [
        event("click", item, f"10:{n // 10:02}:{n % 10 + 2:02}", user=user, query_id=f"{user}-{n // 10}")
        for n, item in enumerate(items[:clicked])
    ]
    return pages, clicks


@pytest.mark.parametrize(("shown", "clicked", "is_bot"), [(100, 90, True), (100, 89, False), (90, 90, False)])
def test_whoever_clicks_everything(tmp_path: Path, shown: int, clicked: int, is_bot: bool) -> None:
    settings = shop(tmp_path)
    queries, clicks = eager(shown, clicked)
    report = build(settings, people() + queries, clicks)
    assert named(report) == ({"x1": (shown // 10, shown // 10 + clicked)} if is_bot else {})
    if is_bot:
        assert report.bots[0].why == "90% of the 100 items that it was shown were clicked"


def test_a_log_of_nothing_but_clicked_items_tells_no_bot(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    queries, clicks = eager(100, 100)
    others = [event("click", item, "09:59:00", user=f"c{n}", query_id=f"p{n}") for n in range(20) for item in "abc"]
    report = build(settings, people() + queries, clicks + others)
    assert (report.ignored, len(report.spared)) == (0, 1)
    assert "100% of all that was shown was clicked" in report.spared[0]


def test_each_rule_can_be_turned_off(tmp_path: Path) -> None:
    off = {"known_agents": False, "agent_words": (), "id_words": (), "requests_per_day": 0, "clicked_share": 0}
    settings = shop(tmp_path, bots=off)
    queries, clicks = eager(100, 100, "googlebot")
    busy = [query(f"n{n}", user="x2", user_agent=CRAWLER, user_query=f"{n} x") for n in range(1_001)]
    many = people(1_200, user_agent=CHROME)
    report = build(settings, many + queries + busy, clicks)
    assert (report.bots, report.spared, report.ignored) == ((), (), 0)
    on = shop(tmp_path, bots=BotSettings())
    (report,) = build_sessions(on, [DAY])
    assert set(named(report)) == {"googlebot", "x2"}


def test_what_a_bot_sends_a_day_late_goes_with_it(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land(settings, [*people(), query("b", user="x1", user_agent=CRAWLER)], [])
    late = [
        event("impression", "a", user=None, query_id="b"),
        event("click", "a", user="x1", query_id="b", event_id="e1"),
        event("click", "a", user="c1", query_id="b", event_id="e2"),
    ]
    land(settings, [query("n", day=next_day())], late, day=next_day())
    _, report = build_sessions(settings, [DAY, next_day()])
    assert (report.reasons, report.ignored_reasons) == ({}, {"bot": 2})
    (click,) = stored(settings, "events", next_day())
    assert (click["user_id"], click["query_id"]) == ("c1", "p1")


def test_ids_that_a_person_shares_with_a_bot_stay(tmp_path: Path) -> None:
    """A page that was made for a crawler and kept in a cache gives its query id to people."""
    settings = shop(tmp_path)
    rows = [*people(), query("b", user="x1", user_agent=CRAWLER)]
    build(settings, rows, [event("purchase", "zz", user="c1", query_id="b")])
    (order,) = stored(settings, "events")
    assert (order["user_id"], order["query_id"], order["attribution"]) == ("c1", None, "none")


def test_a_bots_request_that_only_events_tell_is_left_out_and_is_no_row(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    told = {"query_id": "lost", "user_query": "lamp"}
    report = build(settings, people(), [event("impression", "a", user="googlebot", **told)])
    assert (report.ignored_reasons, named(report), report.rebuilt_requests) == ({"bot": 1}, {"googlebot": (0, 1)}, {})
    assert askers(settings) == {f"c{n}" for n in range(20)}


def test_words_are_compared_in_lower_case_and_empty_ones_are_nothing() -> None:
    rules = BotSettings(agent_words=("MyCheck", " "), known_agents=False)
    assert says_bot("mycheck/1", rules)
    assert not says_bot(CHROME, rules)
    assert says_bot("Feedfetcher-Google", BotSettings()) and not says_bot("Feedfetcher-Google", rules)


def test_the_largest_of_several_days() -> None:
    days = [
        Bot("a", 2, 3, "its id"),
        Bot("a", 4, 9, "9 requests"),
        *(Bot(f"c{n}", 1, 1, "its id") for n in range(NAMED)),
    ]
    found = largest(days)
    assert found[0] == Bot("a", 6, 12, "9 requests")
    assert len(found) == NAMED
