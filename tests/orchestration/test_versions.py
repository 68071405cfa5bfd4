"""Dagster is told what is current: code and data versions, and values from step to step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from orchestration.definitions import defs
from orchestration.values import CandidateRelease, IndexedRelease, json_values
from orchestration.versions import CODE_VERSIONS, code_version
from tests.orchestration.conftest import DAYS, SmallShop

State = dict[str, dict[str, Any]]
CHANGED = DAYS[2]
DAILY = ("landing", "sessions", "user_features", "item_features", "query_features")


def state(shop: SmallShop, *arguments: str) -> State:
    ran = shop.run(*arguments, module="tests.orchestration.dagster_state")
    assert ran.code == 0, ran.output
    return dict(json.loads(ran.output.rpartition("\nSTATE ")[2]))


def versions(found: State) -> dict[str, str]:
    return {name: entry["version"] for name, entry in found.items() if "version" in entry}


def stale(found: State) -> dict[str, list[str]]:
    return {name: entry["stale"] for name, entry in found.items() if entry.get("stale")}


def test_every_asset_tells_the_version_of_its_code() -> None:
    told = {spec.key.to_user_string(): spec.code_version for spec in defs.resolve_all_asset_specs()}
    assert told == {name: code_version(name) for name in CODE_VERSIONS}
    assert None not in told.values()


@dg.asset
def written() -> dg.MaterializeResult[IndexedRelease]:
    return dg.MaterializeResult(value=IndexedRelease("65757b8cd905", "key", "items_65757b8cd905"))


@dg.asset
def read(written: CandidateRelease) -> dg.MaterializeResult:
    return dg.MaterializeResult(metadata={"id": written.id})


@pytest.fixture
def materialize(tmp_path: Path) -> Callable[..., dg.ExecuteInProcessResult]:
    """Each call is a process of its own to the IO manager: nothing is kept in memory."""

    def run(*assets: dg.AssetsDefinition) -> dg.ExecuteInProcessResult:
        with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
            return dg.materialize(
                [written, read],
                selection=list(assets),
                instance=instance,
                resources={"io_manager": json_values},
                raise_on_error=False,
            )

    return run


@pytest.mark.slow
def test_a_step_alone_reads_what_the_step_before_it_came_to(
    materialize: Callable[..., dg.ExecuteInProcessResult], tmp_path: Path
) -> None:
    assert not materialize(read).success
    assert materialize(written).success
    result = materialize(read)
    (event,) = result.asset_materializations_for_node("read")
    assert event.metadata["id"].value == "65757b8cd905"
    (file,) = (tmp_path / "storage" / "values").iterdir()
    file.write_text('{"id": 5}')
    failed = materialize(read)
    said = next(e.step_failure_data.error for e in failed.all_events if e.is_step_failure)
    assert said is not None and "materialize written, then what follows from it" in said.to_string()


@pytest.mark.slow
def test_versions_say_what_changed(new_shop: Callable[[], SmallShop]) -> None:
    # a shop of its own: other tests train other towers in the shared one
    shop = new_shop()
    assert shop.run("run").code == 0
    first = state(shop)
    assert {f"{name} {day}" for name in DAILY for day in DAYS} <= versions(first).keys()
    assert versions(first).keys() >= CODE_VERSIONS.keys() - set(DAILY)

    ran = shop.run("run")
    assert ran.code == 0, ran.output
    again = state(shop)
    differing = {name for name, version in versions(again).items() if versions(first)[name] != version}
    differing -= {"evaluation"}  # the first run had no live release to compare with
    if "index_tuning" in differing:  # it goes by measured times
        differing -= {"index_tuning", "release", "item_index", "live", "sample_results"}
    assert differing == set()
    assert stale(again) == {}
    assert again["training_set"]["built before"]
    assert [again[f"{view}_features"]["days built"] for view in ("user", "item", "query")] == [0, 0, 0]

    raised = state(shop, "training_set")
    assert stale(raised) == {"training_set": ["has a new code version"]}

    log = shop.settings().paths.landing / f"dt={CHANGED}" / "ubi_events.parquet"
    events = pq.read_table(log, partitioning=None)
    pq.write_table(events.slice(0, len(events) // 2), log)
    refreshed = state(shop, DAYS[0], DAYS[-1])
    changed = {name for name, version in versions(refreshed).items() if versions(again)[name] != version}
    undated = {name for name in changed if " " not in name}
    assert undated == {"accepted_days", "online_features"}
    assert {name for name in changed if name.startswith("landing")} == {f"landing {CHANGED}"}
    assert {f"{name} {CHANGED}" for name in DAILY} <= changed
    assert min(name.partition(" ")[2] for name in changed - undated) == CHANGED, "no day before it"
    # `live` waits for the online features, which are those of the new days now.
    assert stale(refreshed) == {name: ["has a new dependency data version"] for name in ("training_set", "live")}
