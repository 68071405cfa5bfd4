"""Rows reach the day's folder whole and soon; what cannot be written waits, is bounded and is counted."""

from __future__ import annotations

import errno
import json
import resource
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from features.landing import day_files
from features.landing_catalogs import catalog_files
from infra.settings import Settings, UbiLogSettings
from serving.ubi_log import UbiLog, UbiLogError, log_folder
from serving.ubi_log.day_files import DayFile, mend_torn_files
from tests.serving.test_retriever import wait_for

DAY = date(2026, 11, 28)
NOON = datetime(2026, 11, 28, 12, tzinfo=UTC)
FAST: dict[str, Any] = {"enabled": True, "flush_seconds": 0.01, "min_free_bytes": 0}


@contextmanager
def writing(folder: Path, now: Callable[[], datetime] = lambda: NOON, **changes: Any) -> Iterator[UbiLog]:
    log = UbiLog(folder, UbiLogSettings.model_validate(FAST | changes), now)
    try:
        yield log
    finally:
        log.close()


def files(folder: Path, day: date = DAY) -> list[Path]:
    return sorted((folder / f"dt={day}").glob("*"))


def rows(folder: Path, source: str = "ubi_events", day: date = DAY) -> list[int]:
    """The numbers of the rows on disk; half a line is an error."""
    found = [file for file in files(folder, day) if file.name.startswith(source)]
    return [json.loads(line)["n"] for file in found for line in file.read_text(encoding="utf-8").splitlines()]


def numbered(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"n": n, "text": "é🙂 \x00"} for n in range(start, start + count)]


def test_rows_are_on_disk_in_order_before_it_is_closed(tmp_path: Path) -> None:
    with writing(tmp_path) as log:
        assert log.append_all("ubi_events", numbered(50)) == 50
        assert log.append_all("ubi_queries", numbered(3)) == 3
        wait_for(lambda: log.statistics()["rows"] == {"ubi_queries": 3, "ubi_events": 50})
        assert rows(tmp_path) == list(range(50))
        assert log.statistics()["waiting_bytes"] == 0
    assert rows(tmp_path, "ubi_queries") == [0, 1, 2]


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    with writing(tmp_path, flush_seconds=1) as log:
        log.append_all("ubi_events", numbered(10))
        assert rows(tmp_path) == []
    assert rows(tmp_path) == list(range(10))


