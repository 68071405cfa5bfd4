"""A shop is judged by its own days: what fails a day, what is only told, and what is as usual."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta

import pytest

from features.quality.history import Bounds, History, PastDay, first_compared
from infra.settings import CheckSettings

MONDAY = date(2026, 3, 2)
CHECKS = CheckSettings()
Volume = Callable[[date], float]


def verdicts(volumes: Sequence[float], first: date = MONDAY, checks: CheckSettings = CHECKS) -> list[str]:
    """Of each day, judged by the accepted ones before it as a run does: ok, told or fails."""
    past: list[PastDay] = []
    found = []
    for n, volume in enumerate(volumes):
        day = first + timedelta(days=n)
        compared = tuple(p for p in past if p.day >= first_compared(day, checks))
        bounds = History(day, compared, checks).requests()
        found.append(verdict(bounds, volume))
        if found[-1] != "fails":
            past.append(PastDay(day, {"requests": volume}))
    return found


def verdict(bounds: Bounds, value: float) -> str:
    def outside(low: float | None, high: float | None) -> bool:
        return (low is not None and value < low) or (high is not None and value > high)

    if outside(bounds.low, bounds.high):
        return "fails"
    return "told" if outside(bounds.usual_low, bounds.usual_high) else "ok"


def weeks(*week: float, times: int = 4) -> list[float]:
    return list(week) * times


SOUND = {
    "even": weeks(*[1000] * 7),
    "closed on sundays, nearly": weeks(1000, 1000, 1000, 1000, 1000, 600, 50),
    "closed on weekends, nearly": weeks(1000, 1000, 1000, 1000, 1000, 30, 40),
    "closed on mondays, nearly, and begins on one": weeks(50, 1000, 1000, 1000, 1000, 1000, 1000),
    "weekends are ten times a weekday": weeks(100, 100, 100, 100, 300, 1000, 1000),
    "doubles each day": [20 * 2**n for n in range(12)],
    "doubles each week": [100 * 2 ** (n // 7) for n in range(42)],
    "a quarter over the holidays": [v for v in (1000, 1000, 1000, 1000, 500, 250, 250, 500, 1000) for _ in range(7)],
    "small": [3, 9, 1, 12, 2, 0, 14, 5, 1, 30, 2, 2, 1, 11, 4, 1],
    "smaller each week": [1000 * 0.7 ** (n // 7) for n in range(42)],
}


@pytest.mark.parametrize("volumes", SOUND.values(), ids=SOUND)
@pytest.mark.parametrize("begins", range(7))
def test_a_log_of_a_sound_shop_goes_in_whole(volumes: list[float], begins: int) -> None:
    assert "fails" not in verdicts(volumes, MONDAY + timedelta(days=begins))


BROKEN = {
    "a tenth on a monday": (weeks(*[1000] * 5, 300, 50), 100),
    "next to nothing on the fourth day": ([1000] * 3, 5),
    "an eighth where last week had a whole one": ([1000] * 9, 120),
    "a weekday's volume where weekends are ten times that": (weeks(100, 100, 100, 100, 300, 1000, 1000)[:26], 100),
    "twenty times": ([1000] * 20, 20000),
    "a quarter is no holiday yet": ([1000] * 28, 250),
}


@pytest.mark.parametrize(("before", "volume"), BROKEN.values(), ids=BROKEN)
def test_a_day_that_is_not_whole_fails_and_a_whole_one_after_it_does_not(before: list[float], volume: float) -> None:
    usual = before[-7] if len(before) >= 7 else before[-1]
    found = verdicts([*before, volume, usual])
    assert (found[-2], "fails" in found[:-2]) == ("fails", False)
    again = History(MONDAY + timedelta(days=len(before)), _past(before), CHECKS).requests()
    assert verdict(again, usual) == "ok"


def _past(volumes: Sequence[float]) -> tuple[PastDay, ...]:
    return tuple(PastDay(MONDAY + timedelta(days=n), {"requests": v}) for n, v in enumerate(volumes))


def test_the_first_days_are_told_and_fail_nothing() -> None:
    assert verdicts([1000]) == ["ok"]
    assert verdicts([1000, 10, 1000]) == ["ok", "told", "ok"]


def test_a_weekdays_first_day_that_is_low_is_told() -> None:
    assert verdicts([1000] * 6 + [50])[-1] == "told"


def test_from_the_second_of_a_weekday_on_it_is_compared_with_its_own() -> None:
    volumes = weeks(1000, 1000, 1000, 1000, 1000, 1000, 100, times=2)
    bounds = History(MONDAY + timedelta(days=20), _past([*volumes, *volumes[:6]]), CHECKS).requests()
    assert bounds.against == "the last 2 Sundays: 2026-03-15 100, 2026-03-08 100"
    assert verdict(bounds, 100) == "ok"
    assert verdict(bounds, 12) == "fails"


def test_a_shop_that_changed_for_good_says_from_when() -> None:
    volumes = [*[1000.0] * 20, *[100.0] * 8]
    assert verdicts(volumes)[20:] == ["fails"] * 8
    changed = CheckSettings(history_from=MONDAY + timedelta(days=20))
    assert verdicts(volumes, checks=changed) == ["ok"] * 28


def clicks(past: PastDay) -> float | None:
    return past.figures["clicks"] / past.figures["requests"]


def test_what_is_counted_per_request_is_judged_apart_from_the_volume() -> None:
    past = tuple(
        PastDay(MONDAY + timedelta(days=n), {"requests": 10.0 ** (3 - n % 2), "clicks": 10.0 ** (2 - n % 2)})
        for n in range(8)
    )
    history = History(MONDAY + timedelta(days=8), past, CHECKS)
    assert verdict(history.rate(clicks, 1000), 0.1) == "ok"
    assert verdict(history.rate(clicks, 1000), 0.02) == "fails"
    assert verdict(history.rate(clicks, 60), 0.0) == "ok", "six were to be expected: none may be chance"
    assert verdict(history.rate(clicks, 1000), 0.6) == "fails"
    nothing = History(MONDAY, tuple(PastDay(p.day, {"requests": 10, "clicks": 0}) for p in past), CHECKS)
    assert nothing.rate(clicks, 1000) == Bounds(), "a shop that begins to log something"


def test_a_share_fails_where_it_is_far_above_the_shops_own() -> None:
    def share(past: PastDay) -> float | None:
        return past.figures.get("anonymous_share")

    past = tuple(PastDay(MONDAY + timedelta(days=n), {"anonymous_share": 0.3 + 0.02 * (n % 2)}) for n in range(6))
    history = History(MONDAY + timedelta(days=6), past, CHECKS)
    bounds = history.share(share, 1000)
    assert [verdict(bounds, seen) for seen in (0.1, 0.45, 0.6)] == ["ok", "ok", "fails"]
    assert verdict(history.share(share, 8), 0.75) == "ok", "six of eight may be chance"
    assert bounds.against.startswith("the last 6 days: 2026-03-07 32.0%, 2026-03-06 30.0%")
    assert history.share(lambda _: 0.9, 1000).high is None, "nothing is far above nearly all"
