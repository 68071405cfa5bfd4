"""Many at once, asynchronously, and out of the caches: the same answers as one by one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.contract.request import Request
from infra.settings import ServingSettings
from serving import Retriever
from tests.serving.small_shop import Shop, make_shop, publish_user
from tests.serving.test_retriever import PATIENT, put_live

pytestmark = pytest.mark.server

UNCACHED = ServingSettings(refresh_seconds=0.2, cache_size=0)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = make_shop(tmp_path_factory.mktemp("forms"), items=150, online=PATIENT)
    publish_user(shop.settings, "u1", queries=["red shoes"], items=["i0", "i6"], orders=["i6"])
    put_live(shop, shop.release())
    return shop


@pytest.fixture(scope="module")
def caching(shop: Shop) -> Iterator[Retriever]:
    with Retriever(shop.settings) as retriever:
        yield retriever


@pytest.fixture(scope="module")
def uncached(shop: Shop) -> Iterator[Retriever]:
    with Retriever(shop.settings.model_copy(update={"serving": UNCACHED})) as retriever:
        yield retriever


requests = st.builds(
    Request,
    user=st.sampled_from([None, "u1", "nobody", ""]),
    query=st.sampled_from(["red shoes", "Red  Shoes", "blue mug", "靴 shoes 🙂", "x" * 900]),
    k=st.sampled_from([1, 7, 150, 400]),
    filters=st.sampled_from([None, {}, {"price": {"gt": 0}}, {"price": {"gt": 1e300}}, {"tags": ["%", "null"]}]),
    location=st.sampled_from([None, {"country": "US"}]),
    personalize=st.booleans(),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(requests, min_size=1, max_size=6))
def test_every_form_gives_the_same(caching: Retriever, uncached: Retriever, asked: list[Request]) -> None:
    alone = [uncached.retrieve(**vars(r)) for r in asked]
    together, cached = uncached.retrieve_many(asked), caching.retrieve_many(asked)
    for one, batched, held in zip(alone, together, cached, strict=True):
        assert not one.cached
        for other in (batched, held):
            assert [h.item_id for h in other.hits] == [h.item_id for h in one.hits]
            assert [h.score for h in other.hits] == pytest.approx([h.score for h in one.hits], abs=1e-5)
            assert other.personalized == one.personalized
            assert other.fallbacks == []


def test_asynchronously(uncached: Retriever) -> None:
    async def ask() -> list[list[str]]:
        found = await asyncio.gather(*(uncached.aretrieve("u1", query, k=5) for query in ("red shoes", "blue mug") * 4))
        return [[hit.item_id for hit in answer.hits] for answer in found]

    expected = [[h.item_id for h in uncached.retrieve("u1", q, k=5).hits] for q in ("red shoes", "blue mug")]
    assert asyncio.run(ask()) == expected * 4


def test_a_context_asked_before_is_answered_from_the_cache(caching: Retriever) -> None:
    query = "a query of its own"
    before = caching.statistics()["cache"]["contexts"]["hits"]
    first, second = (caching.retrieve("u1", query, k=9) for _ in range(2))
    assert (first.cached, second.cached) == (False, True)
    assert second.hits == first.hits
    assert caching.statistics()["cache"]["contexts"]["hits"] == before + 1
    assert second.timings_ms["tower"] == second.timings_ms["search"] == 0
    assert not caching.retrieve("u1", query, k=8).cached
    assert not caching.retrieve("u1", query, k=9, filters={"price": {"gt": 0}}).cached


def test_a_caller_who_changes_the_hits_changes_no_cache(caching: Retriever) -> None:
    caching.retrieve("u1", "mug", k=5).hits.clear()
    assert len(caching.retrieve("u1", "mug", k=5).hits) == 5


def test_the_steps_add_up(uncached: Retriever) -> None:
    timings = uncached.retrieve("u1", "red shoes").timings_ms
    assert timings["total"] == pytest.approx(sum(timings[s] for s in ("features", "tower", "search", "ranking", "own")))


def test_what_is_recorded_counts_at_the_next_request(caching: Retriever) -> None:
    now = datetime.now(UTC) + timedelta(seconds=1)
    assert not caching.retrieve("u9", "red shoes").personalized
    caching.record("u9", "click", item_id="i3", time=now)
    answer = caching.retrieve("u9", "red shoes", explain=True)
    assert answer.personalized
    assert answer.features is not None
    assert answer.features["recent_items"] == ["i3"]
    caching.record("u9", "search", query="Blue  MUG", time=now)
    again = caching.retrieve("u9", "red shoes", explain=True)
    assert again.features is not None
    assert again.features["recent_queries"] == ["blue mug"]
    caching.record("u9", "purchase", item_id="i3", time=now)  # as the log calls an order
    bought = caching.retrieve("u9", "red shoes", explain=True)
    assert bought.features is not None
    assert bought.features["recent_orders"] == ["i3"]


@pytest.mark.parametrize(
    ("action", "given", "said"),
    [
        ("look", {"item_id": "i1"}, "action must be one of"),
        ("impression", {"item_id": "i1"}, "action must be one of"),
        ("click", {}, "needs its item_id"),
        ("search", {"item_id": "i1"}, "no item_id"),
    ],
)
def test_a_bad_event_is_refused(caching: Retriever, action: str, given: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        caching.record("u1", action, **given)


def test_one_bad_request_of_many_is_refused_before_any_is_answered(uncached: Retriever) -> None:
    with pytest.raises(ValueError, match="k must be"):
        uncached.retrieve_many([Request(user="u1", query="red shoes"), Request(user="u1", query="mug", k=0)])
    with pytest.raises(ValueError, match="location must be a mapping"):
        uncached.retrieve("u1", "mug", location="US")  # type: ignore[arg-type]


def test_fields_items_and_users_of_the_live_release(uncached: Retriever) -> None:
    fields = {field["name"]: field for field in uncached.fields()}
    assert fields["price"]["kind"] == "number"
    assert fields["brand"]["kind"] == "text"
    assert 0 < len(fields["brand"]["values"]) <= 50
    known, unknown = uncached.items(["i3", "never seen"])
    assert known["title"] == "blue shoes 3"
    assert unknown == {"item_id": "never seen"}
    assert uncached.users() == ["u1"]


def test_items_come_with_the_hits_that_they_belong_to(uncached: Retriever) -> None:
    answer = uncached.retrieve("u1", "red shoes", k=150, items=True)
    ids = [hit.item_id for hit in answer.hits]
    items = [hit.item or {} for hit in answer.hits]
    assert [item["item_id"] for item in items] == ids
    assert [item["title"].rsplit(" ", 1)[-1] for item in items] == [re.findall(r"\d+$", id)[0] for id in ids]
    assert repr(uncached.items(ids)) == repr(items)  # a price may be NaN
    assert uncached.retrieve("u1", "red shoes", filters={"brand": "none"}, items=True).hits == []
    assert {hit.item for hit in uncached.retrieve("u1", "red shoes").hits} == {None}
