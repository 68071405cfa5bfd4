from __future__ import annotations

from datetime import date, timedelta

import pytest

from features.readiness.calendar import weekday_means, weeks_of
from features.readiness.page import short
from features.readiness.report import DayLine, Ratio, counted, sentence


@pytest.mark.parametrize(
    ("n", "told"), [(0, "0"), (987, "987"), (999.6, "1.0k"), (1234, "1.2k"), (34_567, "35k"), (5.6e6, "5.6M")]
)
def test_counts_in_four_characters(n: float, told: str) -> None:
    assert short(n) == told


@pytest.mark.parametrize(
    ("part", "whole", "told"),
    [(0, 9, "0%"), (9, 9, "100%"), (1, 9_999, "<0.1%"), (9_998, 9_999, ">99.9%"), (1, 3, "33.3%"), (0, 0, "–")],
)
def test_a_share_never_rounds_to_all_or_nothing(part: int, whole: int, told: str) -> None:
    assert Ratio(part, whole).percent == told


def test_one_and_many() -> None:
    assert [counted(n, "day") for n in (0, 1, 2_000)] == ["0 days", "1 day", "2,000 days"]


@pytest.mark.parametrize(
    ("text", "told"),
    [("it is not over", "It is not over"), ("catalog.parquet cannot be read", "catalog.parquet cannot be read"),
     ("dt=2026-05-10 holds nothing", "dt=2026-05-10 holds nothing"), ("ubi_queries: none", "ubi_queries: none"),
     ("no. of rows", "No. of rows"), ("", "")],
)  # fmt: skip
def test_a_sentence_leaves_names_as_they_are(text: str, told: str) -> None:
    assert sentence(text) == told


def test_weeks_begin_on_monday_and_hold_every_day_once() -> None:
    first = date(2026, 5, 6)  # a Wednesday
    days = [DayLine(first + timedelta(days=n), "read", requests=10 * (n + 1)) for n in (0, 1, 4, 9)]
    weeks = weeks_of(days)
    cells = [cell for week in weeks for cell in week]
    assert [len(week) for week in weeks] == [7, 7]
    assert all(week[0].day.weekday() == 0 for week in weeks)
    assert [cell.line for cell in cells if cell.line] == days
    assert [cell.inside for cell in cells] == [False] * 2 + [True] * 10 + [False] * 2
    assert max(cell.height for cell in cells) == 1.0
    assert weeks_of([]) == []


def test_weekday_means_leave_out_days_that_were_not_read() -> None:
    monday = date(2026, 5, 4)
    days = [
        DayLine(monday, "read", requests=10),
        DayLine(monday + timedelta(days=7), "held", requests=30),
        DayLine(monday + timedelta(days=14), "not read"),
        DayLine(monday + timedelta(days=21), "held", requests=0),
        DayLine(monday + timedelta(days=6), "held", requests=0),
    ]
    assert weekday_means(days) == [20.0, *[None] * 6]
