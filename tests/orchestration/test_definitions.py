"""What Dagster shows is pinned: a rename is a decision."""

from __future__ import annotations

import dagster as dg
import pytest

from infra.settings import Settings, TrainingSettings
from orchestration.assets.training import epoch_row
from orchestration.definitions import defs
from orchestration.metadata import line_plot, rounded

GROUPS = {
    "raw": {"landing", "catalog", "sessions"},
    "features": {"user_features", "item_features", "query_features", "online_features"},
    "training": {"training_set", "text_encoder", "towers", "boosting", "index_tuning", "evaluation", "release"},
    "serving": {"item_index", "live", "sample_results"},
}
DAILY = {"sessions", "user_features", "item_features", "query_features"}
BLOCKING = {
    "catalog_is_sound", "sessions_are_sound", "features_are_sound", "training_set_is_sound",
    "recall_holds", "slices_hold", "ann_recall_holds", "index_is_complete", "release_answers",
}  # fmt: skip


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
    assert {c.name for c in checks if c.blocking} == BLOCKING


def test_jobs_schedule_and_sensor() -> None:
    repository = defs.get_repository_def()
    assert {j.name for j in repository.get_all_jobs() if not j.name.startswith("__")} == {"retrain", "refresh_features"}
    assert [s.cron_schedule for s in repository.schedule_defs] == ["30 2 * * *"]
    assert [s.name for s in repository.sensor_defs] == ["new_landing_days"]


def test_features_training_and_live_wait_for_the_checks(specs: dict[str, dg.AssetSpec]) -> None:
    graph = defs.resolve_asset_graph()
    live = dg.AssetKey("live")
    upstream = (
        {k.to_user_string() for k in graph.get_ancestor_asset_keys(live)}
        if hasattr(graph, "get_ancestor_asset_keys")
        else {k.to_user_string() for k in dg.AssetSelection.assets(live).upstream().resolve(graph)}
    )
    assert {
        "sessions",
        "query_features",
        "training_set",
        "index_tuning",
        "release",
        "item_index",
        "online_features",
    } <= upstream


def test_an_epoch_shows_recall_first_and_no_objective_that_is_off() -> None:
    settings = Settings(training=TrainingSettings(weight_click=1.0, weight_fused=0.0))
    entry = {"epoch": 1, "loss": 2.0, "click": 1.5, "fused": 9.0, "seconds": 3.0, "recall@10": 0.1, "recall@100": 0.3}
    shown = epoch_row(settings, entry)
    assert list(shown) == ["epoch", "recall@10", "recall@100", "loss", "click", "seconds"]


def test_figures_have_four_digits_and_curves_a_panel_each() -> None:
    assert [rounded(figure) for figure in (0.123456, 1234.5, None)] == [0.1235, 1234.0, None]
    plot = line_plot("Recall", "epoch", {"recall@10": [0.1, 0.2], "recall@100": [0.4, 0.3]}, (1, "best"))
    assert plot.value.startswith("![Recall](data:image/png;base64,")
