"""The alert rules: each fires and resolves by promtool, reads what is exported, and has its place in the runbook."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from starlette.testclient import TestClient
from typer.main import get_command

from infra.settings import ServingSettings, Settings
from orchestration.cli import app
from orchestration.night.ended_run import EndedRun, Step
from orchestration.night.figures import write_figures
from orchestration.night.textfile import figures_file
from serving.api.app import create_app
from serving.index import promote, push
from tests.serving.api.conftest import LOCAL, OPEN, wait_until_ready
from tests.serving.small_shop import make_shop, publish_user

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "infra" / "deploy" / "prometheus"
RULES, CASES = FOLDER / "alerts.yml", FOLDER / "alerts_test.yml"
RUNBOOK = ROOT / "docs" / "runbook.md"
OURS = re.compile(r"\b(?:shelfwise|process)_\w+")
NOT_OURS = {"process_resident_memory_bytes"}
"""Of prometheus_client, on Linux."""


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


ALERTS = [rule["alert"] for rule in rules()]


def sections() -> dict[str, str]:
    """The runbook's text by alert."""
    parts = re.split(r"^## (\w+)$", RUNBOOK.read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool here: Debian has it in the package prometheus"
)
@pytest.mark.parametrize("arguments", [["check", "rules", "--lint-fatal", RULES.name], ["test", "rules", CASES.name]])
def test_promtool_agrees(arguments: list[str]) -> None:
    ran = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    cases: dict[str, set[bool]] = {alert: set() for alert in ALERTS}
    for test in yaml.safe_load(CASES.read_text(encoding="utf-8"))["tests"]:
        for case in test["alert_rule_test"]:
            cases[case["alertname"]].add(bool(case["exp_alerts"]))
    assert all(fires == {True, False} for fires in cases.values()), cases


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A shop whose release is live."""
    quick = ServingSettings(refresh_seconds=0.2)
    shop = make_shop(tmp_path_factory.mktemp("alerts"), items=50, serving=quick, api=OPEN)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0"], orders=["i0"])
    push(shop.settings, shop.release())
    promote(shop.settings, shop.release().id)
    return shop.settings


@pytest.fixture(scope="module")
def exported(settings: Settings) -> Iterator[set[str]]:
    """Names that a server which answered a search and a night that succeeded export."""
    with TestClient(create_app(settings), base_url=LOCAL) as client:
        wait_until_ready(client)
        assert client.post("/search", json={"query": "shoes"}).status_code == 200
        served = client.get("/metrics").text
    now = datetime.now(UTC)
    night = EndedRun("1", "retrain", "success", now, now, steps=(Step("live", "success", 1.0),))
    write_figures(settings, [night], {"retrain": now})
    left = figures_file(settings).read_text(encoding="utf-8")
    yield {re.split(r"[{ ]", line)[0] for line in (served + left).splitlines() if line and not line.startswith("#")}


@pytest.mark.parametrize("rule", rules(), ids=ALERTS)
def test_an_alert_reads_what_is_exported(rule: dict[str, Any], exported: set[str]) -> None:
    assert len(exported) > 20
    read = set(OURS.findall(rule["expr"]))
    assert read and read <= exported | NOT_OURS, read - exported


def test_the_labels_that_alerts_choose_by_are_those_of_the_code(settings: Settings, exported: set[str]) -> None:
    left = figures_file(settings).read_text(encoding="utf-8")
    assert 'shelfwise_run_ended_timestamp_seconds{job_name="retrain",shop="' in left


def test_the_runbook_has_a_section_per_alert_and_no_other() -> None:
    assert list(sections()) == ALERTS
    for rule in rules():
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"


@pytest.mark.parametrize("alert", ALERTS)
def test_a_section_says_what_it_means_where_to_look_and_what_to_do(alert: str) -> None:
    for part in ("**Means.**", "**Look.**", "**Do.**"):
        assert part in sections()[alert]


def test_the_commands_of_the_runbook_exist() -> None:
    """Each ``shelfwise`` command that a section names, with its options."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    named = re.findall(r"`shelfwise ([a-z]+)([^`\n]*)`", RUNBOOK.read_text(encoding="utf-8"))
    assert len(named) > 15
    for name, rest in named:
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"--[a-z-]+", rest)) <= options, (name, rest)


def test_the_settings_of_the_runbook_exist() -> None:
    page = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    named = set(re.findall(r"SHELFWISE_[A-Z_]+", RUNBOOK.read_text(encoding="utf-8")))
    assert named and not [name for name in named if f"`{name}`" not in page]
