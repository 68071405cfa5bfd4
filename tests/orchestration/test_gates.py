"""A release that the gates block stays on disk with its reasons, and live stays; promote and rollback."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import dagster as dg
import pytest
from rich.console import Console

from infra.settings import Settings
from orchestration import checks, releases, show
from orchestration.releases import (
    PromotionRefused,
    ReleaseStatus,
    candidate_key,
    clean,
    completeness,
    find_release,
    go_back,
    make_live,
    read_verdict,
    record,
    release_statuses,
    servability,
    verdict_file,
)
from orchestration.shop import candidate_dir
from orchestration.show import print_releases, print_status
from orchestration.values import IndexedRelease
from serving import NoLiveRelease, Retriever
from serving.index import live_release_id, push
from tests.orchestration.conftest import SmallShop
from tests.serving.small_shop import END, make_shop
from training.evaluation import EvaluationReport
from training.evaluation.report import write_evaluation
from training.release.gates import NAMES, Gate, Verdict
from training.release.manifest import MANIFEST, ReleaseError, ReleaseInfo

pytestmark = pytest.mark.slow

LEARNS_NOTHING = {
    "SHELFWISE_TRAINING__TEXT_ENCODER": "none",
    "SHELFWISE_TRAINING__SHARED_WORDS": "false",
    "SHELFWISE_TRAINING__LEARNING_RATE": "1e-9",
    "SHELFWISE_TRAINING__EPOCHS": "1",
}


def test_a_disaster_is_blocked_and_live_stays(demo_shop: SmallShop) -> None:
    settings = demo_shop.settings()
    live = live_release_id(settings)
    run = demo_shop.run("towers", module="tests.orchestration.dying_run", environment=LEARNS_NOTHING)
    assert run.code == 1, run.output
    assert "check recall_holds of release: recall@100 is" in run.output
    assert live_release_id(settings) == live
    blocked, *others = release_statuses(settings)
    assert blocked.state == "blocked"
    assert " of live: " in blocked.reasons[0]
    assert " of bm25: " in blocked.reasons[1]
    assert live in [release.id for release in others if release.state == "live"]
    assert "servability" in read_verdict(settings, blocked.id).missing

    refused = demo_shop.run("promote", blocked.id)
    assert refused.code == 2
    assert blocked.reasons[0] in refused.output
    assert live_release_id(settings) == live
    forced = demo_shop.run("promote", blocked.id, "--force")
    assert forced.code == 0, forced.output
    with Retriever(settings) as retriever:
        assert retriever.retrieve(None, "shoes", k=5).release_id == blocked.id
    listed = demo_shop.run("releases")
    assert listed.code == 0, listed.output
    assert blocked.reasons[0] in listed.output
    back = demo_shop.run("rollback")
    assert back.code == 0, back.output
    assert live_release_id(settings) == live


def proven(release_id: str) -> str:
    """A verdict that passed everywhere, as it lies on disk."""
    verdict = Verdict(release_id).with_gates(*(Gate(name, True, "fine", {}) for name in NAMES))
    return json.dumps(verdict.to_json())


def test_promote_roll_back_and_clean(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=40)
    settings = shop.settings
    with pytest.raises(NoLiveRelease):
        go_back(settings)
    ids = [shop.release(seed).id for seed in (1, 2, 3, 4, 5)]
    with pytest.raises(NoLiveRelease, match=r"shelfwise promote [0-9a-f]+"):
        go_back(settings)
    with pytest.raises(PromotionRefused, match="these gates did not run: recall against live"):
        make_live(settings, ids[0])
    with pytest.raises(ReleaseError, match="shelfwise releases"):
        make_live(settings, "../elsewhere", force=True)
    verdict_file(settings, ids[0]).parent.mkdir(parents=True)
    for release_id in ids[:2]:
        verdict_file(settings, release_id).write_text(proven(release_id))
    assert make_live(settings, ids[0]) is None
    with pytest.raises(PromotionRefused, match="nothing to roll back to"):
        go_back(settings)
    assert make_live(settings, ids[1]) == ids[0]
    states = {release.id: release.state for release in release_statuses(settings)}
    assert states == {
        ids[0]: "previous", ids[1]: "live", **dict.fromkeys(ids[2:], "unproven"),
    }  # fmt: skip
    assert clean(settings) == []
    fewer = settings.model_copy(update={"index": settings.index.model_copy(update={"kept_releases": 1})})
    assert set(clean(fewer)) == set(ids[2:4])
    assert clean(fewer, keep=ids) == []
    assert go_back(settings) == ids[0]
    assert go_back(settings) == ids[1]
    shutil.rmtree(settings.paths.releases / ids[0])
    with pytest.raises(ReleaseError, match="is no release"):
        go_back(settings)
    assert live_release_id(settings) == ids[1]
    said = StringIO()
    assert print_status(Console(file=said, width=200), settings)
    (settings.paths.releases / ids[1] / MANIFEST).write_text("{")
    assert not print_status(Console(file=said, width=200), settings)
    assert "cannot serve" in said.getvalue() and "copy it again or train again" in said.getvalue()


def listed(settings: Settings, width: int = 80) -> str:
    """What `shelfwise releases` prints."""
    said = StringIO()
    print_releases(Console(file=said, width=width), settings)
    return said.getvalue()


def test_damaged_releases_are_listed(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=40)
    settings = shop.settings
    ids = [shop.release(seed).id for seed in (1, 2, 3, 4)]
    for release_id in ids[:2]:
        make_live(settings, release_id, force=True)
    folders = [settings.paths.releases / release_id for release_id in ids]
    (folders[1] / "evaluation.json").unlink()
    (folders[2] / "config.json").write_text("{")
    (folders[3] / "model.safetensors").unlink()
    damage = {r.id: (r.state, r.reasons[0].removeprefix("damaged: ")) for r in release_statuses(settings)}
    assert damage[ids[0]][0] == "previous"
    assert damage[ids[1]] == ("live", "evaluation.json is missing")
    assert damage[ids[2]][0] == "blocked" and damage[ids[2]][1].startswith("it cannot be read: config.json: ")
    assert damage[ids[3]] == ("blocked", "model.safetensors is missing")
    assert f"{ids[1]}  damaged: evaluation.json is missing" in listed(settings)
    shutil.rmtree(folders[1])
    gone = release_statuses(settings)[-1]
    assert (gone.id, gone.state, gone.reasons[0]) == (ids[1], "live", "damaged: manifest.json is missing")
    assert ids[1] in listed(settings)


def test_ids_and_states_are_whole_on_any_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = [
        ReleaseStatus("65757b8cd905", END, END, "0.876 [0.839, 0.910]", "previous", []),
        ReleaseStatus("fc81a31d4249", END, datetime(2026, 3, 9, tzinfo=UTC), "0.876 [0.839, 0.910]", "unproven", []),
    ]
    monkeypatch.setattr(show, "release_statuses", lambda _: found)
    for width in (50, 80):
        told = listed(Settings(home=tmp_path), width)
        for text in ("65757b8cd905", "fc81a31d4249", "previous", "unproven"):
            assert text in told
    assert "0.876 [0.839, 0.910]" in told
    assert "2026-03-08" in told and "(UTC)" in told  # the window of the data ends at the midnight after its last day
    assert max(map(len, told.splitlines())) <= 80


def test_a_release_is_found_by_the_beginning_of_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [ReleaseInfo(name, tmp_path / name, END) for name in ("65757b8cd905", "6575ffffffff", "fc81a31d4249")]
    monkeypatch.setattr(releases, "known_releases", lambda _: infos)
    settings = Settings(home=tmp_path)
    assert find_release(settings, "fc") == find_release(settings, "fc81a31d4249") == "fc81a31d4249"
    with pytest.raises(ReleaseError, match="may be any of 65757b8cd905, 6575ffffffff"):
        find_release(settings, "6575")
    for absent in ("", "0", "../elsewhere"):
        with pytest.raises(ReleaseError, match="there is no release"):
            find_release(settings, absent)


def test_what_cannot_serve_or_is_not_whole_is_blocked(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=40)
    settings, whole, other = shop.settings, shop.release(1), shop.release(2)
    collection = push(settings, whole).collection
    assert completeness(settings, whole.id, collection).passed
    assert servability(settings, whole.id, "red shoes").passed
    grown = make_shop(tmp_path, items=41).release(3)
    gate = completeness(settings, grown.id, collection)
    assert not gate.passed
    assert "40 of 41 items" in gate.reason
    (other.manifest.path / "model.safetensors").write_bytes(b"torn")
    torn = servability(settings, other.id, "red shoes")
    assert not torn.passed
    assert "model.safetensors" in torn.reason


def test_gates_say_nothing_of_a_release_by_another_candidate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = make_shop(tmp_path, items=40)
    settings, checked = shop.settings, (checks.recall_holds, checks.slices_hold, checks.ann_recall_holds)
    monkeypatch.setattr(checks, "shop_settings", lambda: settings)
    evaluation = EvaluationReport(truth="orders", requests=0, items=40, rows=[], slices={})
    blocked = shop.release(1).id
    write_evaluation(evaluation, candidate_dir(settings))
    indexed = IndexedRelease(blocked, candidate_key(settings), "its_collection")
    record(settings, blocked, Gate("recall against bm25", False, "worse", {}))
    ran = read_verdict(settings, blocked)

    shop.release(2)
    write_evaluation(evaluation, candidate_dir(settings))
    for check in checked:
        refused = check(indexed)
        assert isinstance(refused, dg.AssetCheckResult) and not refused.passed
        assert f"not the one that release {blocked} was written from" in str(refused.description)
    assert read_verdict(settings, blocked) == ran

    shop.release(1)
    write_evaluation(evaluation, candidate_dir(settings))
    for check in checked:
        check(indexed)
    assert {gate.name for gate in read_verdict(settings, blocked).gates} == {*NAMES} - {"servability", "index"}
