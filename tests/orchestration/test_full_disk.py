"""A disk that is full ends in a sentence that says what to do, and a run that may fill it is told of beforehand."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from redis.exceptions import ResponseError
from safetensors.numpy import save_file
from sqlalchemy import create_engine, text

from infra.services import ServiceError, redis_address, stop_all
from infra.services.redis import RedisServer
from infra.settings import Settings, WebhookSettings
from orchestration import disk_room, disk_use, mendable
from orchestration import failures as failures_module
from orchestration.disk_room import LEAST, MIB, NoRoomError, lacking_room, needed_bytes, refuse_without_room
from orchestration.disk_use import keep_use, known_use, measured_use
from orchestration.failures import failures
from orchestration.full_disk import is_full, says_full, what_to_do
from orchestration.mendable import sentence
from orchestration.night import outbox
from orchestration.night.ended_run import EndedRun
from orchestration.night.watch import after_crash
from serving.index import live_release_id
from tests.orchestration.conftest import SmallShop
from tests.orchestration.night.receiver import receiving

FULL = Path("/dev/full")
needs_dev_full = pytest.mark.skipif(not FULL.exists(), reason="no /dev/full here: it is Linux's")


def kept_by_sqlite() -> None:
    """As Dagster keeps its records; a database that may not grow has the error of one that cannot."""
    with create_engine("sqlite://").begin() as records:
        records.execute(text("PRAGMA max_page_count = 3"))
        records.execute(text("CREATE TABLE runs AS SELECT randomblob(100000)"))


def test_a_database_that_cannot_grow_is_known_also_as_a_cause() -> None:
    with pytest.raises(Exception) as raised:
        kept_by_sqlite()
    assert is_full(raised.value), repr(raised.value)
    try:
        raise RuntimeError("the step failed") from raised.value
    except RuntimeError as error:
        assert is_full(error)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=500m", "tmpfs", str(folder)]
    mounted = subprocess.run(command, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(disk: Path) -> Path:
    """What takes all that is free."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(MIB)):
                pass
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return filler


def written_by_python(file: Path) -> None:
    file.write_bytes(os.urandom(MIB))


def written_by_arrow(file: Path) -> None:
    pq.write_table(pa.table({"item_id": [str(n) for n in range(100_000)]}), file)


def written_by_duckdb(file: Path) -> None:
    duckdb.sql("SELECT range FROM range(1_000_000)").write_parquet(str(file))


def spilled_by_duckdb(file: Path) -> None:
    with duckdb.connect(config={"memory_limit": "60MB", "threads": 1, "temp_directory": str(file)}) as engine:
        engine.execute("CREATE TABLE t AS SELECT random()::VARCHAR || uuid()::VARCHAR AS a FROM range(3_000_000)")
        engine.execute("SELECT * FROM t ORDER BY a").fetchall()


def written_by_safetensors(file: Path) -> None:
    save_file({"weights": np.ones(MIB)}, file)


def recorded_by_dagster(file: Path) -> None:
    with dg.DagsterInstance.local_temp(str(file)) as instance:
        instance.all_instigator_state()


OF_LIBRARIES = [written_by_arrow, written_by_duckdb, spilled_by_duckdb, written_by_safetensors, recorded_by_dagster]


@pytest.mark.parametrize("writes", [written_by_python, *OF_LIBRARIES])
def test_a_full_disk_is_known_whatever_writes(writes: Callable[[Path], None], small_disk: Path) -> None:
    if writes is recorded_by_dagster:
        (small_disk / "file").mkdir()
    fill(small_disk)
    with pytest.raises(Exception) as raised:
        writes(small_disk / "file")
    assert is_full(raised.value), repr(raised.value)


def test_redis_on_a_full_disk_is_found_and_stops(small_disk: Path) -> None:
    settings = Settings(home=small_disk / "home")
    client = redis_address(settings).connect(500)
    client.set("a", "1")
    filler = fill(small_disk)
    with pytest.raises(ResponseError) as raised:
        for _ in range(200):
            client.set("a", "1" * 10_000)
            time.sleep(0.01)
    assert is_full(raised.value), repr(raised.value)
    assert redis_address(settings).url, "a server that reads is there, and no other is waited for"
    filler.unlink()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with suppress(ResponseError):
            client.set("a", "2")
            break
    assert client.get("a") == b"2", "it writes again once there is space"
    folder = settings.paths.services / "redis"
    (folder / "server.pid").write_bytes(b"")  # what it leaves where it was started on a full disk
    running = RedisServer(folder).probe()
    assert running and RedisServer(folder).last_pid() == running.pid
    fill(small_disk)
    assert stop_all(settings) == ["Redis"]
    assert RedisServer(folder).last_pid() is None


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EACCES, "Permission denied"), sqlite3.OperationalError("no such table: runs"), KeyError("k")],
)
def test_other_errors_are_not_taken_for_it(error: Exception) -> None:
    assert not is_full(error)
    assert sentence(error) is None, "it keeps its traceback"


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_without_rights_is_named_with_what_to_do(number: int) -> None:
    told = sentence(OSError(number, os.strerror(number), "/home/shop/releases"))
    assert told is not None
    assert told.startswith(f"/home/shop/releases: {os.strerror(number)}.")
    assert "SHELFWISE_HOME" in told


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home")


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))


def test_the_sentence_names_the_folder_how_much_and_how_to_go_on(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, 12_000)
    told = what_to_do(settings, "[Errno 28] No space left on device")
    assert told.startswith(f"no space was left under {tmp_path} (12 KiB are free there now): free 64 MiB there"), told
    assert told.endswith("a run goes on with what is not done yet")
    spilled = what_to_do(settings, f"No space left on device: '{tmp_path}/spill/a.tmp'")
    assert spilled.startswith(f"no space was left under {tmp_path} ("), "the nearest folder that is there"


