"""What is to be told is told once, whatever is down or restarted in between."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Settings
from orchestration.night.notices import Notice
from orchestration.night.outbox import FIRST_LOOK, KEPT, LONGEST_WAIT, OVERLAP, Outbox
from orchestration.night.webhook import WebhookDownError, WebhookError

NOW = datetime(2026, 3, 7, 4, 5, tzinfo=UTC)


def notice(key: str, minutes: int = 0) -> Notice:
    return Notice(key, "failed_run", "demo", f"{key} failed.", "shelfwise run", NOW + timedelta(minutes=minutes))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path)


def test_each_key_is_told_once_by_whatever_process(settings: Settings) -> None:
    told: list[Notice] = []
    for _ in range(3):
        outbox = Outbox(settings)
        outbox.add([notice("b", 1), notice("a"), notice("a")])
        assert outbox.deliver(told.append, NOW) == 0
    assert told == [notice("a"), notice("b", 1)], "the oldest first, as they were"


def test_a_receiver_that_is_down_is_asked_again_and_less_and_less_often(settings: Settings) -> None:
    asked: list[float] = []

    def down(_: Notice) -> None:
        asked.append((now - NOW).total_seconds())
        raise WebhookDownError("down")

    Outbox(settings).add([notice("a")])
    for tick in range(0, 3_600, 30):
        now = NOW + timedelta(seconds=tick)
        assert Outbox(settings).deliver(down, now) == 1
    waits = [later - earlier for earlier, later in pairwise(asked)]
    assert waits[:5] == [30, 60, 120, 240, 480]
    assert set(waits[5:]) == {LONGEST_WAIT.total_seconds()}
    told: list[Notice] = []
    assert Outbox(settings).deliver(told.append, now + LONGEST_WAIT) == 0
    assert told == [notice("a")]


def test_a_message_that_is_refused_holds_up_no_other(settings: Settings) -> None:
    told: list[str] = []

    def unwilling(one: Notice) -> None:
        if one.key == "a":
            raise WebhookError("400")
        told.append(one.key)

    outbox = Outbox(settings)
    outbox.add([notice("a"), notice("b", 1)])
    assert outbox.deliver(unwilling, NOW) == 1
    assert told == ["b"]


def test_looks_follow_on_one_another(settings: Settings) -> None:
    outbox = Outbox(settings)
    assert (outbox.looks_from(NOW), outbox.began()) == (NOW - FIRST_LOOK, None)
    outbox.looked(NOW)
    outbox.looked(NOW + timedelta(days=3))
    again = Outbox(settings)
    assert (again.looks_from(NOW + timedelta(days=9)), again.began()) == (NOW + timedelta(days=3) - OVERLAP, NOW)


def test_what_was_told_long_ago_is_forgotten(settings: Settings) -> None:
    outbox = Outbox(settings)
    outbox.add([notice("a")])
    told: list[Notice] = []
    outbox.deliver(told.append, NOW)
    outbox.forget_old(datetime.now(UTC))
    assert len(list((settings.paths.notices / "told").iterdir())) == 1
    outbox.forget_old(datetime.now(UTC) + KEPT + timedelta(days=1))
    assert not list((settings.paths.notices / "told").iterdir())


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(0, 900)), max_size=25))
def test_nothing_is_lost_and_nothing_told_twice(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, bool, int]]
) -> None:
    settings, now = Settings(home=tmp_path_factory.mktemp("home")), NOW
    told: list[str] = []

    for key, up, seconds in steps:

        def tell(one: Notice, up: bool = up) -> None:
            if not up:
                raise WebhookDownError("down")
            told.append(one.key)

        now += timedelta(seconds=seconds)
        outbox = Outbox(settings)
        outbox.add([notice(key)])
        outbox.deliver(tell, now)
    Outbox(settings).deliver(lambda one: told.append(one.key), now + LONGEST_WAIT)
    assert sorted(told) == sorted({key for key, _, _ in steps})
