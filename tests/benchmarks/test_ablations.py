"""The ablations: rows, statistics, the page made of given results, and a worker that runs once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.ablations.aims import AIMS, Aim, Outcome
from benchmarks.ablations.jobs import Job, code_fingerprint, jobs_of
from benchmarks.ablations.report import write_page
from benchmarks.ablations.results import JUDGED, Result, Values, write_result
from benchmarks.ablations.rows import BASELINES, HYBRID, NOT_PERSONALIZED, ROWS, TABLES, Line
from benchmarks.ablations.schedule import Scope, comparable_index, run_jobs, write_index
from benchmarks.ablations.statistics import Estimate, Resampling, difference, estimate, ratio
from benchmarks.ablations.workspace import Workspace, link
from infra.settings import Settings, TrainingSettings
from tests.training.toy_shop import ToyShop, write_toy_shop
from training.evaluation import BASELINES as BASELINE_METHODS
from training.evaluation.metrics import MEASURES

COLUMN = ("all items", "towers", "recall@100")
TINY = {"epochs": 1, "least_steps": 1, "dim": 16, "hidden": 16, "token_dim": 8, "buckets": 512, "batch_size": 128}


def _values(levels: dict[str, float], seed: int = 0, n: int = 300, truth: str = "all items") -> Values:
    rng = np.random.default_rng(seed)
    noise = rng.random(n)
    columns = {
        (truth, method, measure): (noise < level).astype(np.float32)
        for method, level in levels.items()
        for measure in MEASURES
    }
    return Values(columns, rng.integers(0, 40, n), rng.integers(0, 3, n), {"tail queries": rng.random(n) < 0.5})


class TestRows:
    def test_every_line_of_a_table_and_of_an_aim_is_a_row(self) -> None:
        lines = [line for table in TABLES.values() for line in table.lines]
        lines += [line for aims in AIMS.values() for aim in aims for line in (aim.one, aim.other)]
        assert {line.row for line in lines} <= ROWS.keys()

    def test_the_reference_of_a_table_is_one_of_its_lines(self) -> None:
        assert all(table.reference in {line.label for line in table.lines} for table in TABLES.values())

    def test_rows_differ_from_their_recipe_only_by_what_they_change(self) -> None:
        for row in ROWS.values():
            settings = row.settings(7, {}).model_dump()
            plain = TrainingSettings(recipe=row.recipe, seed=7, threads=1).model_dump()
            assert {name for name, value in settings.items() if value != plain[name]} <= row.changes.keys()

    def test_each_objective_that_a_row_is_named_without_is_off(self) -> None:
        settings = ROWS["four without order over unclicked"].settings(7, {})
        assert settings.weight_order_over_unclicked == 0
        assert settings.weight_click == 1


class TestStatistics:
    def test_the_value_is_the_mean_of_the_means_of_each_day(self) -> None:
        values = _values({"towers": 0.6})
        sample = Resampling(40).sample({7: values}, COLUMN)
        assert sample is not None
        of = values.columns[COLUMN]
        assert sample.value[0] == pytest.approx(np.mean([of[values.day == day].mean() for day in range(3)]))

    def test_draws_are_weighted_means_by_unit(self) -> None:
        values = _values({"towers": 0.6}, n=60)
        resampling = Resampling(40, resamples=5)
        sample = resampling.sample({7: values}, COLUMN)
        assert sample is not None
        for draw in range(5):
            weight = resampling._weights[draw][values.unit]
            days = [
                np.average(values.columns[COLUMN][values.day == d], weights=weight[values.day == d]) for d in range(3)
            ]
            assert sample.drawn[draw, 0] == pytest.approx(np.mean(days), abs=1e-6)

    def test_requests_that_want_nothing_and_other_slices_do_not_count(self) -> None:
        values = _values({"towers": 0.6})
        column = values.columns[COLUMN].copy()
        column[~values.slices["tail queries"]] = np.nan
        resampling = Resampling(40)
        masked = resampling.sample({7: replace(values, columns={COLUMN: column})}, COLUMN)
        sliced = resampling.sample({7: values}, COLUMN, "tail queries")
        assert masked is not None
        assert sliced is not None
        assert masked.value[0] == sliced.value[0]
        assert resampling.sample({7: values}, COLUMN, "head queries") is None

    def test_a_row_is_exactly_as_good_as_itself(self) -> None:
        sample = Resampling(40).sample({7: _values({"towers": 0.6}), 8: _values({"towers": 0.5}, 1)}, COLUMN)
        assert sample is not None
        assert difference(sample, sample) == Estimate(0, 0, 0)
        assert ratio(sample, sample) == Estimate(1, 1, 1)

    def test_pairing_makes_a_difference_sure_where_intervals_overlap(self) -> None:
        by_seed = {7: _values({"better": 0.55, "worse": 0.5})}
        resampling = Resampling(40)
        better, worse = (resampling.sample(by_seed, (COLUMN[0], name, COLUMN[2])) for name in ("better", "worse"))
        assert better is not None
        assert worse is not None
        assert estimate(better).low < estimate(worse).high
        found = difference(better, worse)
        assert found is not None
        assert found.low > 0

    def test_only_seeds_that_both_rows_have_are_compared(self) -> None:
        resampling = Resampling(40)
        one = resampling.sample({7: _values({"towers": 0.6}), 8: _values({"towers": 0.1}, 1)}, COLUMN)
        other = resampling.sample({7: _values({"towers": 0.6})}, COLUMN)
        apart = resampling.sample({9: _values({"towers": 0.6})}, COLUMN)
        assert one is not None
        assert other is not None
        assert apart is not None
        assert difference(one, other) == Estimate(0, 0, 0)
        assert difference(one, apart) is None

    def test_requests_of_one_user_do_not_count_as_independent(self) -> None:
        rng = np.random.default_rng(1)
        unit: NDArray[np.int64] = np.repeat(np.arange(20), 50)
        column = np.repeat(rng.integers(0, 2, 20), 50).astype(np.float32)
        together = Values({COLUMN: column}, unit, np.zeros(1_000, dtype=np.int64))
        alone = replace(together, unit=np.arange(1_000))
        wide, narrow = (
            estimate(sample)
            for values in (together, alone)
            if (sample := Resampling(1_000).sample({7: values}, COLUMN)) is not None
        )
        assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


@pytest.mark.parametrize(
    ("bound", "found", "verdict"),
    [
        ("above", Estimate(0.1, 0.05, 0.2), "reached"),
        ("above", Estimate(0.1, -0.05, 0.2), "reached, not beyond the interval"),
        ("above", Estimate(0.0, 0.0, 0.0), "missed"),
        ("at least", Estimate(-0.1, -0.2, 0.1), "missed, within the interval"),
        ("interval above", Estimate(0.1, -0.05, 0.2), "missed"),
        ("interval above", None, "not measured"),
    ],
)
def test_verdicts(bound: str, found: Estimate | None, verdict: str) -> None:
    line = Line("x", "shelfwise")
    assert Outcome(Aim("x", line, line, bound=bound), found).verdict == verdict  # type: ignore[arg-type]


def _shop(tmp_path: Path, name: str = "demo") -> Workspace:
    settings = Settings(home=tmp_path, shop=name)
    write_toy_shop(settings.paths, ToyShop(requests=1_500, items=200))
    workspace = Workspace(settings, 1)
    workspace._link_inputs(workspace.shared)
    link(workspace.shared.paths.training_set, settings.paths.training_set)
    return workspace


def _made_up(job: Job, code: str | None = None) -> dict[str, object]:
    split = {"train_start": "2026-03-01 00:00", "cut": "2026-03-05 00:00", "end": "2026-03-06 00:00"}
    sizes = {"items": 200, "requests": 1_500, "queries": 48, "edges": 900, "split": split, "truth": "orders"}
    run = {"row": job.row, "seed": job.seed, "code": code or code_fingerprint(), "machine": "none", "seconds": 1.0}
    return run | sizes | {"began": "2026-03-06T00:00:00", "peak_bytes": 0}


class TestPage:
    def _write(self, tmp_path: Path, seeds: tuple[int, ...]) -> Path:
        workspace, scope = _shop(tmp_path), Scope(1, {}, None)
        rows = [BASELINES, "shelfwise", "mmse", "all four", "clicks only"]
        level = {"shelfwise": 0.8, "mmse": 0.5, "all four": 0.55, "clicks only": 0.5}
        jobs = jobs_of(rows, seeds, {}, workspace)
        for job in jobs:
            methods = dict.fromkeys(BASELINE_METHODS, 0.4)
            if job.row != BASELINES:
                methods = dict.fromkeys(("towers", NOT_PERSONALIZED, HYBRID), level[job.row])
            parts = {"requests": _values(methods, job.seed)}
            if job.row != BASELINES:
                parts[JUDGED] = _values({"towers": 0.7, HYBRID: 0.7, "zero-shot": 0.6}, truth=JUDGED)
            write_result(workspace.results, job.key, _made_up(job), parts)
        (objecting,) = jobs_of(["Base"], [7], {}, workspace)
        write_result(workspace.results, objecting.key, _made_up(objecting) | {"objection": "no titles"}, {})
        write_index(workspace, [*jobs, objecting], scope, ["recipes", "III"], "the command", any_code=False)
        return write_page(tmp_path, tmp_path / "docs")

    def test_page_of_made_up_results(self, tmp_path: Path) -> None:
        page = self._write(tmp_path, (7, 8))
        text = page.read_text(encoding="utf-8")
        said = {line.split(" | ")[1]: line for line in text.splitlines() if line.startswith("| demo |")}
        assert said["shelfwise / BM25"].endswith("| reached |")
        assert said["graph encoder above without"].endswith("| not measured |")
        assert "| Base | no titles |" in text
        assert "the command" in text
        assert "Table III" in text
        assert "Table II:" not in text
        assert "human judgements" in text
        for name in ("demo-recipes", "demo-III", "demo-judged"):
            assert f"ablations/{name}.svg" in text
            assert (tmp_path / "docs" / "ablations" / f"{name}.svg").read_text(encoding="utf-8").startswith("<?xml")

    def test_the_same_results_give_the_same_page_with_what_was_written_by_hand(self, tmp_path: Path) -> None:
        page = self._write(tmp_path, (7,))
        (page.parent / "ablations" / "notes.md").write_text("## What was learned\n\nNothing.", encoding="utf-8")
        files = [write_page(tmp_path, page.parent), page.parent / "ablations" / "demo-recipes.svg"]
        before = [file.read_bytes() for file in files]
        write_page(tmp_path, page.parent)
        assert [file.read_bytes() for file in files] == before
        assert b"## What was learned" in before[0]

    def test_without_results_it_says_what_to_do(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=r"benchmarks\.ablations"):
            write_page(tmp_path, tmp_path)


class TestRuns:
    def test_rows_of_the_same_settings_are_one_run(self, tmp_path: Path) -> None:
        workspace = _shop(tmp_path)
        all_four, without, other = jobs_of(["all four", "mmse", "clicks only"], [7], {}, workspace)
        again, with_change = (jobs_of(["all four"], [7], changes, workspace)[0] for changes in ({}, {"epochs": 1}))
        assert again.key == all_four.key
        assert len({all_four.key, without.key, other.key, with_change.key}) == 4
        assert jobs_of(["all four"], [8], {}, workspace)[0].key != all_four.key

    @pytest.mark.slow
    def test_a_run_is_measured_once_and_skipped_then(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SHELFWISE_LANDING", raising=False)
        workspace, scope = _shop(tmp_path, "toy"), Scope(1, TINY, None)
        jobs = jobs_of(["Base"], [7], TINY, workspace)
        assert run_jobs(workspace, jobs, scope, at_once=1, any_code=False) == []
        result = Result.find(workspace.results, jobs[0].key)
        assert result is not None
        assert result.objection is None
        values = result.values("requests")
        assert values is not None
        assert 0.1 < np.nanmean(values.columns["all items", "towers", "recall@100"]) <= 1
        assert not (workspace.root / "jobs" / jobs[0].key).exists()
        written = result.path.stat().st_mtime_ns
        assert run_jobs(workspace, jobs, scope, at_once=1, any_code=False) == []
        assert "0 of them to do" in capsys.readouterr().out
        assert result.path.stat().st_mtime_ns == written

    def test_results_of_other_code_are_not_taken_unless_asked_for(self, tmp_path: Path) -> None:
        workspace = _shop(tmp_path)
        (job,) = jobs_of(["Base"], [7], {}, workspace)
        write_result(workspace.results, job.key, _made_up(job, code="older"), {})
        assert not job.is_done(workspace.results)
        assert job.is_done(workspace.results, any_code=True)

    def test_the_index_keeps_seeds_and_tables_of_runs_that_compare(self, tmp_path: Path) -> None:
        workspace, scope = _shop(tmp_path), Scope(1, {}, None)
        (job,) = jobs_of(["Base"], [7], {}, workspace)
        write_result(workspace.results, job.key, _made_up(job), {})
        write_index(workspace, [job], scope, ["II"], "first", any_code=False)
        held = comparable_index(workspace, scope)
        assert held.seeds == {7}
        assert held.tables == {"II"}
        assert not comparable_index(workspace, replace(scope, changes={"epochs": 1})).seeds

    def test_a_shop_without_features_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="shelfwise run"):
            Workspace(Settings(home=tmp_path, shop="none"), 1).prepare()

    def test_a_result_is_json_that_says_how_it_was_made(self, tmp_path: Path) -> None:
        write_result(tmp_path, "key", {"code": "x"}, {"requests": _values({"towers": 0.5})})
        content = json.loads((tmp_path / "key.json").read_text(encoding="utf-8"))
        assert content["slices"] == ["tail queries"]
        found = Result.find(tmp_path, "key")
        assert found is not None
        assert found.values("requests") is not None
        assert found.values(JUDGED) is None
