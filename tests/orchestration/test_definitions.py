"""What Dagster shows is pinned: a rename is a decision."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.execution.api import create_execution_plan

from infra.settings import TrainingSettings
from orchestration.assets.training import epoch_row
from orchestration.definitions import defs
from orchestration.metadata import line_plot, rounded

GROUPS = {
    "raw": {"landing", "catalog", "sessions"},
    "features": {"user_features", "item_features", "query_features", "accepted_days", "online_features"},
    "training": {
        "training_set",
        "text_encoder",
        "towers",
        "quality_prior",
        "ranker",
        "index_tuning",
        "evaluation",
        "release",
    },
    "serving": {"catalog_release", "item_index", "live", "sample_results"},
}
DAILY = {"landing", "sessions", "user_features", "item_features", "query_features"}
FEATURES = {"user_features", "item_features", "query_features"}
BLOCKING = {
    "catalog_is_sound": FEATURES | {"sessions", "training_set", "text_encoder", "towers", "catalog_release"},
    "sessions_are_sound": FEATURES | {"accepted_days"},
    "features_are_sound": {"accepted_days"},
    "training_set_is_sound": {"text_encoder", "towers"},
    "recall_holds": {"item_index"},
    "slices_hold": {"item_index"},
    "ann_recall_holds": {"live"},
    "index_is_complete": {"live"},
    "release_answers": {"live"},
}
"""The checks that block, and the assets that wait for each."""


@pytest.fixture(scope="module")
def specs() -> dict[str, dg.AssetSpec]:
    return {spec.key.to_user_string(): spec for spec in defs.resolve_all_asset_specs()}


def test_assets_and_groups(specs: dict[str, dg.AssetSpec]) -> None:
    groups: dict[str, set[str]] = {}
    for name, spec in specs.items():
        groups.setdefault(spec.group_name or "", set()).add(name)
    assert groups == GROUPS


def test_every_asset_says_what_it_is_and_whose(specs: dict[str, dg.AssetSpec]) -> None:
    bare = [n for n, s in specs.items() if not (s.description and s.owners and s.kinds)]
    assert bare == []


def test_daily_partitions(specs: dict[str, dg.AssetSpec]) -> None:
    assert {n for n, s in specs.items() if s.partitions_def is not None} == DAILY


def test_checks_block() -> None:
    checks = [spec for d in defs.asset_checks or [] for spec in d.check_specs]  # type: ignore[union-attr]
    assert {c.name for c in checks if c.blocking} == set(BLOCKING)


def test_jobs_schedule_and_sensor() -> None:
    repository = defs.get_repository_def()
    jobs = {j.name for j in repository.get_all_jobs() if not j.name.startswith("__")}
    assert jobs == {"retrain", "refresh_features", "release_catalog"}
    assert [s.cron_schedule for s in repository.schedule_defs] == ["30 2 * * *"]
    assert {s.name for s in repository.sensor_defs} == {"new_landing_days", "night_watch"}


ON = """
from orchestration.definitions import defs
repository = defs.get_repository_def()
(night,) = repository.schedule_defs
print(night.cron_schedule, night.execution_timezone, night.default_status.value)
print(*sorted(f"{s.name} {s.default_status.value}" for s in repository.sensor_defs), sep="\\n")
"""


@pytest.mark.parametrize(
    ("night", "told"),
    [
        ({}, ["30 2 * * * UTC STOPPED", "new_landing_days STOPPED", "night_watch RUNNING"]),
        (
            {"SCHEDULED": "true", "AT": "23:05", "TIME_ZONE": "Europe/Berlin"},
            ["5 23 * * * Europe/Berlin RUNNING", "new_landing_days RUNNING", "night_watch RUNNING"],
        ),
    ],
)
def test_the_schedule_is_as_the_settings_have_it(tmp_path: Path, night: dict[str, str], told: list[str]) -> None:
    named = {f"SHELFWISE_NIGHT__{name}": value for name, value in night.items()}
    environment = os.environ | named | {"SHELFWISE_HOME": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", ON], env=environment, check=True, capture_output=True, text=True)
    assert ran.stdout.splitlines()[-3:] == told


def test_features_training_and_live_wait_for_the_checks(specs: dict[str, dg.AssetSpec]) -> None:
    waits = create_execution_plan(defs.resolve_job_def("retrain")).get_executable_step_deps()
    keys = defs.resolve_asset_graph().asset_check_keys
    steps = {key.name: f"{key.asset_key.to_user_string()}_{key.name}" for key in keys}
    assert {name: {asset for asset in specs if step in waits[asset]} for name, step in steps.items()} == BLOCKING
    before_live = {"live"}
    while further := {step for known in before_live for step in waits[known]} - before_live:
        before_live |= further
    assert set(steps.values()) <= before_live


def test_an_epoch_shows_recall_first_and_no_objective_that_is_off() -> None:
    training = TrainingSettings(weight_click=1.0, weight_fused=0.0)
    entry = {"epoch": 1, "loss": 2.0, "click": 1.5, "fused": 9.0, "seconds": 3.0, "recall@10": 0.1, "recall@100": 0.3}
    shown = epoch_row(training, entry)
    assert list(shown) == ["epoch", "recall@10", "recall@100", "loss", "click", "seconds"]


def test_figures_have_four_digits_and_curves_a_panel_each() -> None:
    assert [rounded(figure) for figure in (0.123456, 1234.5, None)] == [0.1235, 1234.0, None]
    plot = line_plot("Recall", "epoch", {"recall@10": [0.1, 0.2], "recall@100": [0.4, 0.3]}, (1, "best"))
    assert plot.value.startswith("![Recall](data:image/png;base64,")