def test_a_disk_that_fails_is_not_told_as_full(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 10 * LEAST)
    told = what_to_do(settings, "(sqlite3.OperationalError) disk I/O error")
    assert "could not be read or written (640 MiB are free there now)" in told
    assert "free 64 MiB" not in told


def test_a_server_that_could_not_start_on_a_full_disk_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mendable, "get_settings", lambda: settings)
    error = ServiceError("The embedded Redis ended while starting. The end of its log:")
    assert sentence(error) == str(error)
    with_free(monkeypatch, 4_096)
    assert "no space was left under" in str(sentence(error))


@dg.op
def fills_the_disk() -> None:
    try:
        FULL.write_text("rows" * 10_000, encoding="utf-8")
    except OSError as error:
        raise RuntimeError("features were not written") from error


@needs_dev_full
def test_a_step_that_fails_for_lack_of_space_is_told_by_what_to_do(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures_module, "shop_settings", lambda: settings)
    job = dg.JobDefinition(name="one", graph_def=dg.GraphDefinition(name="one", node_defs=[fills_the_disk]))
    (told,) = failures(job.execute_in_process(raise_on_error=False).all_events)
    assert told.startswith("fills_the_disk: no space was left under ")
    assert "Errno" not in told and not says_full(told)


def test_what_a_run_takes_at_its_most_is_what_the_next_needs(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_use, "EVERY_S", 0.01)
    root = settings.paths.root
    (root / "sessions" / "dt=2026-03-01").mkdir(parents=True)
    assert (needed_bytes(settings, "retrain"), known_use(settings, "retrain")) == (None, None)
    with measured_use(settings, "retrain", "a", days=4):
        for day in range(1, 5):
            folder = root / "sessions" / f"dt=2026-03-0{day}"
            folder.mkdir(exist_ok=True)
            (folder / "part.parquet").write_bytes(os.urandom(MIB))
        (root / "checkpoint").write_bytes(os.urandom(8 * MIB))
        time.sleep(0.3)
        (root / "checkpoint").unlink()
    assert known_use(settings, "retrain") is None, "not before it is known that the run went through"
    keep_use(settings, "retrain", "another")
    assert known_use(settings, "retrain") is None
    keep_use(settings, "retrain", "a")
    use = known_use(settings, "retrain")
    assert use is not None
    assert use.most == pytest.approx(12 * MIB, rel=0.02)
    assert use.of(1) == pytest.approx(9 * MIB, rel=0.02), "a night of one day, not the first one's four"
    assert needed_bytes(settings, "retrain", 1) == pytest.approx(1.25 * 9 * MIB + LEAST, rel=0.02)
    with measured_use(settings, "retrain", "b", days=1):
        pass  # as a run that the disk stopped
    assert known_use(settings, "retrain") == use


def test_a_run_is_warned_and_refused_only_where_nothing_can_be_made(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_free(monkeypatch, disk_room.FIRST - MIB)
    assert "a first run may need more" in str(lacking_room(settings, "retrain", 1))
    settings.paths.root.mkdir(parents=True)
    with measured_use(settings, "retrain", "a", days=1):
        (settings.paths.root / "release").write_bytes(os.urandom(4 * MIB))
    keep_use(settings, "retrain", "a")
    assert lacking_room(settings, "retrain", 1) is None
    with_free(monkeypatch, LEAST + 1 * MIB)
    told = str(lacking_room(settings, "retrain", 1))
    assert told.startswith("65 MiB are free under ") and "may need 69 MiB" in told
    refuse_without_room(settings, "retrain")
    with_free(monkeypatch, LEAST - 1)
    with pytest.raises(NoRoomError, match="free as much there or make the volume larger, then run again"):
        refuse_without_room(settings, "retrain")


@needs_dev_full
def test_a_notice_that_cannot_be_stored_is_told_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(file: Path, _: object) -> None:
        FULL.write_text(str(file), encoding="utf-8")

    with receiving() as receiver:
        settings = Settings(home=tmp_path, webhook=WebhookSettings(url=SecretStr(receiver.url)))
        monkeypatch.setattr(outbox, "write_json", no_space)
        now = datetime(2026, 3, 7, 4, 5, tzinfo=UTC)
        run = EndedRun("a" * 32, "retrain", "failure", now, now, failures=("no space was left under /shops",))
        receiver.answers = [500, 500, 500]
        after_crash(settings, run)
        assert receiver.bodies == []
        for _ in range(3):
            after_crash(settings, run)
        assert [body["key"] for body in receiver.bodies] == [f"failed_run/{run.id}"]
        assert "no space was left under /shops" in receiver.bodies[0]["sentence"]


@pytest.mark.slow
def test_a_disk_that_fills_up_during_a_run(small_disk: Path) -> None:
    shop = SmallShop(small_disk / "home")
    with receiving() as receiver:
        environment = {"SHELFWISE_WEBHOOK__URL": receiver.url}
        process = shop.start("run", environment=environment)
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "user_features started" in line:
                break
        filler = fill(small_disk)
        said += process.stdout.read()
        assert process.wait() in (1, 2)
    assert "Traceback" not in said, said
    assert f"no space was left under {small_disk}" in said
    assert [("no space was left under" in body["sentence"], body["kind"]) for body in receiver.bodies] == [
        (True, "failed_run")
    ]
    refused = shop.run("run")
    assert refused.code == 2
    assert (
        "are free under" in refused.output and "nothing was begun" in refused.output and "Trace" not in refused.output
    )
    filler.unlink()
    went_on = shop.run("run")
    assert went_on.code == 0, went_on.output
    assert live_release_id(shop.settings()) is not None
    shop.run("down")
