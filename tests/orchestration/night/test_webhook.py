"""Messages reach a receiver in its shape, and one that does not take them is said without its URL."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from infra.settings import WebhookSettings
from orchestration.night import webhook
from orchestration.night.messages import LONGEST, message
from orchestration.night.notices import Notice
from orchestration.night.webhook import WebhookDownError, WebhookError, tell
from tests.orchestration.night.receiver import receiving

AT = datetime(2026, 3, 7, 4, 5, tzinfo=UTC)
NOTICE = Notice(
    "failed_run/1", "failed_run", "demo", "Run 1 failed: <a & b>.", "shelfwise run --shop demo", AT, run="1"
)


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook, "WAITS", (0.0, 0.0))


def test_json_has_all_that_is_known() -> None:
    assert message(NOTICE, "json") == {
        "key": "failed_run/1", "kind": "failed_run", "shop": "demo", "sentence": "Run 1 failed: <a & b>.",
        "command": "shelfwise run --shop demo", "at": "2026-03-07T04:05:00+00:00", "run": "1", "severity": "error",
    }  # fmt: skip


def test_slack_escapes_what_it_would_read_as_links() -> None:
    assert message(NOTICE, "slack") == {
        "text": "*demo*: failed run. Run 1 failed: &lt;a &amp; b&gt;.\n`shelfwise run --shop demo`"
    }


def test_pagerduty_gets_one_incident_per_key_and_a_summary_within_its_limit() -> None:
    long = Notice("k" * 300, "held_day", "demo", "x" * 5_000, "c", AT)
    body = message(long, "pagerduty", "R1")
    assert (body["routing_key"], body["event_action"]) == ("R1", "trigger")
    assert len(body["dedup_key"]) == 255
    assert len(body["payload"]["summary"]) == LONGEST <= 1_024
    assert body["payload"]["severity"] in {"critical", "error", "warning", "info"}
    assert body["payload"]["custom_details"]["command"] == "c"


def test_secrets_are_read_from_files_at_each_message(tmp_path: Path) -> None:
    url, key = tmp_path / "url", tmp_path / "key"
    settings = WebhookSettings(format="pagerduty", url_file=url, routing_key_file=key)
    with pytest.raises(WebhookError, match=r"url_file=.* cannot be read: FileNotFoundError"):
        tell(settings, NOTICE)
    url.write_text("hooks.example\n")
    with pytest.raises(WebhookError, match="holds is no URL"):
        tell(settings, NOTICE)
    key.write_text("first\n")
    with receiving() as receiver:
        url.write_text(f"{receiver.url}\n")
        tell(settings, NOTICE)
        key.write_text("second")
        tell(settings, NOTICE)
    assert [body["routing_key"] for body in receiver.bodies] == ["first", "second"]


@pytest.mark.parametrize(
    ("statuses", "asked", "error"),
    [
        ([503, 429], 3, None),
        ([500, 502, 503], 3, WebhookDownError),
        ([404], 1, WebhookError),
        ([302], 1, WebhookError),
    ],
)
def test_what_passes_is_tried_again_and_nothing_else(
    statuses: list[int], asked: int, error: type[WebhookError] | None
) -> None:
    with receiving() as receiver:
        receiver.answers = statuses
        settings = WebhookSettings(url=SecretStr(receiver.url))
        if error is None:
            tell(settings, NOTICE)
        else:
            with pytest.raises(error) as caught:
                tell(settings, NOTICE)
            assert type(caught.value) is error
            assert "SECRET" not in str(caught.value) and "127.0.0.1" in str(caught.value)
    assert receiver.asked == asked
    assert len(receiver.bodies) == (error is None)


def test_a_receiver_that_is_slow_or_gone_is_not_waited_for() -> None:
    with receiving() as receiver:
        receiver.slow_s = 0.5
        settings = WebhookSettings(url=SecretStr(receiver.url), timeout_seconds=0.05)
        with pytest.raises(WebhookDownError, match="TimeoutError"):
            tell(settings, NOTICE)
    with pytest.raises(WebhookDownError, match="ConnectionRefusedError") as caught:
        tell(settings, NOTICE)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"url": "hooks.example/x"}, "begins with https://"),
        ({"url": "file:///etc/passwd"}, "begins with https://"),
        ({"url": "https://a", "url_file": "b"}, "not both"),
        ({"url": "https://a", "format": "pagerduty"}, "needs its routing_key"),
    ],
)
def test_settings_that_cannot_work_are_refused(given: dict[str, str], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        WebhookSettings.model_validate(given)
