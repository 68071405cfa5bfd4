"""What may go live: the rules on figures, and the live release on a candidate's rows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infra.settings import GateSettings, Settings
from tests.training.conftest import with_training
from training.data.arrays import prepare_arrays
from training.evaluation import EvaluationReport, evaluate
from training.evaluation.intervals import difference_rows
from training.evaluation.live import NotComparable, read_live
from training.release.gates import BEFORE_PARTS, NAMES, Gate, Verdict, ann_gate, recall_gate, slice_gate
from training.release.writer import write_release
from training.run.candidate import fit_candidate_prior
from training.run.ranking import fit_candidate_ranker
from training.run.trainer import train

MakeShop = Callable[..., Settings]
SETTINGS = GateSettings()


def report(found: int, rival: int, requests: int, both: int | None = None, name: str = "live") -> EvaluationReport:
    """Of ``requests`` requests with an order each, so many that the candidate, the rival and both of them find."""
    both = min(found, rival) if both is None else both
    place = np.arange(requests)
    ours = (place < found).astype(float)
    theirs = ((place < both) | ((place >= found) & (place < found + rival - both))).astype(float)
    values = {"towers": {"recall@100": ours}, name: {"recall@100": theirs}}
    rows: list[dict[str, Any]] = [
        {"method": method, "recall@100": {"value": float(v["recall@100"].mean()), "low": 0.0, "high": 1.0}}
        for method, v in values.items()
    ]
    differences = difference_rows(values, "towers", "recall@100", np.zeros(requests, dtype=np.int64), seed=7)
    return EvaluationReport("orders", requests, 9, rows, slices={}, differences=differences)


@pytest.mark.parametrize(
    ("figures", "passes", "says"),
    [
        (report(54, 56, 56), True, "good enough"),
        (report(30, 32, 56, both=20), True, "good enough"),
        (report(23, 56, 56), False, "surely worse"),
        (report(4, 5, 5), True, "good enough"),
        (report(2, 5, 5), False, "worse by more than the 0.45 allowed"),
        (report(1, 2, 2), True, "good enough"),
        (report(5_000, 5_100, 10_000), False, "surely worse"),
        (report(5_000, 5_100, 10_000, both=2_500), True, "good enough"),
        (report(60, 50, 100), True, "good enough"),
    ],
)
def test_noise_passes_and_a_disaster_does_not(figures: EvaluationReport, passes: bool, says: str) -> None:
    gate = recall_gate(figures, "live", SETTINGS)
    assert gate.passed == passes
    assert says in gate.reason
    assert gate.figures["requests"] == figures.requests


@pytest.mark.parametrize(("found", "passes"), [(54, False), (55, True), (56, True)])
def test_the_catalogue_alone_gives_way_to_what_finds_no_less(found: int, passes: bool) -> None:
    figures = report(found, 55, 56)
    other = replace(figures, measured={"live": {"release": "r", "left_out": None, "catalog_alone": False}})
    assert recall_gate(other, "live", SETTINGS).passed
    alone = replace(figures, measured={"live": {"release": "r", "left_out": None, "catalog_alone": True}})
    gate = recall_gate(alone, "live", SETTINGS)
    assert gate.passed == passes
    assert passes or "less than the catalogue alone" in gate.reason


@pytest.mark.parametrize(("users", "sure"), [(2, False), (19, False), (20, True), (None, True)])
def test_few_users_prove_nothing_however_many_their_requests(users: int | None, sure: bool) -> None:
    """Each of two users loses one of 30 orders: resampling them gives an interval without width."""
    ours, theirs = np.ones(60), np.ones(60)
    ours[[0, 30]] = 0
    values = {"towers": {"recall@100": ours}, "live": {"recall@100": theirs}}
    day, halves = np.zeros(60, dtype=np.int64), np.repeat([0, 1], 30)
    differences = difference_rows(values, "towers", "recall@100", day, seed=7, user=halves)
    assert differences["live"]["high"] < 0
    figures = replace(report(58, 60, 60), differences=differences, users=users)
    gate = recall_gate(figures, "live", SETTINGS)
    assert gate.passed != sure
    part = {"requests": 60, "differences": differences} | ({} if users is None else {"users": users})
    strict = GateSettings(max_slice_drop=0.01)
    assert slice_gate(replace(figures, slices={"tail queries": part}), strict).passed != sure


def test_a_report_without_users_is_read() -> None:
    written = {k: v for k, v in report(54, 56, 56).to_json().items() if k != "users"}
    assert EvaluationReport.from_json(written).users is None


def test_the_first_release_has_only_the_baselines_to_beat() -> None:
    first = replace(report(20, 40, 40, name="bm25"), measured={"live": {"left_out": "nothing is live"}})
    assert recall_gate(first, "live", SETTINGS) == Gate(
        "recall against live", True, "Not compared with live: nothing is live.", {}
    )
    assert not recall_gate(first, "bm25", SETTINGS).passed


def test_a_request_that_wants_nothing_is_not_compared() -> None:
    values = {name: {"recall@100": np.array([1.0, np.nan])} for name in ("towers", "bm25")}
    day = np.zeros(2, dtype=np.int64)
    assert difference_rows(values, "towers", "recall@100", day, seed=1)["bm25"]["value"] == 0
    assert difference_rows(values, "towers, boosted", "recall@100", day, seed=1) == {}


def test_slices_block_only_with_enough_requests() -> None:
    worse, few = (report(n // 2, n, n).differences for n in (100, 10))
    whole = report(100, 100, 100)
    few_slice = {"new users": {"requests": 10, "differences": few}}
    assert slice_gate(replace(whole, slices=few_slice), SETTINGS).passed
    both = {**few_slice, "tail queries": {"requests": 100, "differences": worse}}
    gate = slice_gate(replace(whole, slices=both), SETTINGS)
    assert not gate.passed
    assert "tail queries" in gate.reason
    assert "new users" not in gate.reason
    assert slice_gate(replace(whole, slices=both), GateSettings(max_slice_drop=0.9)).passed


@pytest.mark.parametrize(
    ("loss", "passes"),
    [({100: 0.0, 1000: 0.01}, True), ({100: 0.02, 1000: 0.0}, False), ({100: 0.0}, False), ({}, True)],
)
def test_what_the_index_may_lose(loss: dict[int, float], passes: bool) -> None:
    assert ann_gate(loss, 0.01).passed == passes


def test_a_verdict_is_proven_when_every_gate_ran_and_passed() -> None:
    verdict = Verdict("r1").with_gates(*(Gate(name, True, "fine", {}) for name in NAMES))
    assert verdict.proven
    blocked = verdict.with_gates(Gate("slices", False, "tail fell", {"tail": -0.2}))
    assert (blocked.proven, blocked.reasons, len(blocked.gates)) == (False, ["tail fell"], len(NAMES))
    assert Verdict.from_json(blocked.to_json()) == blocked
    started = Verdict("r1").with_gates(verdict.gates[0])
    assert not started.proven
    assert "servability" in started.reasons[0]


def released(settings: Settings) -> tuple[Path, Path]:
    """Train on a toy shop; its candidate and its release."""
    candidate = train(settings).candidate_dir
    fit_candidate_prior(settings, candidate)
    fit_candidate_ranker(settings, candidate)
    return candidate, write_release(settings, candidate, evaluate(settings, candidate))


@pytest.mark.slow
def test_live_is_measured_as_it_would_serve_on_the_candidates_rows(make_shop: MakeShop) -> None:
    settings = make_shop(requests=1_500)
    candidate, release = released(settings)
    itself = evaluate(settings, candidate, live=release)
    rows = {row["method"]: row for row in itself.rows}
    assert {**rows["live"], "method": ""} == {**rows[itself.serving], "method": ""}
    assert itself.differences["live"] == {"value": 0, "low": 0, "high": 0}
    assert all("live" in part["differences"] for part in itself.slices.values())
    assert recall_gate(itself, "live", settings.gates).passed

    later = with_training(make_shop("later", requests=1_800, days=7), price_buckets=4)
    report = evaluate(later, train(later).candidate_dir, live=release)
    assert report.measured["live"] == {"release": release.name, "left_out": None, "catalog_alone": False}
    assert report.value("live", "recall@10") > 2 * report.value("popularity", "recall@10")


@pytest.mark.slow
def test_a_release_that_cannot_be_compared_fairly_is_left_out(make_shop: MakeShop) -> None:
    settings = make_shop(requests=800)
    candidate, release = released(settings)
    arrays = prepare_arrays(settings)
    earlier = replace(arrays, meta={**arrays.meta, "cut_us": arrays.cut - 1})
    with pytest.raises(NotComparable, match="learned from the requests that judge"):
        read_live(settings, earlier, release)
    with pytest.raises(NotComparable, match="4,096 buckets, this run into 2,048"):
        read_live(with_training(settings, buckets=2**11), arrays, release)
    poorer = replace(arrays, meta={**arrays.meta, "item_features": arrays.meta["item_features"][1:]})
    with pytest.raises(NotComparable, match="figures of items that are not there: impressions_30d"):
        read_live(settings, poorer, release)
    (release / "model.safetensors").write_bytes(b"torn")
    report = evaluate(settings, candidate, live=release)
    assert "model.safetensors" in report.measured["live"]["left_out"]
    gate = recall_gate(report, "live", settings.gates)
    assert gate.passed
    assert "model.safetensors" in gate.reason


def test_a_verdict_of_before_the_parts_had_gates_stays_proven() -> None:
    old = {"release": "r", "blocked": [], "gates": [asdict(Gate(name, True, "", {})) for name in BEFORE_PARTS]}
    read = Verdict.from_json(json.loads(json.dumps(old)))
    assert read.proven and Verdict.from_json(read.to_json()) == read
    assert "recall against towers" in Verdict("r", read.gates).missing


def test_a_part_blocks_where_it_leads_by_more_than_a_slice_may_fall() -> None:
    for drop, passed in ((0.04, True), (0.06, False)):
        figures = {"value": -drop, "low": -drop - 0.01, "high": -drop + 0.01}
        rows = [{"method": name, "recall@100": {"value": 0.8}} for name in ("served", "random walk", "bm25")]
        found = EvaluationReport("orders", 1_000, 10, rows, {}, serving="served", users=500)
        found = replace(found, differences={"random walk": figures, "bm25": figures})
        assert recall_gate(found, "random walk", SETTINGS).passed is passed
        assert not recall_gate(found, "bm25", SETTINGS).passed
