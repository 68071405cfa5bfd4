"""Baselines against obvious references, over the catalogue of the request's time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.settings import Settings
from tests.training.toy_arrays import with_edges
from training.baselines import (
    bm25_top,
    item_quality,
    popular_top,
    random_walk_top,
    reciprocal_rank_fusion,
    zero_shot_top,
)
from training.data.arrays import Arrays, TextVectors, prepare_arrays
from training.ranking.bm25 import Bm25, catalog_text

MakeShop = Callable[..., Settings]
rankings = st.lists(st.permutations(range(8)).flatmap(lambda p: st.integers(0, 8).map(lambda n: p[:n])), min_size=2)


@pytest.fixture
def arrays(make_shop: MakeShop) -> Arrays:
    return with_edges(prepare_arrays(make_shop(requests=500)))


def test_popularity_counts_orders_then_clicks_of_the_train_window(arrays: Arrays) -> None:
    requests = np.flatnonzero(arrays.is_validation)[:5]
    train_rows = np.flatnonzero(~arrays.is_validation)
    orders, clicks = (np.bincount(s.take(train_rows).ids, minlength=600) for s in (arrays.ordered, arrays.clicked))
    for request, top in zip(requests, popular_top(arrays, requests, 20), strict=True):
        exists = [i for i in range(600) if arrays.item_available[i] <= arrays.request_time[request]]
        assert top.tolist() == sorted(exists, key=lambda i: (-orders[i], -clicks[i], i))[:20]


def test_bm25_finds_matching_items(arrays: Arrays) -> None:
    requests = np.flatnonzero(arrays.is_validation)[:5]
    titles, queries = arrays.catalog()["title"].to_pylist(), arrays.query_texts().to_pylist()
    for request, top in zip(requests, bm25_top(arrays, requests, 10), strict=True):
        words = set(queries[arrays.request_query[request]].split())
        assert words <= set(titles[top[0]].lower().split())


def test_every_baseline_finds_only_what_existed_and_nothing_twice(arrays: Arrays) -> None:
    requests = np.flatnonzero(arrays.is_validation)
    rng = np.random.default_rng(0)
    vectors = TextVectors(*(rng.normal(size=(n, 4)).astype(np.float32) for n in (arrays.items, 200)))
    found = {
        "popularity": popular_top(arrays, requests, 600),
        "bm25": bm25_top(arrays, requests, 600),
        "random walk": random_walk_top(arrays, requests, 600),
        "zero-shot": zero_shot_top(arrays, requests, 600, vectors),
    }
    assert (arrays.item_available > arrays.request_time[requests].min()).any()
    for top in found.values():
        row, place = np.nonzero(top >= 0)
        assert len(row)
        assert (arrays.item_available[top[row, place]] <= arrays.request_time[requests][row]).all()
        assert all(len(set(r[r >= 0].tolist())) == (r >= 0).sum() for r in top)


def test_bm25_without_a_match_or_a_text_finds_nothing() -> None:
    assert Bm25(["red shoes", "blue hat"]).search(["zebra", "the", ""], 2)[0].tolist() == [[-1, -1]] * 3
    assert Bm25(["", ""]).search(["zebra"], 2)[0].tolist() == [[-1, -1]]
    assert Bm25(["red shoes", "blue hat"]).search([], 2)[0].shape == (0, 2)


def test_bm25_scores_are_the_librarys() -> None:
    texts = ["red shoes for men", "blue hat", "red red hat", "green mug", "hat shoes"]
    index = Bm25(texts)
    found, scores = index.search(["red hat", "mug"], 5)
    expected = [index._index.get_scores(words) for words in (["red", "hat"], ["mug"])]
    for row in range(2):
        hits = found[row] >= 0
        assert sorted(found[row][hits]) == np.flatnonzero(expected[row]).tolist()
        np.testing.assert_allclose(scores[row][hits], np.sort(expected[row])[::-1][: hits.sum()])


def test_quality_multiplies_the_score_of_bm25() -> None:
    index = Bm25(["red mug", "red mug", "blue lamp"])
    plain_scores = index.search(["red"], 2)[1]
    found, scores = index.search(["red"], 3, np.array([1, 2, 2], dtype=np.float32))
    assert found.tolist() == [[1, 0, -1]]
    np.testing.assert_allclose(scores[0, :2], plain_scores[0] * [2, 1])


def test_quality_is_the_mean_level_of_what_is_known(arrays: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = np.full((arrays.items, 3), np.nan, dtype=np.float32)
    raw[:3] = [[9, 0.1, 2], [9, 0.3, np.nan], [9, 0.2, 4]]
    asked: list[int] = []

    def figures(_: Arrays, at: int) -> np.ndarray:
        asked.append(at)
        return raw

    monkeypatch.setitem(arrays.meta, "item_features", ["price", "order_rate", "rating"])  # type: ignore[arg-type]
    monkeypatch.setattr(Arrays, "item_features", figures)
    quality = item_quality(arrays, arrays.cut)
    np.testing.assert_allclose(quality[:4], [(1 / 6 + 1 / 4) / 2, 5 / 6, (1 / 2 + 3 / 4) / 2, 0.5], atol=1e-6)
    assert asked == [arrays.cut]


def test_zero_shot_is_the_cosine_and_skips_what_has_no_text(arrays: Arrays) -> None:
    rng = np.random.default_rng(1)
    items, queries = (rng.normal(size=(n, 6)).astype(np.float32) for n in (arrays.items, 100))
    items[7] = 0
    requests = np.flatnonzero(arrays.is_validation)[:4]
    queries[arrays.request_query[requests[0]]] = 0
    found = zero_shot_top(arrays, requests, 600, TextVectors(items, queries))
    asks_nothing = arrays.request_query[requests] == arrays.request_query[requests[0]]
    for request, top, empty in zip(requests, found, asks_nothing, strict=True):
        exists = (arrays.item_available <= arrays.request_time[request]) & (np.arange(arrays.items) != 7)
        order = np.argsort(-(items @ queries[arrays.request_query[request]]), kind="stable")
        assert top[top >= 0].tolist() == ([] if empty else [i for i in order if exists[i]])


@settings(max_examples=80, deadline=None)
@given(rankings, st.integers(1, 10))
def test_fusion_equals_the_obvious_sum(lists: list[list[int]], k: int) -> None:
    padded = [np.array([r + [-1] * (8 - len(r)), r[::-1] + [-1] * (8 - len(r))]) for r in lists]
    found = reciprocal_rank_fusion(padded, k)
    for row in range(2):
        scores: dict[int, float] = defaultdict(float)
        first: dict[int, tuple[int, int]] = {}
        for number, ranking in enumerate(padded):
            for rank, item in enumerate(i for i in ranking[row].tolist() if i >= 0):
                scores[item] += 1 / (60 + rank + 1)
                first[item] = min(first.get(item, (99, 99)), (rank, number))
        expected = sorted(scores, key=lambda i: (-round(scores[i], 12), first[i]))[:k]
        assert found[row].tolist() == expected + [-1] * (k - len(expected))


def test_fusion_takes_rankings_of_different_depth() -> None:
    found = reciprocal_rank_fusion([np.array([[4, 2, 9]]), np.array([[2]])], 4)
    assert found.tolist() == [[2, 4, 9, -1]]


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
    assert catalog_text(catalog, ("title",)) == ["Mug", ""]
