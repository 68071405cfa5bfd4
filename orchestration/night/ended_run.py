"""A run that has ended, as it is told and measured; without Dagster."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

NIGHTLY = ("retrain", "release_catalog")
"""Jobs of which one makes a night."""

Outcome = Literal["success", "failure", "canceled"]


@dataclass(frozen=True)
class Step:
    """A step of a run."""

    name: str
    status: str
    seconds: float


@dataclass(frozen=True)
class FailedCheck:
    """A check that stopped what comes after it, and its sentence."""

    name: str
    asset: str
    sentence: str


@dataclass(frozen=True)
class EndedRun:
    """A run that has ended."""

    id: str
    job: str
    outcome: Outcome
    started: datetime
    """With its time zone, as ``ended`` has."""
    ended: datetime
    days: tuple[date, date] | None = None
    """The first and the last; None for the catalogue alone."""
    steps: tuple[Step, ...] = ()
    failed_checks: tuple[FailedCheck, ...] = ()
    failures: tuple[str, ...] = ()
    """A sentence per check or step that failed."""
