"""The sensor, evaluated by Dagster's own API over runs that failed: each thing reaches a real receiver once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr

from infra.contract.partitions import write_json
from infra.run_lock import one_run
from infra.settings import NightSettings, Settings, WebhookSettings
from orchestration import run_lock, sensors
from orchestration.definitions import defs
from orchestration.instance import DAGSTER_YAML
from orchestration.night import history, webhook
from orchestration.night.ended_run import EndedRun, FailedCheck
from orchestration.night.notices import of_run
from orchestration.night.textfile import figures_file
from orchestration.night.watch import after_run, look
from orchestration.partitions import range_tags
from orchestration.sensors import night_watch
from tests.orchestration.night.receiver import Receiver, receiving

Tick = Callable[[], dg.SkipReason]
DAYS = range_tags(date(2026, 3, 1), date(2026, 3, 2))


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setattr(webhook, "WAITS", (0.0, 0.0))
    with receiving() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Settings:
    found = Settings(
        home=tmp_path / "home",
        webhook=WebhookSettings(url=SecretStr(receiver.url)),
        night=NightSettings(scheduled=True, at=time(0, 0)),
    )
    for module in (run_lock, sensors):
        monkeypatch.setattr(module, "shop_settings", lambda: found)
    return found


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Where Dagster keeps its runs: it outlives an instance, as it does a restart."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(DAGSTER_YAML)
    return tmp_path / "dagster"


@pytest.fixture
def instance(home: Path) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(home)) as found:
        yield found


def tick(instance: dg.DagsterInstance, cursor: str | None = None) -> tuple[str, str | None]:
    """One evaluation of the sensor: why it asks for no run, and its cursor."""
    with dg.build_sensor_context(instance, cursor=cursor, repository_def=defs.get_repository_def()) as context:
        result = night_watch.evaluate_tick(context)
    assert not result.run_requests
    return result.skip_message or "", result.cursor


def failed_run(settings: Settings, instance: dg.DagsterInstance) -> str:
    """A run that fails since another has the shop; its id."""
    with one_run(settings):
        result = defs.resolve_job_def("refresh_features").execute_in_process(
            instance=instance, tags=DAYS, raise_on_error=False
        )
    assert not result.success
    return result.run_id


def test_a_failed_run_is_told_once_across_restarts(
    settings: Settings, home: Path, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    run_id = failed_run(settings, instance)
    said, cursor = tick(instance)
    assert said == "Everything is told."
    (body,) = receiver.bodies
    assert (body["kind"], body["run"], body["shop"]) == ("failed_run", run_id, "demo")
    assert "Another run works on shop demo: wait for it to end, or stop it." in body["sentence"]
    assert body["command"] == "shelfwise run --shop demo"
    tick(instance, cursor)
    with dg.DagsterInstance.from_config(str(home)) as restarted:
        tick(restarted)
    assert len(receiver.bodies) == 1
    failed_run(settings, instance)
    tick(instance, cursor)
    assert len(receiver.bodies) == 2, "another run is another event"


def test_a_webhook_that_is_down_loses_nothing_and_breaks_nothing(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.answers = [503] * 3
    run_id = failed_run(settings, instance)
    after_run(settings, instance)
    assert receiver.asked == 3 and receiver.bodies == []
    assert "answered 503" in caplog.text and "SECRET" not in caplog.text
    assert tick(instance)[0] == "1 notices wait for the webhook."
    assert look(settings, instance, datetime.now(UTC) + timedelta(seconds=31)) == 0
    assert [body["run"] for body in receiver.bodies] == [run_id]


def test_figures_that_cannot_be_written_keep_nobody_from_being_told(
    settings: Settings,
    instance: dg.DagsterInstance,
    receiver: Receiver,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    (tmp_path / "file").touch()
    night = settings.night.model_copy(update={"metrics_file": tmp_path / "file" / "night.prom"})
    failed_run(settings, instance)
    after_run(settings.model_copy(update={"night": night}), instance)
    assert "its figures were not written" in caplog.text
    assert len(receiver.bodies) == 1


def test_nothing_goes_out_of_a_run_that_succeeded_was_stopped_or_will_be_retried(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    @dg.op
    def nothing() -> None:
        pass

    @dg.job
    def fine() -> None:
        nothing()

    assert fine.execute_in_process(instance=instance).success
    stopped = instance.create_run_for_job(fine, status=dg.DagsterRunStatus.STARTED)
    instance.report_run_canceled(stopped)
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("ours"), "all"), "fine")
    again = instance.create_run_for_job(fine, status=dg.DagsterRunStatus.STARTED, remote_job_origin=origin)
    instance.report_run_failed(again, "The process of this run was killed.")
    found = instance.get_run_by_id(again.run_id)
    assert found is not None and found.tags[history.WILL_RETRY] == "true", "as Dagster itself decided by our instance"
    tick(instance)
    assert receiver.asked == 0


def test_no_webhook_no_outbox(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    failed_run(settings, instance)
    assert look(settings.model_copy(update={"webhook": WebhookSettings()}), instance, datetime.now(UTC)) == 0
    assert not settings.paths.notices.exists()


def test_a_night_without_a_run_is_told_once(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    look(settings, instance, midnight - timedelta(hours=1))
    look(settings, instance, midnight + timedelta(hours=5, minutes=59))
    assert receiver.asked == 0, "the night before the first look is no concern, and this one has until six"
    for minutes in (1, 2):
        look(settings, instance, midnight + timedelta(hours=6, minutes=minutes))
    (body,) = receiver.bodies
    assert body["kind"] == "missed_night" and "no run was started" in body["sentence"]
    assert f"{midnight:%Y-%m-%d} 00:00 UTC" in body["sentence"]


@pytest.mark.parametrize("ended", [True, False])
def test_a_night_is_missed_until_its_run_has_ended(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver, ended: bool
) -> None:
    now = datetime.now(UTC)
    at = (now - timedelta(minutes=2)).time().replace(second=0, microsecond=0)
    night = NightSettings(scheduled=True, at=at, ended_within=timedelta(seconds=1))
    settings = settings.model_copy(update={"night": night})
    look(settings, instance, now - timedelta(hours=1))
    run = instance.create_run_for_job(defs.resolve_job_def("retrain"), status=dg.DagsterRunStatus.STARTED)
    if ended:
        instance.report_run_canceled(run)
    look(settings, instance, now)
    assert [body["sentence"].partition(" later ")[2] for body in receiver.bodies] == (
        [] if ended else ["its run has not ended: it still works, or waits in Dagster's queue."]
    )


def test_nothing_is_missed_where_the_schedule_is_off(
    settings: Settings, instance: dg.DagsterInstance, receiver: Receiver
) -> None:
    off = settings.model_copy(update={"night": NightSettings(at=time(0, 0))})
    now = datetime.now(UTC)
    look(off, instance, now - timedelta(days=3))
    assert history.scheduled_since(instance, None) is None
    look(off, instance, now)
    assert receiver.asked == 0


def test_an_old_live_release_is_told_once(settings: Settings, instance: dg.DagsterInstance, receiver: Receiver) -> None:
    now = datetime.now(UTC)
    folder = settings.paths.releases / "aaaa"
    write_json(folder / "manifest.json", {})
    write_json(folder / "clock.json", {"trained_at": (now - timedelta(hours=36)).isoformat()})
    write_json(settings.paths.releases / "live.json", {"id": "aaaa"})
    look(settings, instance, now - timedelta(hours=1))
    assert receiver.asked == 0
    for minutes in (1, 2, 3):
        look(settings, instance, now + timedelta(minutes=minutes))
    (body,) = [body for body in receiver.bodies if body["key"].startswith("old_live")]
    assert body["release"] == "aaaa" and "was trained 36 h ago" in body["sentence"]
    assert body["command"] == "shelfwise releases --shop demo"


def test_the_figures_of_a_failed_run_are_there_after_it(settings: Settings, instance: dg.DagsterInstance) -> None:
    began = datetime.now(UTC)
    failed_run(settings, instance)
    _, cursor = tick(instance)
    file = figures_file(settings)
    found = {
        sample.name: sample for family in text_string_to_metric_families(file.read_text()) for sample in family.samples
    }
    ended = found["shelfwise_run_ended_timestamp_seconds"]
    assert ended.labels == {"shop": "demo", "job_name": "refresh_features"}
    assert began.timestamp() - 1 < ended.value <= datetime.now(UTC).timestamp()
    assert found["shelfwise_run_succeeded"].value == 0.0
    assert found["shelfwise_days_held"].value == 0.0
    assert "shelfwise_run_succeeded_timestamp_seconds" not in found
    assert sorted(path.name for path in file.parent.iterdir()) == ["night.prom"], "no half-written file beside it"
    stamp = file.stat().st_mtime_ns
    tick(instance, cursor)
    assert file.stat().st_mtime_ns == stamp, "written when a run ended, not at each tick"


def test_a_run_is_told_by_what_stopped_it(settings: Settings) -> None:
    def run(check: str, sentence: str) -> EndedRun:
        at = datetime(2026, 3, 7, tzinfo=UTC)
        return EndedRun("1234567890", "retrain", "failure", at, at, failed_checks=(FailedCheck(check, "a", sentence),))

    held, other = of_run(settings, run("sessions_are_sound", "held.")), of_run(settings, run("catalog_is_sound", "x"))
    blocked = of_run(settings, run("recall_holds", "worse."))
    assert held and other and blocked
    assert (held.kind, held.sentence) == ("held_day", "held.")
    assert held.command == f"shelfwise check {settings.paths.landing} --shop demo"
    assert blocked.kind == "blocked_release" and blocked.sentence.endswith("what was live stays live: worse.")
    assert other.kind == "failed_run"
    given = settings.model_copy(update={"landing": "s3://logs/my shop", "shop": "a"})
    again = of_run(given, run("sessions_are_sound", "held."))
    assert again and again.key == held.key, "the next night over the same day is no news"
    assert again.command == "shelfwise check 's3://logs/my shop' --shop a"
