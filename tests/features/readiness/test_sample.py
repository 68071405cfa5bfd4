from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.readiness.sample import parse_sample, sampled_days

DAYS = [date(2026, 1, 1) + timedelta(days=n) for n in range(60)]


@pytest.mark.parametrize(("text", "meant"), [("12", 12), ("0.1", 0.1), ("10%", 0.1), (" 100% ", 1.0), ("1.0", 1.0)])
def test_a_share_or_a_number_of_days(text: str, meant: float) -> None:
    sample = parse_sample(text)
    assert sample == pytest.approx(meant)
    assert isinstance(sample, int) == (text == "12")


@pytest.mark.parametrize("text", ["", "0", "-3", "0.0", "1.5", "150%", "ten", "1/2", "nan", "%"])
def test_anything_else_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write a share of the days \(0.1 or 10%\) or how many days \(12\)"):
        parse_sample(text)


@given(st.integers(1, 60), st.one_of(st.integers(1, 80), st.floats(0.01, 1)))
def test_first_and_last_are_read_and_no_day_twice(count: int, sample: float) -> None:
    days = DAYS[:count]
    chosen = sampled_days(days, sample)
    assert chosen == sorted(set(chosen))
    assert {days[0], days[-1]} <= set(chosen) <= set(days)
    wanted = round(count * sample) if isinstance(sample, float) else sample
    assert len(chosen) == min(count, max(2, wanted))


def test_without_a_sample_all_days_are_read() -> None:
    assert sampled_days(DAYS, None) == DAYS
    assert sampled_days([], 3) == []
