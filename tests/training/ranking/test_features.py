"""What the second stage reads of a pair."""

from dataclasses import fields, replace
from typing import Any

import numpy as np
import scipy.sparse as sp  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.ranking.examples import asked, items
from training.ranking.candidates import Asked, candidates
from training.ranking.features import FAR, PAIR_FEATURES, group_of, pair_features
from training.ranking.query_graph import Walked

TOWERS = np.array([[0, 1, 2, 3, 4]] * 2)


def of_pair(row: int, item: int, request: Asked, **columns: Any) -> dict[str, float]:
    pairs = candidates(TOWERS[: len(request.vectors)], request)
    values = pair_features(pairs, request, items(**columns))
    (at,) = np.flatnonzero((pairs.row == row) & (pairs.item == item))
    return dict(zip(items().features, values[at].tolist(), strict=True))


def test_sources_say_score_share_of_the_best_and_place() -> None:
    lexical = np.array([[2, 4, 0, 0, 0], [0] * 5], dtype=np.float32)
    visits = np.array([[0, 0, 0.5, 1, 0], [0] * 5], dtype=np.float32)

    found = of_pair(0, 0, asked(lexical=lexical, visits=visits))

    assert found["towers_cosine"] == 1
    assert np.isclose(found["lexical_score"], np.log1p(2)) and found["lexical_share"] == 0.5
    assert np.isclose(found["towers_rank"], 60 / 61) and np.isclose(found["lexical_rank"], 60 / 62)
    assert found["graph_share"] == 0 == found["graph_rank"]
    assert of_pair(0, 2, asked(lexical=lexical, visits=visits))["graph_share"] == 0.5
    assert np.isclose(found["order_rate"], 0.1)
    assert np.isnan(of_pair(0, 2, asked())["order_rate"])


def test_texts_say_how_near_they_are_and_the_place_among_the_candidates() -> None:
    text = np.array([[1, 0], [0.6, 0.8], [0, 1], [0, 0], [-1, 0]], dtype=np.float16)
    request = asked(text=np.array([[0, 1], [0, 0]], dtype=np.float32))

    second = of_pair(0, 1, request, text=text)

    assert np.isclose(second["text_cosine"], 0.8, atol=1e-3) and np.isclose(second["text_rank"], 60 / 62)
    assert np.isclose(of_pair(0, 2, request, text=text)["text_rank"], 60 / 61)
    for row, item in ((0, 3), (1, 2)):  # an item, a query without a text
        unread = of_pair(row, item, request, text=text)
        assert np.isnan(unread["text_cosine"]) and unread["text_rank"] == 0
    assert np.isnan(of_pair(0, 2, request)["text_cosine"]), "no encoder"


def test_what_the_user_did_counts_with_how_often_and_how_lately() -> None:
    bought = np.array([[2, 0, 2, -1], [-1] * 4], dtype=np.int32)
    met = np.array([[1, 2], [-1, -1]], dtype=np.int32)
    request = asked(order_history=bought, recent_items=met)

    found = of_pair(0, 2, request)

    assert np.isclose(found["times_ordered"], np.log1p(2)) and found["order_recency"] == 1
    assert found["item_recency"] == 0.5
    assert np.isclose(of_pair(0, 0, request)["order_recency"], 0.5)
    assert np.isclose(found["brand_share"], 3 / 5) and np.isclose(found["category_share"], 4 / 5)
    # of mugs: 40 three times, 10 once
    mean = (3 * np.log(40) + np.log(10)) / 4
    assert np.isclose(found["price_closeness"], np.exp(-(np.log(40) - mean)))
    for item in (3, 4):  # neither brand nor category, and no price
        unknown = of_pair(0, item, request)
        assert unknown["price_closeness"] == 0 and unknown["category_share"] == 0
    assert all(of_pair(1, 2, request)[name] == 0 for name in ("times_ordered", "item_recency", "brand_share"))


numbers = arrays(np.int32, (3, 3), elements=st.integers(-1, 4))
floats = arrays(np.float32, (3, 5), elements=st.sampled_from([0.0, 0.5, 1.0, 2.0]))


@given(numbers, numbers, floats, floats, st.permutations(range(3)))
@settings(max_examples=100, deadline=None)
def test_a_request_reads_the_same_alone_and_among_others(
    bought: np.ndarray, met: np.ndarray, lexical: np.ndarray, visits: np.ndarray, order: list[int]
) -> None:
    together = asked(n=3, order_history=bought, recent_items=met, lexical=lexical, visits=visits)
    towers = np.array([[0, 1, 2], [2, 1, 4], [-1, -1, -1]])
    pairs = candidates(towers, together)
    values = pair_features(pairs, together, items())

    for row in order:
        one = replace(
            together,
            **{
                f.name: getattr(together, f.name)[row : row + 1]
                for f in fields(together)
                if f.name in ("vectors", "lexical", "recent_items", "order_history")
            },
            graph=Walked(sp.csr_array(together.graph.visits[[row]]), together.graph.known[row : row + 1]),
        )
        alone = candidates(towers[row : row + 1], one)
        assert alone.item.tolist() == pairs.item[pairs.row == row].tolist()
        np.testing.assert_allclose(pair_features(alone, one, items()), values[pairs.row == row], rtol=1e-6)


def test_columns_are_named() -> None:
    assert items().features == (*PAIR_FEATURES, "taste for brand", "order_rate")


def test_how_dear_people_buy_is_told_by_the_place_in_the_category() -> None:
    place = np.array([0.1, 0.9, 0.5, np.nan, np.nan], dtype=np.float32)
    request = asked(order_history=np.array([[0, -1], [-1, -1]], dtype=np.int32))
    values = pair_features(candidates(TOWERS, request), request, replace(items(), price_place=place))
    column = values[:, PAIR_FEATURES.index("price_place_closeness")].reshape(2, 5)
    mean = (0.1 + 0.5) / 2  # one choice of the middle beside theirs
    known = [FAR - abs(p - mean) for p in place[:3]]
    np.testing.assert_allclose(column[0], [*known, 0, 0], rtol=1e-6)


def test_a_user_of_whom_nothing_is_known_adds_nothing_to_any_item() -> None:
    request = asked(order_history=np.array([[0, 2], [-1, -1]], dtype=np.int32))
    pairs = candidates(TOWERS, request)
    values = pair_features(pairs, request, items())
    of_user = [at for at, name in enumerate(items().features) if group_of(name) == "user"]
    assert not values[pairs.row == 1][:, of_user].any()
    assert values[pairs.row == 0][:, of_user].any()
