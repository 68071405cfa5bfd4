"""The union of what the sources find."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.training.ranking.examples import asked
from training.ranking import candidates as module
from training.ranking.candidates import DEPTH, candidates

scores = arrays(np.float32, (2, 5), elements=st.sampled_from([0.0, 0.25, 0.5, 1.0]))
histories = arrays(np.int32, (2, 3), elements=st.integers(-1, 4))
masks = arrays(np.bool_, st.sampled_from([(1, 5), (2, 5)]))


@given(scores, scores, histories, masks)
@settings(max_examples=200, deadline=None)
def test_the_union_has_all_that_may_be_found_and_each_pair_once(
    lexical: np.ndarray, visits: np.ndarray, bought: np.ndarray, allowed: np.ndarray
) -> None:
    may = np.broadcast_to(allowed, (2, 5))
    towers = np.array([[item if may[row, item] else -1 for item in (4, 2)] for row in range(2)])

    pairs = candidates(towers, asked(lexical=lexical, visits=visits, order_history=bought, allowed=allowed))

    found = list(zip(pairs.row.tolist(), pairs.item.tolist(), strict=True))
    expected = {
        (row, item)
        for row in range(2)
        for item in range(5)
        if may[row, item]
        and (item in (4, 2) or lexical[row, item] > 0 or visits[row, item] > 0 or item in bought[row].tolist())
    }
    assert found == sorted(expected)
    for (row, item), rank in zip(found, pairs.rank.tolist(), strict=True):
        for values, place in ((lexical, rank[1]), (visits, rank[2])):
            better = int((values[row][may[row]] > values[row, item]).sum())
            assert place == DEPTH if values[row, item] <= 0 else place >= better


def test_a_source_gives_its_best_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DEPTH", 2)
    lexical = np.array([[3, 1, 2, 0, 0]], dtype=np.float32)

    pairs = candidates(np.array([[4, 3, 1]]), asked(n=1, lexical=lexical))

    assert pairs.item.tolist() == [0, 2, 3, 4]
    assert pairs.rank.tolist() == [[2, 0, 2], [2, 1, 2], [1, 2, 2], [0, 2, 2]]
