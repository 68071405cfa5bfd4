"""What is recorded is what the batch path will say: on a real Redis, event by event and after the next batch."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st
from pydantic import SecretStr
from redis import Redis

from features.store import OnlineFeatures, OnlineStoreUnavailable, SessionEvent, UserFeatures, materialize
from infra import services
from infra.contract.names import OVERFETCH
from infra.services import supervisor
from infra.settings import FeatureSettings, OnlineSettings, Settings
from tests.features.session_shop import ITEMS, Done, batch, features_of, write_rows

pytestmark = pytest.mark.server

START = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ROOT = Path(__file__).parents[2]
SMALL = FeatureSettings(history_days=21, recent_queries=2, recent_items=3, recent_orders=3, order_history=4)
COUNTS = {"requests_7d": 7, "clicks_7d": 7, "orders_30d": 30}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, OnlineFeatures]]:
    """Settings and a reader; ``empty`` makes its Redis as new."""
    settings = Settings(
        home=tmp_path_factory.mktemp("shop"), online=OnlineSettings(timeout_ms=2_000, session_events=40), features=SMALL
    )
    yield settings, OnlineFeatures(settings)
    services.stop_all(settings)
    supervisor.leave_all()


@pytest.fixture
def empty(shop: tuple[Settings, OnlineFeatures]) -> tuple[Settings, OnlineFeatures]:
    redis_of(shop[0]).flushdb()
    write_rows(shop[0], batch(shop[0], []))
    return shop


def redis_of(settings: Settings) -> Redis:
    return services.redis_address(settings).connect(2_000)


@st.composite
def histories(
    draw: st.DrawFn, step: timedelta, most: int = 12, least: int = 1, actions: str = "search click cart order"
) -> tuple[list[Done], datetime]:
    """What two users did, in order of time, and the time up to which a batch knows it; times tie often."""
    item = st.sampled_from([*ITEMS, "not in the catalogue"])
    text = st.sampled_from(["", "Red  Shoe", "red shoe", "lamp", "desk"])
    deeds = [st.tuples(st.just(action), text if action == "search" else item) for action in actions.split()]
    one = st.tuples(st.sampled_from("ab"), st.integers(0, 9), st.one_of(deeds))
    drawn = draw(st.lists(one, min_size=least, max_size=most))
    ids = draw(st.permutations(range(len(drawn))))
    done = [Done(user, START + step * n, *what, f"e{id:02}") for (user, n, what), id in zip(drawn, ids, strict=True)]
    return sorted(done, key=lambda d: (d.time, d.id)), START + step * draw(st.integers(0, 10))


def night(shop: tuple[Settings, OnlineFeatures], done: list[Done], until: datetime) -> None:
    """A new Redis and what the batch path knows of ``done`` at ``until``."""
    settings, _ = shop
    redis_of(settings).flushdb()
    write_rows(settings, batch(settings, [d for d in done if d.time < until]))
    materialize(settings, until)


def few_enough(done: list[Done], user: str, moment: datetime) -> bool:
    """Whether nothing of the user's can have slid out of a list or a count."""
    mine = [d for d in done if d.user == user and d.time <= moment]
    rows = {
        2: [d for d in mine if d.action == "search" and d.what],
        3: [d for d in mine if d.action != "search"],
    }
    recent = all(d.time >= moment - 7 * DAY for d in mine)
    return recent and all(len(found) <= OVERFETCH * keep for keep, found in rows.items())


def assert_bounded(found: UserFeatures, expected: UserFeatures) -> None:
    """The promise where old events slid out: nothing is missing, and what is too much is at the end."""
    for name in ("recent_queries", "recent_items", "recent_brands", "recent_orders", "order_history"):
        assert getattr(found, name)[: len(getattr(expected, name))] == getattr(expected, name)
    assert set(found.ordered_tags) >= set(expected.ordered_tags)
    assert all(getattr(found, name) >= getattr(expected, name) for name in COUNTS)


