"""The compose file: its settings exist, what it mounts is there, and a run in a container gets what the daemon has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.settings import Settings
from orchestration.instance import DAGSTER_YAML

FOLDER = Path(__file__).parents[2] / "infra" / "deploy" / "compose"
COMPOSE: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
DAGSTER: dict[str, Any] = yaml.safe_load((FOLDER / "dagster.yaml").read_text(encoding="utf-8"))
OURS = [name for name, service in SERVICES.items() if "shelfwise:" in service["image"]]
MADE_BY_YOU = FOLDER / "secrets"


def settings_of(service: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, value in service["environment"].items() if name.startswith("SHELFWISE_")}


@pytest.mark.parametrize("name", OURS)
def test_its_variables_are_settings(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for variable, value in settings_of(SERVICES[name]).items():
        monkeypatch.setenv(variable, value)
    settings = Settings()
    assert settings.index.uri == "http://milvus:19530"
    assert settings.online.redis_url is not None
    assert SERVICES[name]["environment"]["DAGSTER_HOME"] == str(settings.paths.dagster)


@pytest.mark.parametrize("name", OURS)
def test_ours_write_nowhere_but_in_the_volume(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["user"] == "10001:10001"
    assert service["cap_drop"] == ["ALL"]


def test_mounted_files_are_there() -> None:
    mounts = [mount.split(":")[0] for service in SERVICES.values() for mount in service.get("volumes", ())]
    files = {mount for mount in mounts if mount.startswith(".")}
    assert files
    # A folder that is not there is mounted as an empty one, a file as a folder.
    assert not [file for file in files if not (FOLDER / file).exists()]
    assert {mount for mount in mounts if mount[0] not in ".$/"} <= set(COMPOSE["volumes"])


def test_secrets_are_files_that_git_does_not_keep() -> None:
    asked = {secret for service in SERVICES.values() for secret in service.get("secrets", ())}
    assert asked == set(COMPOSE["secrets"])
    assert all((FOLDER / secret["file"]).parent == MADE_BY_YOU for secret in COMPOSE["secrets"].values())
    assert (MADE_BY_YOU / ".gitignore").read_text(encoding="utf-8").startswith("*\n")


def test_who_is_waited_for_is_there_and_says_when() -> None:
    for service in SERVICES.values():
        needs = service.get("depends_on", {})
        assert set(needs) <= set(SERVICES)
        healthy = [other for other in needs if isinstance(needs, dict) and "healthy" in needs[other]["condition"]]
        assert all("healthcheck" in SERVICES[other] for other in healthy)


def test_a_run_in_a_container_is_as_the_daemon_is() -> None:
    launcher = DAGSTER["run_launcher"]["config"]
    daemon = SERVICES["daemon"]["environment"]
    assert set(launcher["env_vars"]) == set(daemon) - {"DAGSTER_CURRENT_IMAGE"}
    assert launcher["network"] == COMPOSE["networks"]["default"]["name"]
    volume, folder = launcher["container_kwargs"]["volumes"][0].split(":")
    assert volume == COMPOSE["volumes"]["home"]["name"]
    assert folder == daemon["SHELFWISE_HOME"]


def test_dagster_is_otherwise_as_on_a_laptop() -> None:
    laptop = yaml.safe_load(DAGSTER_YAML)
    assert {name: DAGSTER[name] for name in laptop} == laptop


def test_prometheus_scrapes_services_and_reads_the_rules() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))
    targets = [target for job in config["scrape_configs"] for one in job["static_configs"] for target in one["targets"]]
    assert {target.split(":")[0] for target in targets} == {"api-1", "api-2", "night-metrics"}
    mounted = {mount.split(":")[1] for mount in SERVICES["prometheus"]["volumes"] if mount.startswith(".")}
    assert set(config["rule_files"]) <= mounted
