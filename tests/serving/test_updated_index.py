"""Indexes over today's items against a look at each: whatever changed, was removed, or came."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.fields import FilterFields, filter_fields
from serving.filters import Filter, parse_filters
from serving.index.found import Found
from serving.index.kinds import usual_choice
from serving.index.memory import MemoryIndex
from serving.index.updated import MOST_LOST, CorrectedIndex, JoinedIndex

ITEMS, WIDTH = 3_000, 12
RNG = np.random.default_rng(8)
VECTORS = RNG.normal(size=(ITEMS + 50, WIDTH)).astype(np.float32)
BRANDS = np.array(["a", "b", "c"])[RNG.integers(0, 3, ITEMS + 50)]


def fields_of(brands: np.ndarray, prices: np.ndarray) -> FilterFields:
    return filter_fields(pa.table({"brand": brands, "price": prices}))


class Elsewhere:
    """Another process' index: it knows the items as they were, and is asked with its own columns' names."""

    def __init__(self, index: MemoryIndex) -> None:
        self._index = index
        self.asked: list[int] = []

    def search(self, queries: np.ndarray, k: int, wanted: Filter, timeout_s: float | None = None) -> Found:
        self.asked.append(k)
        return self._index.search(queries, k, wanted)


@pytest.mark.parametrize("kind", ["FLAT", "HNSW", "elsewhere"])
@settings(max_examples=25, deadline=None)
@given(
    changed=st.sampled_from([0, 5, 400, MOST_LOST + 1]),
    removed=st.sampled_from([0, 3, 700]),
    new=st.sampled_from([0, 1, 50]),
    wanted=st.sampled_from([{}, {"brand": "a"}, {"price": {"lt": 0.5}}, {"brand": "new"}, {"brand": ["b", "new"]}]),
    k=st.sampled_from([1, 10, 3_100]),
)
def test_what_is_found_is_what_a_look_at_each_finds(
    kind: str, changed: int, removed: int, new: int, wanted: dict[str, object], k: int
) -> None:
    rng = np.random.default_rng(changed + removed + new)
    prices = np.linspace(0, 1, ITEMS)
    before = fields_of(BRANDS[:ITEMS], prices)
    rows = rng.permutation(ITEMS)[:changed]
    brands, now_prices = BRANDS[: ITEMS + new].copy().astype(object), np.r_[prices, np.full(new, 0.2)]
    brands[rows[::2]], now_prices[rows[1::2]] = "new", 1 - now_prices[rows[1::2]]
    brands[ITEMS:] = "new"
    now = fields_of(brands, now_prices)
    findable = np.ones(ITEMS + new, dtype=np.bool_)
    findable[rng.permutation(ITEMS)[:removed]] = False
    vectors = VECTORS[: ITEMS + new]
    exact = MemoryIndex(vectors, now.columns).over(now.columns, findable)
    own = MemoryIndex(VECTORS[:ITEMS], before.columns, usual_choice("HNSW" if kind == "HNSW" else "FLAT", ITEMS))
    if kind == "elsewhere":
        index = CorrectedIndex(Elsewhere(own), own, before.by_name, exact, ITEMS)
    else:
        columns = now.columns.slice(ITEMS)
        fresh = MemoryIndex(vectors[ITEMS:], columns).over(columns, findable[ITEMS:])
        index = JoinedIndex(own.over(now.columns.slice(0, ITEMS), findable[:ITEMS]), fresh, ITEMS)
    queries = VECTORS[-3:]
    parsed = parse_filters(wanted, now)
    found = index.search(queries, k, parsed)
    mask = parsed.mask(now.columns)
    match = np.flatnonzero(findable if mask is None else mask & findable)
    expected = match[np.argsort(-(queries @ vectors[match].T), axis=1, kind="stable")[:, :k]]
    assert found.rows.shape == expected.shape
    if not expected.size:
        return
    if kind == "HNSW":
        assert np.isin(found.rows, match).all()
        assert np.mean([np.isin(e, f).mean() for e, f in zip(expected, found.rows, strict=True)]) > 0.9
    else:
        assert np.allclose(found.scores, np.sort(queries @ vectors[match].T, axis=1)[:, ::-1][:, :k], atol=1e-5)
        assert (np.sort(found.rows) == np.sort(expected)).mean() > 0.99


def test_another_process_is_asked_for_as_many_more_as_match_no_more() -> None:
    fields = fields_of(BRANDS[:ITEMS], np.linspace(0, 1, ITEMS))
    own = MemoryIndex(VECTORS[:ITEMS], fields.columns)
    elsewhere = Elsewhere(own)
    for removed, asked in ((0, [10]), (7, [10, 17]), (MOST_LOST + 1, [10, 17])):
        findable = np.arange(ITEMS) >= removed
        now = own.over(fields.columns, findable)
        CorrectedIndex(elsewhere, own, fields.by_name, now, ITEMS).search(VECTORS[:1], 10, Filter())
        assert elsewhere.asked == asked, "where there may be too many, memory searches"
