"""Maximal marginal relevance: what holds of any list, and of what is served."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import ServingSettings
from serving.diversity import DIVERSIFIED, diversified
from serving.retriever import Retriever
from tests.serving.small_shop import Shop, make_shop
from tests.serving.test_retriever import PATIENT, put_live

Hits = tuple[np.ndarray, np.ndarray]


@st.composite
def hits(draw: st.DrawFn) -> Hits:
    count = draw(st.integers(0, DIVERSIFIED + 20))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    scores = -np.sort(-rng.choice(draw(st.sampled_from([3, 1_000])), count).astype(np.float32))
    vectors = rng.normal(size=(count, 4)).astype(np.float32) * rng.integers(0, 2, (count, 1))
    return scores, vectors.astype(np.float32)


@given(hits(), st.floats(0, 1))
def test_it_is_another_order_of_the_same_hits_that_begins_with_the_best(found: Hits, diversity: float) -> None:
    scores, vectors = found
    order = diversified(scores, vectors, diversity)
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert order[:1].tolist() == [0] * min(1, len(scores))
    assert order[DIVERSIFIED:].tolist() == list(range(DIVERSIFIED, len(scores)))
    assert order.tolist() == diversified(scores, vectors[:DIVERSIFIED], diversity).tolist()
    assert diversified(scores, vectors, 0.0).tolist() == list(range(len(scores)))


@given(hits(), st.floats(0.01, 1))
def test_each_hit_is_the_one_of_the_largest_marginal_relevance(found: Hits, diversity: float) -> None:
    scores, vectors = found[0][:DIVERSIFIED], found[1][:DIVERSIFIED].astype(np.float64)
    if len(scores) < 3:
        return
    order = diversified(*(values[:DIVERSIFIED] for values in found), diversity).tolist()
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    span = scores[0] - scores[-1]
    relevance = (scores - scores[-1]) / span if span > 0 else np.zeros(len(scores))
    for place in range(1, len(order)):
        left = order[place:]
        marginal = (1 - diversity) * relevance[left] - diversity * (unit[left] @ unit[order[:place]].T).max(axis=1)
        assert marginal[0] >= marginal.max() - 1e-5


def test_twins_do_not_follow_each_other() -> None:
    vectors = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    scores = np.array([1.0, 0.99, 0.98, 0.7, 0.6], dtype=np.float32)
    assert diversified(scores, vectors, 0.5).tolist()[:2] == [0, 3]
    assert diversified(scores, vectors, 0.05).tolist() == [0, 1, 2, 3, 4]


@given(hits(), st.floats(0.01, 1), st.integers(1, 3))
def test_items_named_by_their_number_stay_first_and_are_on_no_scale(found: Hits, diversity: float, named: int) -> None:
    scores, vectors = found
    if len(scores) < named:
        return

    def with_scores_of_named(above: float) -> list[int]:
        ahead = scores[0] + above * np.arange(named, 0, -1)
        raised = np.concatenate([ahead, scores[named:]]).astype(np.float32)
        return diversified(raised, vectors, diversity, named).tolist()

    assert with_scores_of_named(1.0)[:named] == list(range(named))
    assert with_scores_of_named(1.0) == with_scores_of_named(1_000.0)


def test_a_name_does_not_make_the_others_alike() -> None:
    vectors = np.array([[0, 0, 1], [1, 0, 0], [1, 0.1, 0], [0, 1, 0]], dtype=np.float32)
    scores = np.array([1.9, 0.9, 0.8, 0.1], dtype=np.float32)
    assert diversified(scores, vectors, 0.4, named=1).tolist() == [0, 1, 2, 3]
    assert diversified(scores, vectors, 0.4).tolist() == [0, 1, 3, 2], "as if it were as relevant as its score"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    home: Path = tmp_path_factory.mktemp("diversity")
    serving = ServingSettings(refresh_seconds=0.2, cache_size=0, diversity=0.5)
    shop = make_shop(home, items=300, serving=serving, online=PATIENT)
    put_live(shop, shop.release())
    return shop


@pytest.fixture(scope="module", params=["towers", "hybrid"])
def retriever(shop: Shop, request: pytest.FixtureRequest) -> Iterator[Retriever]:
    put_live(shop, Shop(shop.settings, shop.catalog, request.param).release())
    with Retriever(shop.settings) as retriever:
        yield retriever


@pytest.mark.server
@pytest.mark.parametrize("query", ["red shoes", ""])
def test_what_is_served_is_the_same_hits_and_fewer_are_the_beginning_of_more(
    shop: Shop, retriever: Retriever, query: str
) -> None:
    plain = shop.settings.model_copy(update={"serving": ServingSettings(refresh_seconds=0.2, cache_size=0)})
    with Retriever(plain) as relevant:
        by_score = [h.item_id for h in relevant.retrieve(None, query, k=150).hits]
    lists = {k: [h.item_id for h in retriever.retrieve(None, query, k=k).hits] for k in (1, 7, 50, 100, 150)}
    assert all(lists[150][:k] == found and len(found) == k for k, found in lists.items())
    assert lists[150] != by_score and set(lists[100]) == set(by_score[:100])
    assert (lists[150][0], lists[150][DIVERSIFIED:]) == (by_score[0], by_score[DIVERSIFIED:])
