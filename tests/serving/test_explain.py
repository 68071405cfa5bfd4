"""Why an item was found: parts that add up, and what it shares with the user's history."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from serving import Retriever
from serving.hits import Match
from tests.serving.small_shop import Shop, make_shop, publish_user
from tests.serving.test_retriever import PATIENT, QUICK, put_live

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = make_shop(tmp_path_factory.mktemp("explain"), items=120, serving=QUICK, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i8", "i6", "i1"], orders=["i6"])
    put_live(shop, shop.release())
    return shop


@pytest.fixture(scope="module")
def retriever(shop: Shop) -> Iterator[Retriever]:
    with Retriever(shop.settings) as retriever:
        yield retriever


def test_the_parts_add_up_to_the_score(retriever: Retriever) -> None:
    hits = retriever.retrieve("u1", "red shoes", k=120, explain=True).hits
    assert len(hits) == 120
    for hit in hits:
        assert hit.why is not None
        assert sum(hit.why.parts.values()) == pytest.approx(hit.score, abs=1e-4)


def test_an_item_of_the_history_says_so(retriever: Retriever, shop: Shop) -> None:
    found = {h.item_id: h.why for h in retriever.retrieve("u1", "red shoes", k=120, explain=True).hits}
    ordered, clicked = found["i6"], found["i8"]
    assert ordered is not None
    assert clicked is not None
    assert Match("ordered before", "i6") in ordered.matched
    assert Match("clicked before", "i8") in clicked.matched
    paths = dict(zip(shop.catalog["item_id"].to_pylist(), shop.catalog["category_path"].to_pylist(), strict=True))
    leaves = {path[-1] for item in ("i6", "i8", "i1") if (path := paths[item])} - {""}
    assert sum(bool(path) and path[-1] in leaves for path in paths.values()) > 3, "too few to share a category"
    assert len(found) == 120
    for item, why in found.items():
        assert why is not None
        shares = {m.value for m in why.matched if m.kind == "category"}
        assert shares == ({paths[item][-1]} & leaves if paths[item] else set())


def test_nobody_shares_nothing(retriever: Retriever) -> None:
    answer = retriever.retrieve(None, "red shoes", k=20, explain=True)
    assert [h.why is not None and h.why.matched for h in answer.hits] == [()] * 20
    assert answer.features == {
        "recent_queries": [],
        "recent_items": [],
        "recent_orders": [],
        "order_history": [],
        "recent_brands": [],
        "ordered_tags": [],
    }


def test_no_reasons_unless_asked_for(retriever: Retriever) -> None:
    assert [hit.why for hit in retriever.retrieve("u1", "red shoes", k=5).hits] == [None] * 5