def follow(shop: tuple[Settings, OnlineFeatures], done: list[Done], until: datetime) -> None:
    """Record event by event, and compare with the batch path at every moment; then run the batch, and compare again."""
    settings, online = shop
    rows = batch(settings, done).to_pylist()
    expected = {(row["user_id"], row["event_timestamp"]): features_of(row) for row in rows}
    night(shop, done, until)
    for moment, events in itertools.groupby(done, key=lambda d: d.time):
        users = set()
        for d in events:
            online.record(d.user, d.event())
            users.add(d.user)
        stamp = moment + timedelta(microseconds=1)
        for user in users if moment >= until else ():
            found, wanted = online.user(user, stamp), expected[user, stamp]
            assert found is not None
            assert_bounded(found, wanted)
            since = moment - timedelta(days=SMALL.history_days)
            if all(since <= d.time for d in done if d.user == user and d.action == "order"):
                assert found.order_history == wanted.order_history
            if all(d.time >= until for d in done if d.user == user):
                assert found == wanted  # all of it was recorded, so what slid out is known
            elif few_enough(done, user, moment):
                ordered = {d.what for d in done if d.user == user and d.action == "order" and d.time <= moment}
                pushed_off = len(ordered) > SMALL.recent_orders
                tags = found.ordered_tags if pushed_off else wanted.ordered_tags
                assert found == dataclasses.replace(wanted, ordered_tags=tags)

    last = {row["user_id"]: features_of(row) for row in sorted(rows, key=lambda row: row["event_timestamp"])}
    end = done[-1].time + DAY
    write_rows(settings, batch(settings, done))
    materialize(settings, end)
    assert online.users(list(last), end) == list(last.values())


HYPOTHESIS = {
    "max_examples": 15,
    "deadline": None,
    "suppress_health_check": [hypothesis.HealthCheck.function_scoped_fixture],
}


@hypothesis.settings(**HYPOTHESIS)
@hypothesis.given(histories(6 * timedelta(hours=1)))
def test_a_session_is_what_the_next_batch_says(
    shop: tuple[Settings, OnlineFeatures], drawn: tuple[list[Done], datetime]
) -> None:
    follow(shop, *drawn)


@hypothesis.settings(**HYPOTHESIS)
@hypothesis.given(histories(3.5 * DAY, most=30))  # so that events lie at the very edge of a window
@hypothesis.example(([Done("a", START + n * MINUTE, "click", "i1" if n else "i2", f"e{n}") for n in range(10)], START))
def test_what_slid_out_is_at_the_end_and_gone_after_the_batch(
    shop: tuple[Settings, OnlineFeatures], drawn: tuple[list[Done], datetime]
) -> None:
    follow(shop, *drawn)


@hypothesis.settings(**HYPOTHESIS)
@hypothesis.given(histories(DAY, most=24, least=12, actions="order"))
@hypothesis.example(
    ([Done("a", START + n * MINUTE, "order", f"i{n // 3}", f"e{n}") for n in range(9)], START + 4 * MINUTE)
)
def test_an_order_history_is_exact_however_long(
    shop: tuple[Settings, OnlineFeatures], drawn: tuple[list[Done], datetime]
) -> None:
    follow(shop, *drawn)


@hypothesis.settings(**HYPOTHESIS)
@hypothesis.given(histories(MINUTE), st.randoms(use_true_random=False))
def test_the_order_of_recording_does_not_matter(
    shop: tuple[Settings, OnlineFeatures], drawn: tuple[list[Done], datetime], random: Any
) -> None:
    done, until = drawn
    _, online = shop
    night(shop, done, until)
    now = done[-1].time + DAY
    for d in done:
        online.record(d.user, d.event())
    in_order = online.users("ab", now)
    night(shop, done, until)
    for d in random.sample(done, len(done)) + done[:3]:  # some are sent again
        online.record(d.user, d.event())
    assert online.users("ab", now) == in_order


