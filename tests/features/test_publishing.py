"""A day's tables are staged, judged, and only then published: whole, whatever moment a run dies at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from features.build_sessions import build_sessions, days_with_readers
from features.day_report import DayReport, read_report, write_report
from features.publishing import Verdict, settle
from infra.contract.partitions import drop_partition, partition_file
from infra.settings import Settings
from tests.features.raw_log import DAY, event, files_of, land, next_day, quarantined, query, shop, stored

NEXT = next_day(1)


@dataclass
class Strict:
    """Fails the days of ``bad``; ``rules`` is what the verdict follows from besides the tables."""

    bad: Sequence[date] = ()
    rules: str = ""
    judged: list[tuple[date, int]] = field(default_factory=list)
    """Each day that was judged, with its requests."""

    def key(self, settings: Settings, day: date) -> str:
        return f"{self.rules} {day in self.bad}"

    def judge(
        self, settings: Settings, report: DayReport, tables: Mapping[str, Path], earlier: Sequence[date]
    ) -> Verdict:
        requests = report.rows_out["requests"]
        assert report.held or partition_file(tables["requests"], report.day).exists()
        self.judged.append((report.day, requests))
        failed = ("Too few: 1; log more",) if report.day in self.bad else ()
        return Verdict(failed, ("odd",), {"requests": requests}, {"suite": "strict"})


def land_version(settings: Settings, requests: int, day: date = DAY) -> None:
    """A day of so many requests, with one refused row."""
    rows = [query(f"{day}-{n}", day=day) for n in range(requests)]
    land(settings, [*rows, "{"], [event("click", "a", query_id=f"{day}-0", day=day)], day=day)


def report_of(settings: Settings, day: date = DAY) -> DayReport:
    report = read_report(settings, day)
    assert report is not None
    return report


def test_a_bad_version_of_a_day_hides_no_good_one(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    (good,) = build_sessions(settings, [DAY], judge=Strict())
    before = files_of(settings)
    land_version(settings, 30)
    (bad,) = build_sessions(settings, [DAY], judge=Strict(bad=[DAY]))
    assert (bad.held, bad.kept_previous, bad.output) == (True, True, good.output)
    assert bad.message == (
        "2026-05-10 is held, its last accepted version stays in use: Too few: 1; log more. Then run again"
    )
    assert bad.rows_out["requests"] == 30, "the report is of the version that failed"
    assert bad.figures == {"requests": 20}, "later days are compared with the version in use"
    assert files_of(settings) == before
    assert not settings.paths.staged.exists()
    land_version(settings, 40)
    (mended,) = build_sessions(settings, [DAY], judge=Strict())
    assert (mended.held, mended.failed_rules, len(stored(settings, "requests"))) == (False, (), 40)


def test_a_first_version_that_fails_is_used_by_nobody(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    (report,) = build_sessions(settings, [DAY], judge=Strict(bad=[DAY]))
    assert (report.held, report.kept_previous, report.output, report.figures) == (True, False, None, {})
    assert "is held, nothing of it is used: Too few" in report.message
    assert files_of(settings) == {}
    assert len(quarantined(settings)) == 1


def test_a_later_day_reads_the_accepted_version_of_the_days_before(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    land(settings, [query("n0", day=NEXT)], [event("click", "b", "00:01:00", query_id=f"{DAY}-0", day=NEXT)], day=NEXT)
    first, second = build_sessions(settings, [DAY, NEXT], judge=Strict())
    land(settings, [query("other", "10:00:00") for _ in range(20)], [])
    judge = Strict(bad=[DAY])
    days = days_with_readers(settings, [DAY])
    reports = build_sessions(settings, days, judge=judge)
    assert [r.output for r in reports] == [first.output, second.output]
    assert stored(settings, "events", NEXT)[0]["query_id"] == f"{DAY}-0"


def test_a_day_is_judged_again_only_where_the_verdict_may_differ(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    judge = Strict()
    (first,) = build_sessions(settings, [DAY], judge=judge)
    assert build_sessions(settings, [DAY], judge=judge) == [first]
    assert len(judge.judged) == 1
    stamp = partition_file(settings.paths.sessions / "requests", DAY).stat().st_mtime_ns
    stricter = Strict(bad=[DAY], rules="stricter")
    (failed,) = build_sessions(settings, [DAY], judge=stricter)
    assert (failed.held, failed.kept_previous, failed.output) == (True, True, first.output)
    assert build_sessions(settings, [DAY], judge=stricter) == [failed], "the same rules hold it again, unread"
    assert len(stricter.judged) == 1
    assert partition_file(settings.paths.sessions / "requests", DAY).stat().st_mtime_ns == stamp
    (again,) = build_sessions(settings, [DAY], judge=Strict(rules="milder"))
    assert (again.held, again.output) == (False, first.output)


def test_a_day_that_is_held_for_its_rows_keeps_its_own_reason(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    build_sessions(settings, [DAY], judge=Strict())
    land(settings, [query("q"), "{", "{", "{"], [])
    (report,) = build_sessions(settings, [DAY], judge=Strict())
    assert (report.held, report.kept_previous, report.failed_rules, report.figures) == (
        True,
        True,
        (),
        {"requests": 20},
    )
    assert "75.0% of its rows were refused" in report.message


class Died(BaseException):
    """A run that dies at a moment."""


@pytest.mark.kill
@pytest.mark.parametrize("first", [True, False], ids=["first version", "new version"])
def test_a_run_that_dies_anywhere_leaves_the_old_version_or_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    """Dies before each change of the disk, one after another, until a run gets through."""

    def settings_of(name: str) -> Settings:
        settings = shop(tmp_path / name)
        if not first:
            land_version(settings, 20)
            build_sessions(settings, [DAY], judge=Strict())
        land_version(settings, 30)
        return settings

    old = files_of(settings_of("old"))
    settings = settings_of("new")
    build_sessions(settings, [DAY], judge=Strict())
    new = files_of(settings)
    deaths, finished = 0, 0
    while True:
        settings = settings_of(f"at {deaths}")
        with monkeypatch.context() as patched:
            _die_before(patched, change=deaths)
            try:
                build_sessions(settings, [DAY], judge=Strict())
                break
            except Died:
                deaths += 1
        settle(settings)
        found = files_of(settings)
        assert found in (old, new), f"a mixture of two versions after death {deaths}"
        finished += found == new
        if found == new:
            assert report_of(settings).rows_out["requests"] == 30
            assert len(quarantined(settings)) == 1
        build_sessions(settings, [DAY], judge=Strict())
        assert files_of(settings) == new
        assert not settings.paths.staged.exists()
    assert deaths > 10
    assert 5 < finished < deaths


def _die_before(patched: pytest.MonkeyPatch, change: int) -> None:
    """Die in place of the ``change``-th replacement or removal of a file."""
    left = change

    def dying(does: Any) -> Any:
        def done(*arguments: Any, **named: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Died
            left -= 1
            return does(*arguments, **named)

        return done

    patched.setattr(Path, "replace", dying(Path.replace))
    patched.setattr("features.publishing.drop_partition", dying(drop_partition))
    patched.setattr("features.publishing.write_report", dying(write_report))


def test_a_publication_by_another_version_of_shelfwise_makes_a_day_that_is_not_built(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    (report,) = build_sessions(settings, [DAY], judge=Strict())
    settings.paths.staged.joinpath("publish").mkdir(parents=True)
    (settings.paths.staged / "publish" / f"{DAY}.json").write_text('{"day": "2026-05-10"}')
    settle(settings)
    assert (read_report(settings, DAY), files_of(settings)) == (None, {})
    assert build_sessions(settings, [DAY], judge=Strict())[0].output == report.output


KILLED = """
import os, signal, sys
from pathlib import Path
from features import publishing
from features.build_sessions import build_sessions
from tests.features.raw_log import DAY, shop
moves = 0
real = Path.replace
def replace(self, target):
    global moves
    if "sessions_staged" in str(self) and "sessions_staged" not in str(target):
        moves += 1
        if moves == 3:
            os.kill(os.getpid(), signal.SIGKILL)
    return real(self, target)
Path.replace = replace
build_sessions(shop(Path(sys.argv[1])), [DAY])
"""


@pytest.mark.kill
def test_a_process_killed_between_two_tables_is_finished_by_the_next(tmp_path: Path) -> None:
    settings = shop(tmp_path)
    land_version(settings, 20)
    (first,) = build_sessions(settings, [DAY])
    land_version(settings, 30)
    process = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], env={**os.environ}, check=False)
    assert process.returncode == -signal.SIGKILL
    assert report_of(settings).output == first.output, "the report is the old one until all tables lie in place"
    settle(settings)
    assert report_of(settings).rows_out["requests"] == 30
    assert [len(stored(settings, name)) for name in ("requests", "impressions", "events")] == [30, 90, 1]
    assert build_sessions(settings, [DAY]) == [report_of(settings)]
