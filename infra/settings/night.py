"""Settings of the nightly run, and of what is expected of it."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator

from infra.settings.base import Duration, Group


class NightSettings(Group):
    """The nightly run: when it is, and what is expected of it."""

    scheduled: bool = False
    """Dagster's schedule and the sensor of the landing folder are on from the start; a switch in the UI stands above
    this."""
    at: time = time(2, 30)
    """When the schedule runs, each day."""
    time_zone: str = "UTC"
    """Of ``at``, such as ``Europe/Berlin``."""
    ended_within: Duration = Field(timedelta(hours=6), gt=timedelta(0))
    """A night whose run has not ended so long after ``at`` is told as missed."""
    oldest_live: Duration = Field(timedelta(hours=36), gt=timedelta(0))
    """A live release that was trained longer ago than this is told, while the schedule is on."""
    metrics_file: Path | None = None
    """Where the figures of a run are written when it has ended, such as
    ``/var/lib/prometheus/node-exporter/shelfwise.prom``; a file per shop. None: ``reports/night.prom`` of the shop."""

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("no such time zone; one is UTC, another Europe/Berlin") from error
        return value

    @field_validator("at")
    @classmethod
    def _is_a_minute(cls, value: time) -> time:
        if value.second or value.microsecond or value.tzinfo:
            raise ValueError("write hours and minutes, such as 02:30; the zone is night.time_zone")
        return value

    @field_validator("metrics_file")
    @classmethod
    def _is_read_by_collectors(cls, value: Path | None) -> Path | None:
        if value is not None and value.suffix != ".prom":
            raise ValueError("its name has to end in .prom, or no textfile collector reads it")
        return value

    @property
    def cron(self) -> str:
        """``at`` as Dagster's schedules have it."""
        return f"{self.at.minute} {self.at.hour} * * *"

    def latest(self, now: datetime) -> datetime:
        """The latest time at which a night began, by ``now``, which has a time zone."""
        local = now.astimezone(ZoneInfo(self.time_zone))
        today = datetime.combine(local.date(), self.at, ZoneInfo(self.time_zone))
        if today <= local:
            return today
        return datetime.combine(local.date() - timedelta(days=1), self.at, ZoneInfo(self.time_zone))
