"""Scores, their parts, and the order that is served."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.training.ranking.examples import asked, items
from training.ranking.candidates import DEPTH, Pairs, candidates
from training.ranking.features import pair_features
from training.ranking.ranker import CLASSES, RULES, Ranker, in_order

FEATURES = items().features


def some_ranker(seed: int = 1) -> Ranker:
    rng = np.random.default_rng(seed)
    return Ranker(FEATURES, {name: rng.normal(size=len(FEATURES)) for name in CLASSES}, np.full(len(FEATURES), 0.5))


def test_parts_add_up_and_unknown_values_are_filled() -> None:
    values = np.random.default_rng(2).random((6, len(FEATURES)), dtype=np.float32)
    values[2, -1] = np.nan
    known = np.array([True, False] * 3)
    ranker = some_ranker()

    parts = ranker.parts(values, known)

    assert list(parts) == ["towers", "quality", "text", "lexical", "graph", "user", "item"]
    np.testing.assert_allclose(sum(parts.values()), ranker.scores(values, known), rtol=1e-5)
    assert np.isclose(parts["item"][2], 0.5 * ranker.weights["known"][-1])
    assert not np.allclose(ranker.scores(values, known), ranker.scores(values, ~known))


def test_it_is_the_same_when_it_was_written_and_read() -> None:
    ranker = some_ranker()
    read = Ranker.from_json(json.loads(json.dumps(ranker.to_json())))
    values = np.random.default_rng(3).random((4, len(FEATURES)), dtype=np.float32)
    known = np.array([True, False, True, False])
    assert (read.scores(values, known) == ranker.scores(values, known)).all()


def test_more_features_than_it_knows_change_nothing() -> None:
    ranker = some_ranker()
    more = ("something new", *FEATURES[::-1])
    values = np.random.default_rng(3).random((4, len(more)), dtype=np.float32)
    known = np.array([True, False, True, False])
    expected = ranker.scores(np.ascontiguousarray(values[:, :0:-1]), known)
    np.testing.assert_allclose(ranker.aligned(more).scores(values, known), expected, rtol=1e-5)
    with pytest.raises(KeyError, match=FEATURES[0]):
        ranker.aligned(FEATURES[1:])


def test_the_hybrid_rule_orders_as_reciprocal_rank_fusion_does() -> None:
    lexical = np.array([[0, 0, 1, 3, 2]], dtype=np.float32)
    request = asked(n=1, lexical=lexical)
    towers = np.array([[0, 1, 2, 3, 4]])
    pairs = candidates(towers, request)
    ranker = Ranker.of_rules(FEATURES, dict.fromkeys(CLASSES, "hybrid"))

    found, _ = in_order(ranker, pairs, pair_features(pairs, request, items()), request.graph.known, towers, 5)

    fused = {0: 1 / 61, 1: 1 / 62, 2: 1 / 63 + 1 / 63, 3: 1 / 64 + 1 / 61, 4: 1 / 65 + 1 / 62}
    assert found[0].tolist() == sorted(fused, key=lambda item: -fused[item])


def test_only_the_rule_of_the_towers_follows_them() -> None:
    for rule in RULES:
        ranker = Ranker.of_rules(FEATURES, {"known": rule, "unknown": "towers"})
        assert ranker.follows_towers(np.array([True, False])).tolist() == [rule == "towers", True]


@given(st.integers(1, 3 * DEPTH), st.integers(1, 3 * DEPTH), st.integers(0, 400), st.integers(0, 10))
@settings(max_examples=100, deadline=None)
def test_fewer_hits_are_the_beginning_of_more(k: int, more: int, depth: int, seed: int) -> None:
    k, more = sorted((k, more))
    rng = np.random.default_rng(seed)
    towers = rng.permutation(800)[None, : DEPTH + depth]
    own = np.sort(rng.permutation(900)[:300])
    item = np.union1d(towers[0, :DEPTH], own)
    pairs = Pairs(np.zeros(len(item), dtype=np.int64), item, np.zeros((len(item), 3), dtype=np.int32))
    values = rng.choice([0.1, 0.2, 0.7], (len(item), len(FEATURES))).astype(np.float32)
    known = np.array([True])

    few, many = (in_order(some_ranker(), pairs, values, known, towers, n) for n in (k, more))

    assert few[0][0].tolist() == many[0][0, :k].tolist()
    found = many[0][0][many[0][0] >= 0]
    assert len(set(found.tolist())) == len(found) == min(more, len(np.union1d(item, towers[0])))
    assert (np.diff(many[1][0][: len(found)]) <= 0).all()


def test_what_is_there_for_the_user_alone_counts_where_users_do() -> None:
    request = asked(n=1, order_history=np.array([[3, 3]], dtype=np.int32))
    towers = np.array([[0, 1]])
    pairs = candidates(towers, request)
    values, known = pair_features(pairs, request, items()), request.graph.known
    rule = Ranker.of_rules(FEATURES, dict.fromkeys(CLASSES, "hybrid"))
    assert in_order(rule, pairs, values, known, towers, 5)[0].tolist() == [[0, 1, -1, -1, -1]]
    ranker = some_ranker()
    assert set(in_order(ranker, pairs, values, known, towers, 5)[0][0].tolist()) == {0, 1, 3, -1}
    assert ranker.reads_users(np.array([True, False])).all() and not rule.reads_users(known).any()


def test_what_a_source_finds_that_does_not_count_is_no_hit() -> None:
    only_words = Ranker.of_rules(FEATURES, dict.fromkeys(CLASSES, "bm25"))
    known = np.array([True])
    assert only_words.reads_sources(known).tolist() == [[False, True, False]]
    row, item = np.zeros(3, dtype=np.int64), np.array([2, 5, 7])
    rank = np.array([[0, DEPTH, DEPTH], [1, 0, DEPTH], [DEPTH, DEPTH, 0]], dtype=np.int32)
    values = np.zeros((3, len(FEATURES)), dtype=np.float32)
    values[1, FEATURES.index("lexical_rank")] = 1
    towers = np.array([[2, 5, *range(10, 10 + DEPTH)]])
    found, _ = in_order(only_words, Pairs(row, item, rank), values, known, towers, 10)
    assert found[0].tolist() == [5] + [-1] * 9
    hybrid = Ranker.of_rules(FEATURES, dict.fromkeys(CLASSES, "hybrid"))
    found, _ = in_order(hybrid, Pairs(row, item, rank), values, known, towers, 3)
    assert found[0].tolist() == [5, 2, 10 + DEPTH - 2]
