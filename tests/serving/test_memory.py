"""Search in memory: every type against exact search by numpy, filters, threads, and what is left of an old release."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest

from features.store.clock import clock_offset
from infra.settings import IndexSettings, IndexType
from serving.connection import Connection
from serving.errors import IncompleteCollection
from serving.fields import FilterFields, filter_fields
from serving.filters import Filter, parse_filters
from serving.index import names_of, promote, push
from serving.index.kinds import IndexChoice, usual_choice
from serving.index.memory import EXACT_ROWS, MemoryIndex
from serving.live import Live
from serving.loading import load_served
from serving.served import ServedRelease
from tests.serving.small_shop import END, make_shop

pytestmark = pytest.mark.server

ITEMS, WIDTH = 30_000, 37
KINDS: tuple[IndexType, ...] = ("FLAT", "HNSW", "IVF_FLAT", "PQ_FASTSCAN")


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Clustered vectors of many lengths, some of none."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(60, WIDTH))
    made = centres[rng.integers(0, 60, ITEMS)] + 0.5 * rng.normal(size=(ITEMS, WIDTH))
    made *= rng.uniform(0.9, 1.1, (ITEMS, 1)) / np.linalg.norm(made, axis=1, keepdims=True)
    made[::100] = 0
    return made.astype(np.float32)


@pytest.fixture(scope="module")
def fields() -> FilterFields:
    rows = np.arange(ITEMS)
    brands = np.where(rows % 2 == 0, "half", np.where(rows % 5 == 0, "tenth", np.where(rows < 40, "few", "rest")))
    return filter_fields(pa.table({"brand": brands, "price": rows.astype(float)}))


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest, vectors: np.ndarray, fields: FilterFields) -> MemoryIndex:
    return MemoryIndex(vectors, fields.columns, usual_choice(request.param, ITEMS))


def best(vectors: np.ndarray, query: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    return rows[np.argsort(-(vectors[rows] @ query), kind="stable")[:k]]


def queries_of(vectors: np.ndarray, count: int) -> np.ndarray:
    rng = np.random.default_rng(4)
    return vectors[rng.integers(0, ITEMS, count)] + 0.05 * rng.normal(size=(count, WIDTH)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 100, 1000])
def test_hits_are_nearly_those_of_exact_search_with_its_scores(index: MemoryIndex, vectors: np.ndarray, k: int) -> None:
    queries = queries_of(vectors, 20)
    found = index.search(queries, k, Filter())
    assert found.rows.shape == found.scores.shape == (20, k)
    kept = [np.isin(best(vectors, q, np.arange(ITEMS), k), r).mean() for q, r in zip(queries, found.rows, strict=True)]
    assert np.mean(kept) == 1 if index.choice.type == "FLAT" else np.mean(kept) > 0.9
    np.testing.assert_allclose(found.scores, np.einsum("nkd,nd->nk", vectors[found.rows], queries), atol=1e-4)
    assert (np.diff(found.scores, axis=1) <= 0).all()
    assert all(len(set(row)) == k for row in found.rows.tolist())


@pytest.mark.parametrize("k", [1, 10, 1000, 10_000, ITEMS, 10 * ITEMS])
@pytest.mark.parametrize(
    ("wanted", "matching"),
    [({"brand": "half"}, ITEMS // 2), ({"brand": "tenth"}, ITEMS // 10), ({"brand": "few"}, 16), ({"brand": "no"}, 0)],
)
def test_a_filter_never_gives_fewer_hits_than_there_are_or_others(
    index: MemoryIndex, vectors: np.ndarray, fields: FilterFields, wanted: dict[str, str], matching: int, k: int
) -> None:
    filters = parse_filters(wanted, fields)
    mask = filters.mask(fields.columns)
    assert mask is not None
    assert mask.sum() == matching == index.count(filters)
    queries = queries_of(vectors, 5)
    found = index.search(queries, k, filters)
    assert found.rows.shape == (5, min(k, matching))
    assert mask[found.rows].all()
    assert all(len(set(row)) == len(row) for row in found.rows.tolist())
    if matching:
        exact = [best(vectors, q, np.flatnonzero(mask), k) for q in queries]
        kept = np.mean([np.isin(e, r).mean() for e, r in zip(exact, found.rows, strict=True)])
        assert kept == 1 if matching <= EXACT_ROWS else kept > 0.85


def test_an_index_that_finds_too_little_is_completed(vectors: np.ndarray, fields: FilterFields) -> None:
    blind = MemoryIndex(vectors, fields.columns, IndexChoice("IVF_FLAT", {"nlist": 700, "nprobe": 1}))
    for filters in (Filter(), parse_filters({"price": {"gte": 10_000}}, fields)):
        found = blind.search(queries_of(vectors, 10), 1000, filters)
        assert (found.rows >= 0).all()
        assert np.isfinite(found.scores).all()


def test_equal_scores_come_in_the_order_of_rows(fields: FilterFields) -> None:
    index = MemoryIndex(np.ones((ITEMS, WIDTH), dtype=np.float32), fields.columns)
    query = np.ones((1, WIDTH), dtype=np.float32)
    assert (np.diff(index.search(query, 100, Filter()).rows) > 0).all()


def test_one_or_many_queries_and_many_threads_find_the_same(index: MemoryIndex, vectors: np.ndarray) -> None:
    queries = queries_of(vectors, 64)
    together = index.search(queries, 50, Filter())
    with ThreadPoolExecutor(8) as pool:
        alone = list(pool.map(lambda row: index.search(queries[row : row + 1], 50, Filter()), range(64)))
    kept = [np.isin(one.rows[0], rows).mean() for one, rows in zip(alone, together.rows, strict=True)]
    assert np.mean(kept) > 0.99
    assert index.search(queries[:0], 50, Filter()).rows.shape == (0, 50)


def test_queries_of_another_width_are_refused(index: MemoryIndex) -> None:
    with pytest.raises(ValueError, match=r"queries must be \[n, 37\], got \[1, 36\]"):
        index.search(np.zeros((1, 36), dtype=np.float32), 5, Filter())


@pytest.mark.parametrize("kind", KINDS)
def test_a_tiny_catalogue_is_searched_exactly(kind: IndexType) -> None:
    vectors = np.random.default_rng(1).normal(size=(7, 5)).astype(np.float32)
    index = MemoryIndex(vectors, pa.table({}), usual_choice(kind, 7))
    assert index.search(vectors[:1], 100, Filter()).rows[0].tolist() == np.argsort(-(vectors @ vectors[0])).tolist()


def test_a_type_that_only_memory_has_is_refused_for_milvus() -> None:
    assert IndexSettings().searched_by == "memory"
    assert IndexSettings(uri="http://far:19530").searched_by == "milvus"
    with pytest.raises(ValueError, match="PQ_FASTSCAN is searched in memory only"):
        IndexSettings(uri="http://far:19530", index_type="PQ_FASTSCAN")


def test_hits_below_the_least_score_are_left_out_by_their_score_before_the_boost(
    vectors: np.ndarray, fields: FilterFields
) -> None:
    boosted = SimpleNamespace(
        manifest=SimpleNamespace(config={"boosting": {"weights": [0.5, -0.25]}}),
        items=SimpleNamespace(vectors=vectors, ids=[f"i{n}" for n in range(ITEMS)]),
    )
    index = MemoryIndex(vectors, fields.columns)
    served = ServedRelease(boosted, index, index, fields, clock_offset(END, END), min_score=0.3)  # type: ignore[arg-type]
    queries = queries_of(vectors, 3)
    for query, found in zip(queries, served.search(queries, 2000, Filter()), strict=True):
        hits = served.hits(*found)
        cosines = vectors[:, :-2] @ query[:-2]
        wanted = [row for row in best(vectors, query, np.arange(ITEMS), 2000) if cosines[row] >= 0.3]
        assert [h.item_id for h in hits] == [f"i{row}" for row in wanted]
        assert 0 < len(hits) < 2000


def test_a_swap_lets_go_of_the_old_release_and_what_is_live_is_remembered(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=1_500, index={"index_type": "PQ_FASTSCAN"}, serving={"refresh_seconds": 600})
    first, second = shop.release(1), shop.release(2)
    push(shop.settings, first)
    push(shop.settings, second)
    promote(shop.settings, first.id)
    live = Live(shop.settings)
    try:
        assert isinstance(live.served.index, MemoryIndex)
        assert live.served.index.choice.type == "PQ_FASTSCAN"
        parts = [live.served, live.served.index, live.served.release, live.served.release.items.vectors]
        old = [weakref.ref(part) for part in parts]
        del parts
        gc.freeze()  # as a server does once it is warm: what is let go of must not wait for the collector
        promote(shop.settings, second.id)
        live.look()
        gc.collect()
        assert live.served.release.id == second.id
        assert [ref() for ref in old] == [None] * 4
        (found,) = live.search(live.served, live.served.release.items.vectors[:1], 5, Filter())
        hits = live.served.hits(*found)
        assert len(hits) == 5
    finally:
        gc.unfreeze()
        live.close()
    away = shop.settings.model_copy(update={"index": IndexSettings(uri="http://127.0.0.1:9", search="memory")})
    without = Live(away)
    try:
        assert (without.served.release.id, without.index_up) == (second.id, False)
        (found,) = without.search(without.served, second.items.vectors[:1], 5, Filter())
        assert without.served.hits(*found) == hits
    finally:
        without.close()


def test_a_collection_that_is_not_the_releases_is_refused(tmp_path: Path) -> None:
    shop = make_shop(tmp_path, items=120)
    release = shop.release()
    push(shop.settings, release)
    connection = Connection(shop.settings, 10)
    connection.open()
    try:
        assert load_served(shop.settings, release.id, connection).release.id == release.id
        name = names_of(shop.settings).collection(release.id)
        (row,) = connection.client().query(name, filter='item_id == "i7"', limit=1, output_fields=["*"])
        changed = dict(row)
        connection.client().upsert(name, [changed | {"vector": [v + 1e-3 for v in changed["vector"]]}])
        with pytest.raises(IncompleteCollection, match="vectors that are not release"):
            load_served(shop.settings, release.id, connection)
        connection.client().delete(name, ids=["i7"])
        with pytest.raises(IncompleteCollection, match="119 rows for 120 items"):
            load_served(shop.settings, release.id, connection)
    finally:
        connection.close()