def test_servers_and_threads_write_side_by_side(tmp_path: Path) -> None:
    with writing(tmp_path) as first, writing(tmp_path) as second:
        logs = [first, second, first, second]
        threads = [
            threading.Thread(
                target=lambda log=log, n=n: [log.append_all("ubi_events", numbered(1, 100 * n + i)) for i in range(100)]
            )
            for n, log in enumerate(logs)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(rows(tmp_path)) == list(range(400))
    assert len(files(tmp_path)) == 2


def test_files_are_rotated_and_named_for_the_reader(tmp_path: Path) -> None:
    with writing(tmp_path, max_file_bytes=100) as log:
        log.append_all("ubi_queries", numbered(1))
        for n in range(10):
            log.append_all("ubi_events", numbered(1, n))
            wait_for(lambda n=n: log.statistics()["rows"]["ubi_events"] == n + 1)
    assert rows(tmp_path) == list(range(10))
    settings = Settings(landing=str(tmp_path))
    found = day_files(settings, DAY)
    assert (len(found.queries), 3 <= len(found.events) <= 5) == (1, True)
    assert sorted(file.name for file in (*found.queries, *found.events)) == [file.name for file in files(tmp_path)]
    assert catalog_files(settings) == []


def test_a_day_gets_nothing_once_it_is_over(tmp_path: Path) -> None:
    now = datetime(2026, 11, 28, 23, 59, 59, tzinfo=UTC)
    with writing(tmp_path, lambda: now) as log:
        log.append_all("ubi_events", numbered(2))
        wait_for(lambda: log.statistics()["rows"]["ubi_events"] == 2)
        before = {file: file.stat().st_mtime_ns for file in files(tmp_path)}
        now += timedelta(seconds=2)
        log.append_all("ubi_events", numbered(2, 2))
        wait_for(lambda: log.statistics()["rows"]["ubi_events"] == 4)
    assert {file: file.stat().st_mtime_ns for file in files(tmp_path)} == before
    assert rows(tmp_path, day=DAY + timedelta(days=1)) == [2, 3]


def test_rows_wait_where_the_folder_cannot_be_written_to(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / f"dt={DAY}").write_text("a file, where a folder should be")
    with writing(tmp_path) as log:
        log.append_all("ubi_events", numbered(5))
        wait_for(lambda: log.problem is not None)
        assert "cannot be written to" in (log.problem or "")
        assert log.statistics()["failing"]
        (tmp_path / f"dt={DAY}").unlink()
        wait_for(lambda: log.statistics()["rows"]["ubi_events"] == 5)
        assert (log.problem, log.statistics()["failing"]) == (None, False)
    assert rows(tmp_path) == list(range(5))
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


@pytest.mark.slow
def test_a_full_disk_is_left_alone_and_memory_is_bounded(tmp_path: Path) -> None:
    size = len(json.dumps(numbered(1)[0], ensure_ascii=False, separators=(",", ":")).encode()) + 1
    with writing(tmp_path, min_free_bytes=2**60, max_waiting_bytes=4 * size) as log:
        assert log.append_all("ubi_events", numbered(9)) == 4
        wait_for(lambda: log.problem is not None)
        assert "min_free_bytes" in (log.problem or "")
        assert log.statistics()["dropped"] == {"queue_full": 5, "day_full": 0}
        assert log.statistics()["waiting_bytes"] == 4 * size
    assert files(tmp_path) == []


def test_a_day_that_is_full_drops_and_a_new_server_counts_what_is_there(tmp_path: Path) -> None:
    for _ in range(2):
        with writing(tmp_path, max_day_bytes=200) as log:
            log.append_all("ubi_events", numbered(50))
        written = sum(file.stat().st_size for file in files(tmp_path))
        assert 0 < written <= 200
        assert log.statistics()["dropped"]["day_full"] == 50 - log.statistics()["rows"]["ubi_events"] > 0
    assert log.statistics()["rows"]["ubi_events"] == 0


def test_a_write_that_stops_half_way_leaves_whole_lines(tmp_path: Path) -> None:
    file = DayFile(tmp_path / f"dt={DAY}" / "ubi_events-x.ndjson")
    file.append(b'{"n":1}\n')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        with pytest.raises(OSError, match="large"):
            file.append(b'{"n":2}\n' * 4)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert file.path.read_bytes() == b'{"n":1}\n'
    file.append(b'{"n":3}\n')
    assert file.path.read_bytes() == b'{"n":1}\n{"n":3}\n'
    file.close()


@pytest.mark.parametrize("fails", ["infra.services.locks.take_exclusive", "serving.ubi_log.day_files._sync_folder"])
def test_a_file_that_cannot_be_made_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fails, fail)
    before = set(Path("/proc/self/fd").iterdir())
    with pytest.raises(OSError, match="no locks"):
        DayFile(tmp_path / f"dt={DAY}" / "ubi_events-x.ndjson")
    assert set(Path("/proc/self/fd").iterdir()) == before
    assert files(tmp_path) == []


def test_a_folder_that_was_taken_away_does_not_swallow_rows(tmp_path: Path) -> None:
    with writing(tmp_path) as log:
        log.append_all("ubi_events", numbered(1))
        wait_for(lambda: log.statistics()["rows"]["ubi_events"] == 1)
        (tmp_path / f"dt={DAY}").rename(tmp_path / "moved")
        log.append_all("ubi_events", numbered(1, 1))
        wait_for(lambda: log.statistics()["rows"]["ubi_events"] == 2)
    assert rows(tmp_path) == [1]


@pytest.mark.parametrize("torn", [b'{"n":9', b'{"n":9,"t":"' + b"x" * 200_000])
def test_half_a_line_of_a_killed_server_is_cut_off_and_a_live_ones_is_not(tmp_path: Path, torn: bytes) -> None:
    with writing(tmp_path) as log:
        log.append_all("ubi_events", numbered(3))
    (dead,) = files(tmp_path)
    whole = dead.read_bytes()
    dead.write_bytes(whole + torn)
    alive = DayFile(dead.with_name(dead.name.replace("0001", "0002")))
    alive.append(torn)
    others = dead.with_name("ubi_events.ndjson")
    others.write_bytes(torn)
    assert mend_torn_files(tmp_path, [DAY]) == [dead]
    assert (dead.read_bytes(), alive.path.read_bytes(), others.read_bytes()) == (whole, torn, torn)
    assert mend_torn_files(tmp_path, [DAY]) == []
    alive.close()


def test_the_log_needs_a_folder_of_this_machine(tmp_path: Path) -> None:
    on = UbiLogSettings(enabled=True)
    assert log_folder(Settings(landing=str(tmp_path))) is None
    assert log_folder(Settings(landing=str(tmp_path), ubi_log=on)) == tmp_path
    assert log_folder(Settings(landing="s3://b/l", ubi_log=UbiLogSettings(enabled=True, folder=tmp_path))) == tmp_path
    for landing, says in {None: "--data", "s3://b/l": "UBI_LOG__FOLDER", str(tmp_path / "no"): "there is no"}.items():
        with pytest.raises(UbiLogError, match=says):
            log_folder(Settings(landing=landing, ubi_log=on))
