"""Stock, prices, new and removed items of the day over real releases, with the real Redis and Milvus."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from features.store.errors import OnlineStoreUnavailable
from infra.contract.partitions import write_json
from infra.services import redis_address
from infra.settings import IndexSettings, ItemSettings
from serving import Retriever
from serving.errors import BadRequest
from serving.index import promote
from tests.serving.small_shop import Shop, make_shop
from tests.serving.test_retriever import PATIENT, QUICK, kill_service, put_live, wait_for

pytestmark = pytest.mark.server

SOFA: dict[str, Any] = {"item_id": "n1", "title": "Zorblax sofa of green velvet", "brand": "Nuvo", "price": 77.0}
SEARCHES = {
    "memory": {},
    "hnsw": {"index": IndexSettings(index_type="HNSW")},
    "milvus": {"index": IndexSettings(search="milvus")},
}


def shop_of(folder: Path, items: int = 200, **changes: Any) -> Shop:
    made = make_shop(folder, items=items, **{"serving": QUICK, "online": PATIENT, **changes})
    return Shop(made.settings, made.catalog, unknown="hybrid")


def ids(retriever: Retriever, query: str = "red shoes", **options: Any) -> list[str]:
    return [hit.item_id for hit in retriever.retrieve(None, query, **{"k": 5_000, **options}).hits]


def landed(shop: Shop, at: datetime) -> None:
    """As if the catalogue in use had landed then."""
    write_json(shop.settings.paths.reports / "catalog.json", {"landed_at": at.isoformat()})


@pytest.fixture(params=SEARCHES)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Shop:
    shop = shop_of(tmp_path, items=2_500 if request.param == "hnsw" else 200, **SEARCHES[request.param])
    put_live(shop, shop.release())
    return shop


@pytest.fixture
def retriever(shop: Shop) -> Iterator[Retriever]:
    with Retriever(shop.settings) as retriever:
        yield retriever


def test_prices_of_today_are_in_filters_answers_and_ranking(retriever: Retriever) -> None:
    cheap = {"filters": {"price": {"lt": 0.05, "gt": 0.01}}}
    assert ids(retriever, **cheap) == []
    version = retriever._live.served.version
    retriever.update_items([{"item_id": "i3", "price": 0.02}, {"item_id": "i4", "price": 0.03, "brand": "Nuvo"}])
    assert sorted(ids(retriever, **cheap)) == sorted(ids(retriever, "", **cheap)) == ["i3", "i4"]
    assert ids(retriever, filters={"brand": "Nuvo"}) == ["i4"]
    (shown,) = retriever.retrieve(None, "shoes", items=True, filters={"brand": "Nuvo"}).hits
    assert shown.item is not None and shown.item["price"] == 0.03
    assert shown.item["title"] == "red mug 4"
    release = retriever._live.served.release
    assert release.sources.items.log_price[release.encoder.row_indexes(["i4"])[0]] == pytest.approx(np.log(0.03))
    retriever.update_items([{"item_id": "i3", "price": 60.0}])
    assert ids(retriever, **cheap) == ["i4"]
    assert retriever._live.served.version > version
    assert retriever.retrieve(None, "shoes").fallbacks == []


def test_what_is_sold_out_comes_after_what_is_in_stock(retriever: Retriever, shop: Shop) -> None:
    before = ids(retriever, "red shoes")
    best = before[:3]
    retriever.update_items([{"item_id": i, "category_path": ["Few"]} for i in (*best[:1], *before[3:5])])
    retriever.update_items([{"item_id": item, "in_stock": False} for item in best])
    after = ids(retriever, "red shoes")
    assert sorted(after) == sorted(before)
    places = shop.settings.items.sold_out_places
    assert places is not None and after[:10] == before[3:13] and not {*best} & {*after[:places]}
    assert after[places : places + 3] == best
    assert [h.item_id for h in retriever.retrieve(None, "red shoes", k=10).hits] == after[:10], "k changes no place"
    assert ids(retriever, best[0], k=5)[0] == best[0], "who asks for it by its number"
    listed = ids(retriever, "")
    assert not {*best} & {*listed[:places]} and {*best} <= {*listed}
    few = ids(retriever, filters={"category": "Few"})
    assert (len(few), few[-1]) == (3, best[0]), "where little is in stock it comes at the end"
    retriever.update_items([{"item_id": item, "availability": "in stock"} for item in best])
    assert ids(retriever, "red shoes") == before


def test_what_is_sold_out_may_be_hidden(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, items=50)
    hidden = shop.settings.model_copy(update={"items": ItemSettings(sold_out_places=None)})
    put_live(shop, shop.release())
    with Retriever(hidden) as retriever:
        retriever.update_items([{"item_id": "i3", "in_stock": False}])
        for query in ("red shoes", "", "i3"):
            assert len(ids(retriever, query)) == 49 and "i3" not in ids(retriever, query)


def test_a_new_item_is_found_at_once_by_all_that_finds_items(retriever: Retriever) -> None:
    counts = retriever.update_items([SOFA])
    assert (counts["new"], counts["encoding"]) == (1, 0)
    assert "n1" in ids(retriever, "zorblax sofa", k=3), "BM25; its words are no slips"
    assert retriever.retrieve(None, "zorblax").corrected is None
    assert ids(retriever, "n1")[0] == "n1"
    assert ids(retriever, "shoes", filters={"brand": "Nuvo"}) == ["n1"]
    assert ids(retriever, "", filters={"price": {"gte": 77, "lte": 77}}) == ["n1"]
    assert "n1" in ids(retriever, "red shoes") and "n1" in ids(retriever, "")
    hit = retriever.retrieve("u9", "n1", k=1, items=True, explain=True).hits[0]
    assert hit.item is not None and hit.item["title"] == SOFA["title"] and hit.why is not None
    assert retriever.describe("n1") == SOFA["title"]
    assert retriever.record("somebody", "click", item_id="n1")
    assert retriever.retrieve("somebody", "sofa").personalized
    retriever.update_items([{"item_id": "n1", "price": 5.0}, {**SOFA, "item_id": "n2", "title": "Zorblax stool"}])
    assert ids(retriever, "", filters={"price": {"gte": 5, "lte": 5}}) == ["n1"]
    assert {"n1", "n2"} <= {*ids(retriever, "zorblax", k=4)}
    retriever.update_items([{"item_id": "n1", "removed": True}])
    assert "n1" not in ids(retriever, "zorblax sofa") and "n2" in ids(retriever, "zorblax", k=3)


def test_a_removed_item_is_gone_from_everywhere_until_it_is_told_whole(retriever: Retriever) -> None:
    everything = ids(retriever)
    (item,) = [i for i in everything if i == "i7"]
    retriever.update_items([{"item_id": item, "removed": True}])
    for query in ("red shoes", "", item, "blue shoes 7"):
        assert sorted(ids(retriever, query)) == sorted(set(everything) - {item}), query
    assert retriever.items([item]) == [{"item_id": item}]
    assert item not in ids(retriever, filters={"price": {"gt": -1e9}})
    retriever.update_items([{"item_id": item, "price": 3.0}])
    assert item not in ids(retriever)
    retriever.update_items([{"item_id": item, "title": "blue mug 7"}])
    assert item in ids(retriever)


def test_wrong_rows_are_named_and_nothing_of_them_is_taken(retriever: Retriever) -> None:
    good = {"item_id": "i3", "price": 0.02}
    for bad, says in (
        ({"item_id": "i4", "price": -1}, "row 1: price"),
        ({"item_id": "i4", "price": "cheap"}, "row 1: price"),
        ({"item_id": "i4", "prize": 3}, "row 1: prize"),
        ({"price": 3}, "row 1: item_id"),
        ({"item_id": "i4", "availability": "perhaps"}, "row 1: availability 'perhaps'"),
        ({"item_id": "who", "price": 3}, "row 1: the shop has no item 'who'"),
        ("i4", "row 1: "),
    ):
        with pytest.raises(BadRequest, match=says):
            retriever.update_items([good, bad])  # type: ignore[list-item]
    assert retriever._live.served.version == 0
    assert ids(retriever, filters={"price": {"lt": 0.05, "gt": 0.01}}) == []


def test_it_survives_a_killed_process_and_a_promotion_and_the_nightly_catalogue_wins(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, items=100)
    landed(shop, datetime.now(UTC) - timedelta(hours=9))
    put_live(shop, shop.release(1))
    said = [{"item_id": "i3", "price": 0.02}, SOFA, {"item_id": "i7", "removed": True}]
    said += [{"item_id": "i9", "in_stock": False}]
    command = [sys.executable, "-c", SAY, shop.settings.model_dump_json(), json.dumps(said)]
    killed = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL and b"'new': 1" in killed.stdout

    def is_as_said(retriever: Retriever) -> bool:
        cheap = ids(retriever, filters={"price": {"lt": 0.05, "gt": 0.01}})
        return cheap == ["i3"] and "n1" in ids(retriever, "zorblax sofa", k=3) and "i7" not in ids(retriever)

    with Retriever(shop.settings) as retriever:
        assert is_as_said(retriever)
        second = shop.release(2)
        put_live(shop, second)
        wait_for(lambda: retriever.release_id == second.id)
        assert is_as_said(retriever)
        landed(shop, datetime.now(UTC))
        third = shop.release(3)
        put_live(shop, third)
        wait_for(lambda: retriever.release_id == third.id)
        assert sorted(ids(retriever)) == sorted(third.items.ids)
        assert ids(retriever, filters={"price": {"lt": 0.05, "gt": 0.01}}) == []
        assert retriever.items(["i9"])[0]["in_stock"] is False, "a catalogue says nothing of stock"
        retriever.update_items([{"item_id": "i7", "removed": True}])
        assert "i7" not in ids(retriever) and len(ids(retriever)) == 99
        promote(shop.settings, second.id)
        wait_for(lambda: retriever.release_id == second.id)
        assert is_as_said(retriever), "the catalogue before does not know of it"


SAY = """
import json, os, signal, sys
from infra.settings import Settings
from serving import Retriever
retriever = Retriever(Settings.model_validate_json(sys.argv[1]))
print(retriever.update_items(json.loads(sys.argv[2])), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_two_processes_know_the_same(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, items=100)
    put_live(shop, shop.release())
    said = [SOFA, {"item_id": "i3", "price": 0.02}]
    with Retriever(shop.settings) as retriever:
        command = [sys.executable, "-c", SAY, shop.settings.model_dump_json(), json.dumps(said)]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        wait_for(lambda: "n1" in ids(retriever, "zorblax sofa", k=3), seconds=5)
        assert ids(retriever, filters={"price": {"lt": 0.05, "gt": 0.01}}) == ["i3"]


def test_many_batches_are_written_anew_and_read_by_all(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, items=100)
    put_live(shop, shop.release())
    with Retriever(shop.settings) as one, Retriever(shop.settings) as other:
        one.update_items([SOFA])
        for step in range(80):
            one.update_items([{"item_id": f"i{step % 7}", "price": 1_000.0 + step}])
        redis = redis_address(shop.settings).connect(500)
        (key,) = redis.keys("shelfwise:item_updates:*:batches")  # type: ignore[misc]
        assert redis.llen(key) < 60  # type: ignore[operator]
        for retriever in (one, other):
            wait_for(lambda r=retriever: len(ids(r, filters={"price": {"gte": 1_073, "lt": 2_000}})) == 7)
            assert "n1" in ids(retriever, "zorblax sofa", k=3)
        redis.close()


def test_without_redis_what_was_known_last_counts_and_the_answer_says_so(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, items=100)
    put_live(shop, shop.release())
    # no embedded server: nobody starts it again
    url = redis_address(shop.settings).url
    online = shop.settings.online.model_validate({**PATIENT.model_dump(), "redis_url": url})
    named = shop.settings.model_copy(update={"online": online})
    with Retriever(named) as retriever:
        retriever.update_items([SOFA])
        kill_service(shop.settings, "Redis")
        wait_for(lambda: "item_updates_unavailable" in retriever.retrieve(None, "mug").fallbacks)
        assert "n1" in ids(retriever, "zorblax sofa", k=3)
        with pytest.raises(OnlineStoreUnavailable):
            retriever.update_items([{"item_id": "i3", "price": 0.02}])
        assert retriever.statistics()["item_updates"]["up"] is False
        redis_address(shop.settings)
        wait_for(lambda: retriever.retrieve(None, "mug").fallbacks == [])
        assert "n1" in ids(retriever, "zorblax sofa", k=3)
