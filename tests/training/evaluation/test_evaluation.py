"""The table: every method on the same rows, by day and slice, and against judgements."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from infra.settings import Settings
from tests.training.toy_arrays import with_edges
from training.data.arrays import Arrays, prepare_arrays
from training.data.held_out import stopping_and_judging
from training.evaluation import (
    ALL,
    EvaluationReport,
    Searches,
    VectorSearch,
    as_text,
    evaluate,
    judge,
    measure,
    read_evaluation,
    searches_of,
)
from training.evaluation.measure import DAY, following_days, judging_requests
from training.evaluation.methods import nightly_methods
from training.evaluation.metrics import DEPTH, MEASURES
from training.evaluation.plots import markdown_image, methods_figure, slices_figure
from training.evaluation.report import POSITIONS
from training.model.encoding import encode_catalog, encode_requests
from training.model.search import exact_top
from training.quality_prior import PriorWeights, QualityFeatures, QualityPrior, quality_figures
from training.run.candidate import load_candidate
from training.run.new_towers import new_towers
from training.run.trainer import train

MakeShop = Callable[..., Settings]


def test_exact_search_finds_only_what_existed() -> None:
    rng = np.random.default_rng(2)
    items, queries = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    born, asked = rng.integers(0, 10, 50), rng.integers(0, 10, 6)
    found, scores = exact_top(queries, items, 50, asked, born)
    for row in range(6):
        exists = [i for i in np.argsort(-(items @ queries[row]), kind="stable") if born[i] <= asked[row]]
        assert [i for i in found[row] if i >= 0] == exists
        assert np.isneginf(scores[row, len(exists) :]).all()


@pytest.mark.slow
def test_the_table_has_every_method_on_the_same_rows(make_shop: MakeShop) -> None:
    settings = make_shop()
    candidate = train(settings).candidate_dir
    steps: list[float] = []
    report = evaluate(settings, candidate, progress=lambda _, share: steps.append(share))
    assert set(report.measured[POSITIONS]) in ({"reason"}, {"propensities", "error", "clicks"})
    arrays = prepare_arrays(settings)
    assert report.truth == "orders"
    stopping, judging = stopping_and_judging(arrays)
    assert report.requests == int((arrays.ordered.lengths[judging] > 0).sum()) > 0
    assert len(stopping)
    assert not set(arrays.request_user[stopping].tolist()) & set(arrays.request_user[judging].tolist())
    assert report.methods == [
        "towers", "towers, not personalized", "hybrid", "bm25", "bm25 x quality", "random walk", "popularity",
    ]  # fmt: skip
    for row in report.rows:
        for name in MEASURES:
            assert row[name]["low"] <= row[name]["value"] <= row[name]["high"]
    assert report.value("towers", "recall@10") > report.value("popularity", "recall@10")
    assert report.value("towers", "ndcg@10") > report.value("towers, not personalized", "ndcg@10")
    for name, gain in report.personalization["towers"].items():
        assert gain["low"] <= gain["value"] <= gain["high"]
        difference = report.value("towers", name) - report.value("towers, not personalized", name)
        assert gain["value"] == pytest.approx(difference)
    assert "What knowing the user is worth" in report.markdown()
    counts = {name: part["requests"] for name, part in report.slices.items()}
    for names in (("seen queries", "unseen queries"), ("returning users", "new users")):
        assert sum(counts.get(name, 0) for name in names) == report.requests
    assert read_evaluation(candidate) == report
    assert steps[-1] == 1
    assert set(report.seconds) >= {*report.methods, "measures", "intervals"}


def test_days_are_averaged_and_each_is_reported(make_shop: MakeShop) -> None:
    settings = make_shop(requests=1_500)
    arrays = replace_window(prepare_arrays(settings), days=2)
    report = measure(arrays, settings.training, first_items(arrays), ["first"])
    _, requests = judging_requests(arrays)
    day, labels = following_days(arrays, requests)
    wanted = arrays.ordered.take(requests)
    of_day = [float(np.mean([(wanted[r] < 100).mean() for r in np.flatnonzero(day == d)])) for d in range(len(labels))]
    assert [d["requests"] for d in report.days] == np.bincount(day).tolist()
    user = arrays.request_user[requests]
    assert report.users == len(set(user.tolist()))
    assert [d["users"] for d in report.days] == [len(set(user[day == d].tolist())) for d in range(len(labels))]
    assert len(set(np.bincount(day).tolist())) == 2
    figures = [d["rows"][0]["recall@100"]["value"] for d in report.days]
    np.testing.assert_allclose(figures, of_day)
    assert report.value("first", "recall@100") == pytest.approx(sum(of_day) / 2)
    assert "by day after the cut" in report.markdown()


def test_item_slices_count_only_their_items(make_shop: MakeShop) -> None:
    settings = make_shop(requests=1_500)
    arrays = with_edges(prepare_arrays(settings))
    report = measure(arrays, settings.training, oracle(arrays, settings), ["oracle"])
    for name in ("new items", "cold items", "unseen queries", "head queries"):
        if name in report.slices:
            assert report.slices[name]["rows"][0]["mrr"]["value"] == 1
    assert "cold items" in report.slices


def test_days_after_the_cut(make_shop: MakeShop) -> None:
    arrays = prepare_arrays(make_shop(requests=300))
    requests = np.flatnonzero(arrays.is_validation)
    day, labels = following_days(arrays, requests)
    assert len(labels) == 1
    assert not day.any()
    shortened = replace(arrays, meta={**arrays.meta, "end_us": arrays.cut + int(1.4 * DAY)})
    assert len(following_days(shortened, requests)[1]) == 1
    assert len(following_days(replace_window(arrays, days=3), requests)[1]) == 3


def test_a_log_without_orders_is_evaluated_on_clicks(make_shop: MakeShop) -> None:
    settings = make_shop(requests=400, orders=False, texts=False)
    arrays = prepare_arrays(settings)
    report = measure(arrays, settings.training, first_items(arrays), ["first"])
    assert report.truth == "clicks"
    assert not report.personalization and "knowing the user" not in report.markdown()


def test_methods_are_chosen_by_name(make_shop: MakeShop) -> None:
    settings = make_shop(requests=400)
    arrays = prepare_arrays(settings)
    with pytest.raises(ValueError, match=r"no such method: \['second'\]; there are \['first'\]"):
        measure(arrays, settings.training, first_items(arrays), ["first", "second"])
    nightly = nightly_methods(settings.training, arrays, None)
    assert set(ALL) - set(nightly) == {
        "served", "served, not personalized", "towers, boosted", "popularity within bm25 matches", "zero-shot",
        "zero-shot + bm25",
    }  # fmt: skip
    searches = Searches(first_items(arrays).makers, {"twice": ("first", "first")})
    report = measure(arrays, settings.training, searches, ["twice", "first"])
    assert report.methods == ["twice", "first"]
    assert report.value("twice", "mrr") == report.value("first", "mrr")


def test_boosted_towers_add_weighted_quality_to_the_cosine(make_shop: MakeShop) -> None:
    settings = make_shop(requests=400)
    arrays = prepare_arrays(settings)
    towers = new_towers(settings.training, arrays)
    figures = quality_figures(arrays, arrays.cut, settings.features.rate_prior)
    features = QualityFeatures.fit(figures)
    weights = np.linspace(0.1, 0.3, len(features.names))
    prior = QualityPrior(features, PriorWeights(weights=tuple(weights), reason=""))
    assert "towers, boosted" in nightly_methods(settings.training, arrays, prior)
    requests = np.flatnonzero(arrays.is_validation)[:5]
    found = searches_of(settings, arrays, towers, prior).makers["towers, boosted"]()(requests)
    scores = encode_requests(towers, arrays, requests) @ encode_catalog(towers, arrays, arrays.cut, kept=32).T
    scores = scores + features.apply(figures) @ weights
    for request, top, score in zip(requests, found, scores, strict=True):
        items = top[top >= 0]
        assert sorted(items) == np.flatnonzero(arrays.item_available <= arrays.request_time[request]).tolist()
        assert (np.diff(score[items]) < 1e-5).all()


def test_a_report_survives_json_and_reads_as_text() -> None:
    def rows(low: float, high: float) -> list[dict[str, object]]:
        figure = {"value": (low + high) / 2, "low": low, "high": high}
        return [{"method": "towers", **dict.fromkeys(MEASURES, figure)}]

    other = rows(0.1, 0.3)[0] | {"method": "bm25"}
    report = EvaluationReport(
        truth="orders", requests=9, items=5, rows=[*rows(0.2, 0.4), other],
        slices={
            "new users": {"requests": 4, "rows": [*rows(0, 1), other]},
            "new items": {"requests": 30, "rows": [*rows(0, 1), other]},
        },
    )  # fmt: skip
    assert EvaluationReport.from_json(json.loads(json.dumps(report.to_json()))) == report
    assert report.table()[0]["recall@100"] == "0.300 [0.200, 0.400]"
    assert "| new users | 4 | 0.500 | 0.200 |" in report.markdown()
    with pytest.raises(KeyError, match="not measured"):
        report.value("towers", "recall@7")
    for figure in (methods_figure(report), slices_figure(report)):
        assert markdown_image("a", figure).startswith("![a](data:image/png;base64,iVBOR")
    drawn = [label.get_text() for label in slices_figure(report).axes[0].get_yticklabels()]
    assert drawn == ["new items (30)"]
    empty = EvaluationReport(truth="orders", requests=0, items=0, rows=[], slices={})
    assert empty.markdown() == "_nothing_"
    looks = {"propensities": [1.0, 0.6, 0.4, 0.35, 0.3], "error": [0.0, 0.1, 0.15, 0.2, 4.0], "clicks": 1_234}
    said = replace(empty, measured={POSITIONS: looks}).markdown()
    assert said.endswith("moved: 2: 0.60 (± .06), 3: 0.40 (± .06), 5: 0.30 (± 1.20).")
    assert "cannot be told: 3 clicks." in replace(empty, measured={POSITIONS: {"reason": "3 clicks"}}).markdown()


@pytest.mark.slow
def test_judgements(make_shop: MakeShop) -> None:
    settings = make_shop(requests=1_500)
    towers, arrays = load_candidate(train(settings).candidate_dir), prepare_arrays(settings)
    catalog = arrays.catalog()
    ids, vectors = catalog["item_id"].combine_chunks(), encode_catalog(towers, arrays, arrays.end, kept=32)
    titles = catalog["title"].to_pylist()
    exact = [i for i, t in zip(ids.to_pylist(), titles, strict=True) if t.endswith("red mug")]
    other = [i for i, t in zip(ids.to_pylist(), titles, strict=True) if t.endswith("blue mug")]
    judgements = pa.table(
        {
            "query": ["red mug"] * (len(exact) + len(other)) + ["lost"],
            "item_id": [*exact, *other, "no such item"],
            "grade": [3] * len(exact) + [1] * len(other) + [3],
        }
    )
    centre = vectors[pc.index_in(pa.array(exact), ids).to_numpy()].mean(axis=0)
    shuffled = catalog.take(pa.array(np.random.default_rng(0).permutation(len(catalog))))
    rows = judge(
        vectors, ids, lambda _: centre, None, judgements, shuffled, zero_shot=VectorSearch(vectors, lambda _: centre)
    )
    assert [(r["method"], r["queries"]) for r in rows] == [
        ("towers", 1), ("bm25", 1), ("bm25, titles", 1), ("zero-shot", 1), ("zero-shot + bm25", 1),
        ("zero-shot + bm25, titles", 1), ("hybrid", 1),
    ]  # fmt: skip
    by_method = {r["method"]: r["recall@100"] for r in rows}
    assert by_method["bm25"] == by_method["bm25, titles"] == {"value": 1, "low": 1, "high": 1}
    assert by_method["towers"]["value"] > 0.5
    assert by_method["towers"] == by_method["zero-shot"]
    assert as_text(rows)[1]["recall@100"] == "1.000 [1.000, 1.000]"
    with pytest.raises(ValueError, match="no judgement of grade 3"):
        judge(vectors, ids, lambda _: centre, pa.table({"query": ["another"]}), judgements, catalog)
    with pytest.raises(ValueError, match="encode the catalogue that is judged"):
        judge(vectors[1:], ids[1:], lambda _: centre, None, judgements, catalog)


def first_items(arrays: Arrays) -> Searches:
    """One method, which finds the first items of the catalogue."""
    found = np.arange(min(DEPTH, arrays.items))
    return Searches({"first": lambda: lambda requests: np.tile(found, (len(requests), 1))})


def oracle(arrays: Arrays, settings: Settings) -> Searches:
    """One method, which finds what was wanted and nothing else."""
    truth, _ = judging_requests(arrays)
    stage = arrays.ordered if truth == "orders" else arrays.clicked

    def search(requests: np.ndarray) -> np.ndarray:
        wanted = stage.take(requests)
        places = wanted.first(np.arange(len(requests)), int(wanted.lengths.max()))
        return np.where(places >= 0, wanted.ids[places], -1)

    return Searches({"oracle": lambda: search})


def replace_window(arrays: Arrays, days: int) -> Arrays:
    """The same log, with the last ``days`` days as validation."""
    cut = arrays.end - days * DAY
    later = np.asarray(arrays.request_time) >= cut
    return replace(arrays, meta={**arrays.meta, "cut_us": cut}, is_validation=later)
