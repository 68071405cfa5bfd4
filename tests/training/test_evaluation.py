"""Metrics, baselines and the table, against obvious references."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.settings import Settings
from training.arrays import prepare_arrays
from training.baselines import Bm25, bm25_top, catalog_text, popular_top
from training.candidate import load_candidate
from training.evaluation import evaluate, judge
from training.held_out import stopping_and_judging
from training.metrics import MEASURES, per_request, with_interval
from training.ragged import Ragged
from training.search import exact_top, recall
from training.trainer import train

MakeShop = Callable[..., Settings]


def test_metrics_by_hand() -> None:
    found = np.array([[7, 3, 9], [1, 2, -1], [-1, -1, -1]])
    values = per_request(found, np.array([0, 0, 1, 2]), np.array([3, 8, 1, 1]))
    np.testing.assert_allclose(values["recall@10"], [0.5, 1, 0])
    np.testing.assert_allclose(values["mrr"], [0.5, 1, 0])
    ideal = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(values["ndcg@10"], [1 / np.log2(3) / ideal, 1, 0])


def test_own_recall_equals_the_library() -> None:
    rng = np.random.default_rng(0)
    found = np.stack([rng.permutation(300)[:100] for _ in range(40)])
    wanted = Ragged(
        np.arange(0, 121, 3), np.concatenate([rng.choice(300, 3, False) for _ in range(40)]).astype(np.int32)
    )
    values = per_request(found, wanted.rows_of_entries(), wanted.ids.astype(np.int64))
    for k in (10, 100):
        np.testing.assert_allclose(recall(found, wanted, k), values[f"recall@{k}"])


def test_interval_covers_the_mean_and_repeats() -> None:
    values = np.random.default_rng(1).random(400)
    mean, low, high = with_interval(values, seed=3)
    assert low < mean == values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.15)
    assert with_interval(values, seed=3) == (mean, low, high)


def test_exact_search_finds_only_what_existed() -> None:
    rng = np.random.default_rng(2)
    items, queries = rng.normal(size=(50, 4)).astype(np.float32), rng.normal(size=(6, 4)).astype(np.float32)
    born, asked = rng.integers(0, 10, 50), rng.integers(0, 10, 6)
    found, scores = exact_top(queries, items, 50, asked, born)
    for row in range(6):
        exists = [i for i in np.argsort(-(items @ queries[row]), kind="stable") if born[i] <= asked[row]]
        assert [i for i in found[row] if i >= 0] == exists
        assert np.isneginf(scores[row, len(exists) :]).all()


def test_popularity_counts_orders_then_clicks_of_the_train_window(make_shop: MakeShop) -> None:
    arrays = prepare_arrays(make_shop(requests=500))
    requests = np.flatnonzero(arrays.is_validation)[:5]
    train_rows = np.flatnonzero(~arrays.is_validation)
    orders, clicks = (np.bincount(s.take(train_rows).ids, minlength=600) for s in (arrays.ordered, arrays.clicked))
    for request, top in zip(requests, popular_top(arrays, requests, 20), strict=True):
        exists = [i for i in range(600) if arrays.item_available[i] <= arrays.request_time[request]]
        assert top.tolist() == sorted(exists, key=lambda i: (-orders[i], -clicks[i], i))[:20]


def test_bm25_finds_matching_items_that_exist(make_shop: MakeShop) -> None:
    arrays = prepare_arrays(make_shop(requests=500))
    requests = np.flatnonzero(arrays.is_validation)[:5]
    titles, queries = arrays.catalog()["title"].to_pylist(), arrays.query_texts().to_pylist()
    for request, top in zip(requests, bm25_top(arrays, requests, 10), strict=True):
        words = set(queries[arrays.request_query[request]].split())
        assert words <= set(titles[top[0]].lower().split())
        assert all(arrays.item_available[i] <= arrays.request_time[request] for i in top if i >= 0)


def test_bm25_without_a_match_or_a_text_finds_nothing() -> None:
    assert Bm25(["red shoes", "blue hat"]).search(["zebra"], 2)[0].tolist() == [[-1, -1]]
    assert Bm25(["", ""]).search(["zebra"], 2)[0].tolist() == [[-1, -1]]


def test_catalog_text_has_every_text_field() -> None:
    pairs = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))
    catalog = pa.table(
        {
            "item_id": ["a", "b"],
            "title": ["Mug", None],
            "category_path": [["Home", "Mugs"], None],
            "attributes": pa.array([[{"key": "colour", "value": "red"}], None], pairs),
        }
    )
    assert [" ".join(t.split()) for t in catalog_text(catalog)] == ["Mug Home Mugs red", ""]


def test_the_table_has_every_method_on_the_same_rows(make_shop: MakeShop) -> None:
    settings = make_shop()
    report = evaluate(settings, train(settings).candidate_dir)
    arrays = prepare_arrays(settings)
    assert report.truth == "orders"
    stopping, judging = stopping_and_judging(arrays, settings.training)
    assert report.requests == int((arrays.ordered.lengths[judging] > 0).sum()) > 0
    assert len(stopping)
    assert not set(arrays.request_user[stopping].tolist()) & set(arrays.request_user[judging].tolist())
    assert [r["method"] for r in report.rows] == ["towers", "towers, not personalized", "bm25", "popularity"]
    for row in report.rows:
        for measure in MEASURES:
            assert row[measure]["low"] <= row[measure]["value"] <= row[measure]["high"]
    assert report.value("towers", "recall@10") > report.value("popularity", "recall@10")
    assert report.value("towers", "ndcg@10") > report.value("towers, not personalized", "ndcg@10")
    slices = report.slices
    assert (
        slices["seen queries"]["requests"] + slices.get("unseen queries", {"requests": 0})["requests"]
        == report.requests
    )


def test_a_log_without_orders_is_evaluated_on_clicks(make_shop: MakeShop) -> None:
    settings = make_shop(requests=400, orders=False, texts=False)
    assert evaluate(settings, train(settings).candidate_dir).truth == "clicks"


def test_judgements(make_shop: MakeShop) -> None:
    settings = make_shop(requests=1_500)
    towers = load_candidate(train(settings).candidate_dir)
    catalog = pq.read_table(settings.paths.catalog)
    titles, ids = catalog["title"].to_pylist(), catalog["item_id"].to_pylist()
    exact = [i for i, t in zip(ids, titles, strict=True) if t.endswith("red mug")]
    other = [i for i, t in zip(ids, titles, strict=True) if t.endswith("blue mug")]
    judgements = pa.table(
        {
            "query": ["red mug"] * (len(exact) + len(other)) + ["lost"],
            "item_id": [*exact, *other, "no such item"],
            "grade": [3] * len(exact) + [1] * len(other) + [3],
        }
    )
    rows = judge(towers, None, judgements, catalog)
    assert [(r["method"], r["queries"]) for r in rows] == [("towers", 1), ("bm25", 1)]
    assert rows[1]["recall@100"] == 1
    assert float(rows[0]["recall@100"]) > 0.5
    with pytest.raises(ValueError, match="no judgement of grade 3"):
        judge(towers, pa.table({"query": ["another"]}), judgements, catalog)
