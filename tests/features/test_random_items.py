from __future__ import annotations

from collections import Counter
from datetime import timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.random_items import draw_random_items
from infra.contract.tables import TIME
from tests.features.small_log import START, midnight


def moments(hours: list[int]) -> pa.Array:
    return pa.array([midnight(START) + timedelta(hours=h) for h in hours], TIME)


def named(letter: str, count: int) -> pa.Array:
    return pa.array([f"{letter}{n}" for n in range(count)], pa.string())


def requests_at(*hours: int) -> pa.Table:
    return pa.table({"query_id": named("q", len(hours)), "time": moments(list(hours))})


def items_from(*hours: int) -> pa.Table:
    return pa.table({"item_id": named("i", len(hours)), "available_from": moments(list(hours))})


def pairs(*found: tuple[str, str]) -> pa.Table:
    columns = [pa.array([pair[at] for pair in found], pa.string()) for at in (0, 1)]
    return pa.table(columns, names=["query_id", "item_id"])


def drawn(requests: pa.Table, taken: pa.Table, items: pa.Table, count: int, seed: int = 1) -> list[tuple[str, str]]:
    items = items.sort_by([("available_from", "ascending"), ("item_id", "ascending")])
    table = draw_random_items(requests, taken, items, per_request=count, seed=seed, day=START)
    return list(zip(table["query_id"].to_pylist(), table["item_id"].to_pylist(), strict=True))


@settings(max_examples=150, deadline=None)
@given(
    hours=st.lists(st.integers(0, 9), max_size=6),
    since=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    taken=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 13)), max_size=30),
    count=st.integers(1, 5),
)
def test_never_taken_never_unavailable_never_twice_and_as_many_as_can_be(
    hours: list[int], since: list[int], taken: set[tuple[int, int]], count: int
) -> None:
    forbidden = {(f"q{q}", f"i{i}") for q, i in taken}
    found = drawn(requests_at(*hours), pairs(*sorted(forbidden)), items_from(*since), count)
    assert len(found) == len(set(found))
    assert not forbidden & set(found)
    by_request = Counter(query for query, _ in found)
    for n, hour in enumerate(hours):
        free = {
            f"i{i}" for i, from_hour in enumerate(since) if from_hour <= hour and (f"q{n}", f"i{i}") not in forbidden
        }
        assert {item for query, item in found if query == f"q{n}"} <= free
        assert by_request[f"q{n}"] == min(count, len(free))


def test_every_item_is_as_likely() -> None:
    requests, items = requests_at(*([5] * 20_000)), items_from(*([0] * 50))
    taken = pairs(*((f"q{n}", "i7") for n in range(20_000)))
    counts = Counter(item for _, item in drawn(requests, taken, items, 4))
    assert "i7" not in counts
    expected = 20_000 * 4 / 49
    # chi-squared with 48 degrees of freedom is above 85 once in a thousand
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 85
    assert len(counts) == 49


def test_seeds_and_requests_stand_alone() -> None:
    requests, items = requests_at(*range(10)), items_from(*([0] * 500))
    whole = drawn(requests, pairs(), items, 4)
    assert whole == drawn(requests, pairs(), items, 4)
    assert whole != drawn(requests, pairs(), items, 4, seed=2)
    alone = drawn(requests.slice(3, 1), pairs(), items, 4)
    assert alone == [pair for pair in whole if pair[0] == "q3"]
    later_items = items_from(*([0] * 500 + [20] * 50))
    assert whole == drawn(requests, pairs(), later_items, 4)


def test_the_order_of_the_catalogue_does_not_matter() -> None:
    requests, items = requests_at(3, 4, 5), items_from(*range(40))
    shuffled = items.take(np.random.default_rng(0).permutation(40))
    assert drawn(requests, pairs(), items, 3) == drawn(requests, pairs(), shuffled, 3)


def test_an_empty_catalogue_gives_no_rows() -> None:
    assert drawn(requests_at(1, 2), pairs(), items_from(), 3) == []
