"""When a night begins, and what of its settings is refused."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from infra.settings import NightSettings

ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe")


@given(
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
    st.times().map(lambda at: at.replace(second=0, microsecond=0)),
    st.sampled_from(ZONES),
)
def test_the_latest_night_is_the_last_one_that_began(now: datetime, at: time, zone: str) -> None:
    night = NightSettings(at=at, time_zone=zone)
    latest = night.latest(now)
    assert latest.time() == at
    assert timedelta(0) <= now - latest.astimezone(UTC) < timedelta(hours=26), "a day, and an hour of summer time"


def test_the_cron_is_the_time() -> None:
    assert (NightSettings().cron, NightSettings(at=time(23, 5)).cron) == ("30 2 * * *", "5 23 * * *")


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        ({"time_zone": "Europe/Berln"}, "no such time zone"),
        ({"time_zone": "../etc"}, "no such time zone"),
        ({"at": "02:30:15"}, "hours and minutes"),
        ({"metrics_file": Path("night.txt")}, "end in .prom"),
        ({"ended_within": 0}, "greater than 0"),
    ],
)
def test_what_cannot_be_is_refused(given_: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        NightSettings.model_validate(given_)