RECORDER = """
import sys
from datetime import datetime, timedelta
from pathlib import Path
from features.store.session import SessionEvent, SessionStore
from infra.services import redis_address
from infra.settings import Settings

settings = Settings.model_validate_json(sys.argv[1])
store = SessionStore(settings, redis_address(settings))
start, first = datetime.fromisoformat(sys.argv[2]), int(sys.argv[3])
for n in range(first, 20, 2):
    store.record("u", SessionEvent("search", query=f"query {n}", time=start + timedelta(seconds=n)))
"""


def test_two_processes_record_for_one_user(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    command = [sys.executable, "-c", RECORDER, settings.model_dump_json(), START.isoformat()]
    processes = [subprocess.Popen([*command, first], cwd=ROOT) for first in "01"]
    assert [process.wait() for process in processes] == [0, 0]
    found = online.user("u", START + MINUTE)
    assert found is not None
    assert (found.recent_queries, found.requests_7d) == (("query 19", "query 18"), 20)


def test_unknown_user_becomes_known_and_time_defaults_to_now(empty: tuple[Settings, OnlineFeatures]) -> None:
    _, online = empty
    assert online.user("new", datetime.now(UTC)) is None
    online.record("new", SessionEvent("order", item_id="i0", brand="b", tags=("z", "a")))
    nobody, new, again = online.requests(["", "new", "new"], ["", "lamp", "lamp"], datetime.now(UTC))
    assert nobody.user is None and new.query is None
    assert new.user == again.user == UserFeatures((), ("i0",), ("b",), ("i0",), ("i0",), ("a", "z"), 0, 0, 1)


def test_overlay_is_bounded_and_expires(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    for n in range(60):
        online.record("u", SessionEvent("click", item_id=f"i{n}", time=START + n * MINUTE))
    found = online.user("u", START + DAY)
    assert found is not None and found.clicks_7d == settings.online.session_events
    assert found.recent_items == ("i59", "i58", "i57")
    redis = redis_of(settings)
    (key,) = redis.scan_iter("shelfwise:session:*")
    assert settings.project.encode() in key
    assert 0 < redis.ttl(key) <= settings.online.session_ttl.total_seconds()


def test_a_rebuild_leaves_the_session_alone(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    materialize(settings, START)
    online.record("u", SessionEvent("click", item_id="i1", time=START))
    online.record("u", SessionEvent("click", item_id="i2", time=START - timedelta(microseconds=1)))
    report = materialize(settings, START, since=START - DAY)
    assert report.views["user"].rebuilt
    found = online.user("u", START)
    assert found is not None and found.recent_items == ("i1",)


def test_the_shops_clock_goes_on_from_the_batch_and_is_not_set_back(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    assert online.read_clock() is None
    old = datetime.now(UTC) - 30 * DAY
    materialize(settings, old)
    offset = online.read_clock()
    assert offset is not None and 30 * DAY <= offset < 30 * DAY + MINUTE
    materialize(settings, old)
    assert online.read_clock() == offset
    materialize(settings, old + DAY)
    later = online.read_clock()
    assert later is not None and later < offset - DAY + MINUTE
    materialize(settings, datetime.now(UTC))
    assert online.read_clock() == timedelta(0)
    online.user("u", START)
    assert online.clock_offset == timedelta(0)
    (key,) = redis_of(settings).keys("shelfwise:materialized_until:user*")
    redis_of(settings).set(key, START.isoformat())
    assert online.read_clock() is None, "as versions before this one wrote it"


def test_rows_ahead_of_the_record_count_once(empty: tuple[Settings, OnlineFeatures]) -> None:
    """A batch that is still being written, or was killed: its rows are there, its record is not."""
    settings, online = empty
    done = [Done("u", START + MINUTE, "click", "i1", "e1"), Done("u", START + 2 * MINUTE, "click", "i3", "e2")]
    materialize(settings, START)
    redis = redis_of(settings)
    records = {key: redis.get(key) for key in redis.scan_iter("shelfwise:materialized*")}
    write_rows(settings, batch(settings, done[:1]))
    materialize(settings, START + DAY)
    for key, record in records.items():
        redis.set(key, record)
    for d in done:
        online.record("u", d.event())
    found = online.user("u", START + DAY)
    assert found == UserFeatures((), ("i3", "i1"), ("b1",), clicks_7d=2)


def test_ttl_counts_from_the_newest_event(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    ttl = settings.features.user_ttl
    online.record("u", SessionEvent("click", item_id="i1", time=START))
    assert online.user("u", START + ttl) is not None
    assert online.user("u", START + ttl + MINUTE) is None


def test_a_row_past_the_ttl_lends_nothing(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    old = START - settings.features.user_ttl - DAY
    write_rows(settings, batch(settings, [Done("u", old, "order", "i1", "e1")]))
    materialize(settings, old + DAY)
    assert online.user("u", START) is None
    online.record("u", SessionEvent("search", query=" Lamp", time=START))
    assert online.user("u", START) == UserFeatures(recent_queries=("lamp",), requests_7d=1)


def test_an_event_far_ahead_waits(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    online.record("u", SessionEvent("click", item_id="i1", time=START + 10 * DAY))
    assert online.user("u", START) is None
    assert online.user("u", START + 10 * DAY - settings.raw.ahead_window) is not None


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({"action": "view", "item_id": "i"}, "action must be one of search, click, cart, order"),
        ({"action": "search"}, "needs its query"),
        ({"action": "click", "item_id": ""}, "needs its item_id"),
        ({"action": "click", "item_id": "i", "query": "q"}, "has no query"),
        ({"action": "click", "item_id": 7}, "item_id must be a str, not int"),
        ({"action": "search", "query": "\ud800"}, "not valid Unicode"),
        ({"action": "click", "item_id": "i", "brand": float("nan")}, "brand must be a str"),
        ({"action": "click", "item_id": "i", "tags": "abc"}, "tags must be a list"),
        ({"action": "click", "item_id": "i", "time": datetime(2026, 3, 1)}, "time zone"),
    ],
)
def test_bad_event_is_refused(event: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SessionEvent(**event)


def test_bad_user_or_absurd_text_is_refused(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    with pytest.raises(ValueError, match="user_id is empty"):
        online.record("", SessionEvent("search", query="q"))
    with pytest.raises(ValueError, match="at most 1000"):
        online.record("u", SessionEvent("search", query="q" * 1001))
    assert not list(redis_of(settings).scan_iter("shelfwise:session:*"))


def test_shops_on_one_redis_do_not_share_sessions(empty: tuple[Settings, OnlineFeatures]) -> None:
    settings, online = empty
    url = SecretStr(services.redis_address(settings).url)
    other = settings.model_copy(update={"shop": "other", "online": OnlineSettings(redis_url=url, timeout_ms=2_000)})
    online.record("u", SessionEvent("click", item_id="i1", time=START))
    assert OnlineFeatures(other).user("u", START) is None


def test_redis_away_and_back(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, online=OnlineSettings(timeout_ms=500))
    online = OnlineFeatures(settings)
    try:
        (redis,) = [s for s in services.status(settings) if s.name == "Redis"]
        assert redis.pid is not None
        os.kill(redis.pid, signal.SIGKILL)
        with pytest.raises(OnlineStoreUnavailable):
            while True:  # the kill takes a moment
                online.record("u", SessionEvent("click", item_id="i1", time=START))
        for _ in range(400):
            try:
                online.record("u", SessionEvent("click", item_id="i2", time=START + MINUTE))
                break
            except OnlineStoreUnavailable:
                time.sleep(0.05)
        found = online.user("u", START + MINUTE)
        assert found is not None and found.recent_items[0] == "i2"
    finally:
        services.stop_all(settings)
        supervisor.leave_all()
