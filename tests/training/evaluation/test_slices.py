"""Slices: every request is of one class of queries, and classes are thirds of the train requests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import Settings
from tests.training.toy_arrays import with_edges
from training.data.arrays import prepare_arrays
from training.evaluation.slices import query_classes, slices_of

MakeShop = Callable[..., Settings]
numbers = st.lists(st.integers(0, 12), max_size=60).map(lambda n: np.array(n, dtype=np.int32))


@given(numbers, numbers)
def test_every_query_has_one_class(train: np.ndarray, asked: np.ndarray) -> None:
    classes = query_classes(train, asked)
    for query, found in zip(asked, classes, strict=True):
        assert (found == "unseen") == (query not in train)
        assert found in ("head", "torso", "tail", "unseen")
    by_count = {int((train == q).sum()): c for q, c in zip(asked, classes, strict=True) if c != "unseen"}
    order = [("tail", "torso", "head").index(by_count[count]) for count in sorted(by_count)]
    assert order == sorted(order)


def test_classes_are_thirds_of_the_requests() -> None:
    frequency = {0: 40, 1: 20, 2: 20, 3: 5, 4: 5, 5: 5, 6: 5}
    train = np.repeat(list(frequency), list(frequency.values())).astype(np.int32)
    classes = query_classes(train, np.array([0, 1, 2, 3, 6, 9], dtype=np.int32))
    assert classes.tolist() == ["head", "torso", "torso", "tail", "tail", "unseen"]


@pytest.mark.parametrize(("counts", "expected"), [([3], "torso"), ([9, 1], "head"), ([1] * 7 + [3], "tail")])
def test_the_rarest_are_tail_and_the_most_frequent_head_however_many(counts: list[int], expected: str) -> None:
    train = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
    assert query_classes(train, np.array([0], dtype=np.int32)).tolist() == [expected]


def test_slices_of_the_toy_shop(make_shop: MakeShop) -> None:
    arrays = with_edges(prepare_arrays(make_shop(requests=1_000)))
    requests = np.flatnonzero(arrays.is_validation & (arrays.clicked.lengths > 0))
    wanted = arrays.clicked.take(requests)
    slices = slices_of(arrays, requests, wanted)

    def count(*names: str) -> int:
        return sum(int(slices[name].requests.sum()) for name in names if name in slices)

    assert count("head queries", "torso queries", "tail queries", "unseen queries") == len(requests)
    assert count("seen queries", "unseen queries") == len(requests)
    assert count("returning users", "new users") == len(requests)
    assert all(part.requests.any() for part in slices.values())
    clicked_before = set(arrays.clicked.take(np.flatnonzero(~arrays.is_validation)).ids.tolist())
    cold, new = slices["cold items"], slices["new items"]
    assert cold.wanted is not None
    assert new.wanted is not None
    for row in range(len(requests)):
        items = wanted[row].tolist()
        assert cold.wanted[row].tolist() == [i for i in items if i not in clicked_before]
        assert new.wanted[row].tolist() == [i for i in items if arrays.item_available[i] >= arrays.cut]
        assert new.requests[row] == (len(new.wanted[row]) > 0)
