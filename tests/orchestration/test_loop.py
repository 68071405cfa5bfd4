"""The whole loop on a small shop, as a user runs it."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
import pytest

from orchestration.dead_runs import IN_PROGRESS
from serving import Retriever
from serving.index import live_release_id
from tests.orchestration.conftest import DAYS, SmallShop

pytestmark = pytest.mark.slow

BROKEN = DAYS[-1]


def tables(root: Path) -> dict[str, object]:
    """Every feature and session table, by its place."""
    return {
        str(path.relative_to(root)): pq.read_table(path)
        for room in ("sessions", "features", "training_set")
        for path in sorted((root / room).rglob("*.parquet"))
    }


def break_rows(file: Path, share: float) -> None:
    """Take the time out of a share of the rows."""
    rows = pq.read_table(file)
    broken = int(rows.num_rows * share)
    times = [None] * broken + rows["timestamp"].to_pylist()[broken:]
    at = rows.schema.get_field_index("timestamp")
    pq.write_table(rows.set_column(at, "timestamp", [times]), file)


def test_release_is_live_and_answers(demo_shop: SmallShop) -> None:
    settings = demo_shop.settings()
    with Retriever(settings) as retriever:
        answer = retriever.retrieve(None, "shoes", k=10)
        assert len(answer.hits) == 10
        assert answer.release_id == live_release_id(settings)
        assert answer.fallbacks == []


def test_search_command(demo_shop: SmallShop) -> None:
    ran = demo_shop.run("search", "shoes", "-k", "3")
    assert ran.code == 0, ran.output
    assert "personalized: no" in ran.output
    refused = demo_shop.run("search", "x" * 2_000)
    assert refused.code == 2
    assert "query" in refused.output
    nothing = demo_shop.run("search", "?!")
    assert nothing.code == 0, nothing.output
    assert "Nothing was searched for" in nothing.output


def test_missing_folder_is_a_clear_error(new_shop: Callable[[], SmallShop]) -> None:
    shop = new_shop()
    ran = shop.run("run", "--data", str(shop.home / "nothing-here"))
    assert ran.code == 2
    assert "no such folder" in ran.output


def test_retriever_answers_while_another_process_retrains_and_promotes(demo_shop: SmallShop) -> None:
    settings = demo_shop.settings()
    before = live_release_id(settings)
    with Retriever(settings) as retriever:
        ended = threading.Event()
        answers, errors = [], []

        def ask() -> None:
            while not ended.is_set():
                try:
                    answers.append(retriever.retrieve("nobody", "shoes", k=5))
                except Exception as error:
                    errors.append(error)
                time.sleep(0.02)

        asking = threading.Thread(target=ask)
        asking.start()
        try:
            ran = demo_shop.run("run", "--days", DAYS[-1], environment={"SHELFWISE_TRAINING__LEARNING_RATE": "0.0017"})
            after = live_release_id(settings)
            deadline = time.monotonic() + 30
            while answers[-1].release_id != after and time.monotonic() < deadline:
                time.sleep(0.1)
        finally:
            ended.set()
            asking.join()
    assert ran.code == 0, ran.output
    assert after != before
    assert errors == []
    assert all(len(answer.hits) == 5 for answer in answers)
    assert [release for release, _ in groupby(answer.release_id for answer in answers)] == [before, after]


def test_broken_day_stops_and_repaired_day_is_as_if_never_broken(
    demo_shop: SmallShop, new_shop: Callable[[], SmallShop]
) -> None:
    good = demo_shop.settings().paths
    shop = new_shop()
    given = shop.home / "logs"
    shutil.copytree(good.landing, given)
    settings = shop.settings(given)
    assert shop.run("run", "--data", str(given), "--days", f"{DAYS[0]}:{DAYS[-2]}").code == 0
    live = live_release_id(settings)
    assert live is not None

    whole = (given / f"dt={BROKEN}" / "ubi_queries.parquet").read_bytes()
    break_rows(given / f"dt={BROKEN}" / "ubi_queries.parquet", 0.3)
    break_rows(given / f"dt={BROKEN}" / "ubi_events.parquet", 0.3)
    stopped = shop.run("run", "--data", str(given), "--days", BROKEN)
    assert stopped.code == 1
    assert "sessions_are_sound" in stopped.output
    assert live_release_id(settings) == live
    paths = settings.paths
    assert not list(paths.sessions.glob(f"*/dt={BROKEN}"))
    assert not list(paths.features.glob(f"*/dt={BROKEN}"))

    (given / f"dt={BROKEN}" / "ubi_queries.parquet").write_bytes(whole)
    shutil.copy(good.landing / f"dt={BROKEN}" / "ubi_events.parquet", given / f"dt={BROKEN}" / "ubi_events.parquet")
    repaired = shop.run("run", "--data", str(given), "--days", BROKEN)
    assert repaired.code == 0, repaired.output

    expected, found = tables(good.root), tables(paths.root)
    assert found.keys() == expected.keys()
    different = [name for name in expected if not expected[name].equals(found[name])]  # type: ignore[attr-defined]
    assert different == []


@pytest.mark.parametrize("step", ["online_features"])
def test_killed_in_the_middle_the_next_run_completes(demo_shop: SmallShop, step: str) -> None:
    settings = demo_shop.settings()
    before = live_release_id(settings)
    process = demo_shop.start("run", "--days", DAYS[-1])
    assert process.stdout is not None
    for line in process.stdout:
        if f"{step} started" in line:
            process.send_signal(signal.SIGKILL)
            break
    process.wait(timeout=60)
    assert process.returncode == -signal.SIGKILL
    with Retriever(settings) as retriever:
        assert retriever.retrieve(None, "shoes", k=10).release_id == before
        assert len(retriever.retrieve(None, "shoes", k=600).hits) >= 600
    ran = demo_shop.run("run", "--days", DAYS[-1])
    assert ran.code == 0, ran.output
    assert "Catalogue of 720 items: title 720" in ran.output
    assert "Logs of 1 day: " in ran.output
    with dg.DagsterInstance.from_config(str(settings.paths.dagster)) as instance:
        assert instance.get_runs(dg.RunsFilter(job_name="retrain", statuses=IN_PROGRESS)) == []
