"""What somebody is told of a night: one sentence each, and the command that helps."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Literal

from features.day_report import DayReport, built_days, read_report
from infra.settings import Settings
from orchestration.night.ended_run import EndedRun
from serving.index import last_known_live
from training.release.manifest import list_releases

Kind = Literal["failed_run", "blocked_release", "held_day", "missed_night"]

DAY_CHECK = "sessions_are_sound"
GATES = {"recall_holds", "slices_hold", "ann_recall_holds", "index_is_complete", "release_answers"}
"""Checks of a release: the gates, one or several to a check."""


HELD_SHOWN = 3
"""Held days that a check names with all that is wrong with them."""


@dataclass(frozen=True)
class Notice:
    """Something that somebody has to know of, told once."""

    key: str
    """What it is of: what has been told under it is not told again."""
    kind: Kind
    shop: str
    sentence: str
    command: str
    """What to run next."""
    at: datetime
    """When it was, with its time zone."""
    run: str | None = None
    """The id of the run."""
    release: str | None = None


def of_run(settings: Settings, run: EndedRun) -> Notice | None:
    """What a run is told for: one notice, by what stopped it; None of one that succeeded or that somebody stopped.

    A day that is held again for the same reasons, and a release that is blocked again, are no news: their keys say what
    they are of and not in which run.
    """
    if run.outcome != "failure":
        return None
    checks = {check.name: check for check in run.failed_checks}
    if DAY_CHECK in checks:
        told = _without_rows(settings, checks[DAY_CHECK].sentence)
        return Notice(
            f"held_day/{_digest(told)}", "held_day", settings.shop_name, told, _check(settings), run.ended, run.id
        )
    if blocking := [check.sentence for name, check in checks.items() if name in GATES]:
        release = _newest_release(settings)
        told = f"Release {release or 'of this night'} is blocked, what was live stays live: {' '.join(blocking)}"
        return Notice(
            f"blocked_release/{release or run.id}",
            "blocked_release",
            settings.shop_name,
            told,
            _shelfwise(settings, "releases"),
            run.ended,
            run.id,
            release,
        )
    why = " ".join(_sentences(run.failures)) or "it ended without saying why."
    told = f"Run {run.id[:8]} of {run.job} failed, what was live stays live: {why}"
    return Notice(
        f"failed_run/{run.id}",
        "failed_run",
        settings.shop_name,
        told,
        _shelfwise(settings, "run"),
        run.ended,
        run.id,
    )


def of_missed_night(settings: Settings, night: datetime, *, in_progress: bool) -> Notice:
    """That the night which was to begin at ``night`` has not ended in time, or never began."""
    why = (
        "its run has not ended: it still works, or waits in Dagster's queue"
        if in_progress
        else "no run was started: is Dagster's daemon up, and the schedule on?"
    )
    hours = settings.night.ended_within.total_seconds() / 3600
    return Notice(
        f"missed_night/{night.astimezone(UTC).isoformat()}",
        "missed_night",
        settings.shop_name,
        f"The night of {night:%Y-%m-%d %H:%M %Z} is missed: {hours:g} h later {why}.",
        _shelfwise(settings, "status" if in_progress else "run"),
        night,
    )


def of_old_live(settings: Settings, now: datetime) -> Notice | None:
    """That the live release is older than ``night.oldest_live``; None where it is not, or nothing is live."""
    live = last_known_live(settings)
    trained = {release.id: release.trained_at for release in list_releases(settings)}.get(live or "")
    if live is None or trained is None or now - trained <= settings.night.oldest_live:
        return None
    return Notice(
        f"old_live/{live}",
        "missed_night",
        settings.shop_name,
        f"Live release {live} was trained {_days(now - trained)} ago, on {trained:%Y-%m-%d %H:%M} UTC: no newer one"
        " went live since.",
        _shelfwise(settings, "releases"),
        now,
        release=live,
    )


def _without_rows(settings: Settings, told: str) -> str:
    """What the check said of held days, less the rows of the log that it quotes: these name people and what they
    searched for, and go to nobody outside."""
    days = [day for day in built_days(settings) if str(day) in told]
    held = [report for day in days if (report := read_report(settings, day)) and report.held][:HELD_SHOWN]
    if not held:
        return told
    named = [f"{_quoting_nothing(report).message}." for report in held]
    return " ".join([*named, *told.splitlines()[HELD_SHOWN:]])


def _quoting_nothing(report: DayReport) -> DayReport:
    """Its actions without their example; nothing of its fields, which are told by examples. The command has both."""
    actions = {action: why.partition(", such as ")[0] for action, why in report.bad_actions.items()}
    return replace(report, bad_actions=actions, wrong_fields=())


def _days(age: timedelta) -> str:
    hours = age.total_seconds() / 3600
    return f"{hours:.0f} h" if hours < 72 else f"{hours / 24:.0f} days"


def _sentences(texts: Iterable[str]) -> list[str]:
    return [text if text.endswith((".", "!", "?")) else f"{text}." for text in texts]


def _newest_release(settings: Settings) -> str | None:
    return next((release.id for release in list_releases(settings)), None)


def _shelfwise(settings: Settings, command: str) -> str:
    """A command of ours on this shop, as one types it where the server's own settings are set."""
    named = ["--data", settings.landing] if settings.landing else []
    return shlex.join(["shelfwise", command, *named, "--shop", settings.shop_name])


def _check(settings: Settings) -> str:
    return shlex.join(
        ["shelfwise", "check", settings.landing or str(settings.paths.landing), "--shop", settings.shop_name]
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
