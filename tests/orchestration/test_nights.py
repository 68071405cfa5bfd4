"""Which days the nightly run and the sensor ask for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from features import day_report
from features.build_sessions import build_sessions
from features.landing import day_files
from infra.run_lock import one_run
from infra.settings import Settings
from orchestration import partitions, run_lock, sensors
from orchestration.definitions import defs
from orchestration.partitions import DAYS, range_tags
from orchestration.schedules import nightly_retrain
from orchestration.sensors import LANDED, new_landing_days
from tests.features import raw_log

FIRST = date.fromisoformat(DAYS.get_partition_keys()[0])
LOG = [FIRST + timedelta(days=n) for n in range(4)]


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A shop with four landed days, none of them built."""
    logs = tmp_path / "logs"
    for day in LOG:
        (logs / f"dt={day}").mkdir(parents=True)
        (logs / f"dt={day}" / "ubi_queries.ndjson").write_text("{}\n")
    (logs / "catalog.ndjson").write_text("{}\n")
    settings = Settings(home=tmp_path / "home", landing=str(logs))
    monkeypatch.setattr(partitions, "get_settings", lambda: settings)
    for module in (partitions, run_lock, sensors):
        monkeypatch.setattr(module, "shop_settings", lambda: settings)
    return settings


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> set[date]:
    """The days that count as built; a test adds to it."""
    days: set[date] = set()
    monkeypatch.setattr(partitions, "is_built", lambda settings, files: files.day in days)
    return days


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def night(instance: dg.DagsterInstance) -> dict[str, str]:
    """Tags of the run that the schedule asks for."""
    at = datetime(2026, 11, 3, 2, 30, tzinfo=UTC)
    (request,) = nightly_retrain.evaluate_tick(
        dg.build_schedule_context(instance, scheduled_execution_time=at)
    ).run_requests or [None]
    assert request is not None and request.run_key is None
    return dict(request.tags)


def asked(instance: dg.DagsterInstance) -> dict[str, str]:
    """Tags of the run that the sensor asks for; none where it skips."""
    with dg.build_sensor_context(instance, repository_def=defs.get_repository_def()) as context:
        requests = new_landing_days.evaluate_tick(context).run_requests or []
    assert [request.run_key for request in requests] in ([], [None])
    return dict(requests[0].tags) if requests else {}


def refused(shop: Settings, instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    """The run that was asked for, while another has the shop."""
    job = defs.resolve_job_def("refresh_features")
    with one_run(shop):
        assert not job.execute_in_process(instance=instance, tags=tags, raise_on_error=False).success


def test_a_night_runs_every_day_that_is_not_built(
    shop: Settings, built: set[date], instance: dg.DagsterInstance
) -> None:
    built.update({LOG[0], LOG[2]})
    tags = night(instance)
    assert range_tags(LOG[1], LOG[3]).items() <= tags.items()
    assert tags["dagster/schedule_name"] == "nightly_retrain"
    built.update(LOG)
    assert range_tags(LOG[3], LOG[3]).items() <= night(instance).items()


def test_a_night_leaves_a_day_that_is_not_over(
    shop: Settings, built: set[date], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    days = dg.DailyPartitionsDefinition(start_date=str(FIRST), end_date=str(LOG[3]))
    monkeypatch.setattr(partitions, "DAYS", days)
    assert range_tags(LOG[0], LOG[2]).items() <= night(instance).items()
    assert range_tags(LOG[0], LOG[2]).items() <= asked(instance).items()


def test_the_sensor_asks_again_after_a_failure(
    shop: Settings, built: set[date], instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.add(LOG[0])
    tags = asked(instance)
    assert range_tags(LOG[1], LOG[3]).items() <= tags.items()
    refused(shop, instance, tags)
    assert asked(instance) == {}, "not at once on the same files"
    with (Path(str(shop.landing)) / f"dt={LOG[3]}" / "ubi_queries.ndjson").open("a") as file:
        file.write("{}\n")
    assert asked(instance)[LANDED] != tags[LANDED]
    monkeypatch.setattr(sensors, "AGAIN_AFTER", timedelta(0))
    assert range_tags(LOG[1], LOG[3]).items() <= asked(instance).items()
    built.update(LOG)
    assert range_tags(LOG[1], LOG[3]).items() <= asked(instance).items(), "sessions stand, the rest may not"
    held = {LOG[2]}
    monkeypatch.setattr(sensors, "read_report", lambda settings, day: SimpleNamespace(held=day in held))
    assert range_tags(LOG[3], LOG[3]).items() <= asked(instance).items(), "a held day would stop it again"
    held.add(LOG[3])
    assert asked(instance) == {}


def test_the_sensor_waits_for_a_run(shop: Settings, built: set[date], instance: dg.DagsterInstance) -> None:
    with one_run(shop):
        assert asked(instance) == {}
    tags = asked(instance)
    job = defs.resolve_job_def("refresh_features")
    run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTING)
    assert asked(instance) == {}
    instance.report_run_canceled(run)
    built.update(LOG)
    assert asked(instance) == {}


def test_a_day_is_built_until_its_files_or_the_code_are_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = raw_log.shop(tmp_path)
    folder = raw_log.land(settings, [raw_log.query("q1")], [raw_log.event("click", "a", query_id="q1")])

    def is_built() -> bool:
        return partitions.is_built(settings, day_files(settings, raw_log.DAY))

    assert not is_built()
    build_sessions(settings, [raw_log.DAY])
    assert is_built()
    os.utime(folder / "ubi_queries.ndjson", (1e9, 1e9))
    assert is_built(), "the same content, copied again"
    with monkeypatch.context() as patch:
        patch.setattr(day_report, "VERSION", day_report.VERSION + 1)
        assert not is_built()
    (folder / "ubi_events.ndjson").write_text("")
    assert not is_built()
