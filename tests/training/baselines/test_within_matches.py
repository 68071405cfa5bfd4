"""Popularity within what BM25 matches, against a slow reference."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infra.settings import Settings
from training.baselines import popular_within_matches
from training.baselines.within_matches import LEAST_SHARE
from training.data.arrays import prepare_arrays
from training.ranking.bm25 import Bm25, catalog_text

TEXTS = ["hotel london united kingdom", "hotel york united kingdom", "inn london united kingdom", "paris france"]
WORTH = np.array([1, 4, 2, 3], dtype=np.float32)


def test_the_most_worth_of_those_that_match_come_first() -> None:
    found = Bm25(TEXTS).best_matching(["london", "united kingdom", "tokyo"], 3, WORTH, 0.5)
    assert found.tolist() == [[2, 0, -1], [1, 2, 0], [-1, -1, -1]]


def test_a_country_alone_does_not_match_a_place_in_it() -> None:
    assert Bm25(TEXTS).best_matching(["london united kingdom"], 3, WORTH, 0.8).tolist() == [[2, 0, -1]]


def test_nothing_matches_a_catalogue_without_words() -> None:
    assert Bm25(["", ""]).best_matching(["london"], 2, WORTH[:2], 0.5).tolist() == [[-1, -1]]


def test_against_a_slow_reference(make_shop: Callable[..., Settings]) -> None:
    settings = make_shop(requests=600, items=80)
    arrays = prepare_arrays(settings)
    requests = np.flatnonzero(arrays.is_validation)[:20]
    found = popular_within_matches(arrays, requests, 5)
    index, texts = Bm25(catalog_text(arrays.catalog())), arrays.query_texts().to_pylist()
    train = np.flatnonzero(~arrays.is_validation)
    orders, clicks = (np.bincount(s.take(train).ids, minlength=arrays.items) for s in (arrays.ordered, arrays.clicked))
    for request, row in zip(requests, found, strict=True):
        ids, scores = index.search([texts[arrays.request_query[request]]], arrays.items)
        near = [int(i) for i, s in zip(ids[0], scores[0], strict=True) if i >= 0 and s >= LEAST_SHARE * scores[0, 0]]
        there = [i for i in near if arrays.item_available[i] <= arrays.request_time[request]]
        best = sorted(there, key=lambda i: (-orders[i], -clicks[i], i))[:5]
        assert row.tolist() == best + [-1] * (5 - len(best))
