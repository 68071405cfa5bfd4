"""Snowplow's enriched events with the e-commerce schemas, as JSON and as a warehouse's Parquet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.features.adapters.shop_of import shop_of

Row = dict[str, Any]
VENDOR = "com_snowplowanalytics_snowplow"


def enriched(name: str, clock: str, products: list[Row] | None = None, version: str = "1", **more: Any) -> Row:
    row: Row = {
        "app_id": "shop",
        "event": "unstruct",
        "event_name": "snowplow_ecommerce_action",
        "event_id": f"{name}-{clock}",
        "collector_tstamp": f"2026-05-10T{clock}.900Z",
        "derived_tstamp": f"2026-05-10T{clock}.000Z",
        "domain_userid": "d1",
        "domain_sessionid": "s1",
        "page_url": "https://shop.example/search?q=lamp",
        "useragent": "Mozilla/5.0",
        "geo_country": "FR",
    }
    if name == "site_search":
        row["event_name"] = name
        row[f"unstruct_event_{VENDOR}_site_search_{version}"] = {"terms": ["red", "lamp"], "total_results": 2}
    else:
        action = {"type": name, "name": more.pop("list_name", None)}
        row[f"unstruct_event_{VENDOR}_ecommerce_snowplow_ecommerce_action_{version}"] = action
        row[f"contexts_{VENDOR}_ecommerce_product_{version}"] = products or []
    if "order" in more:
        order = {"transaction_id": more.pop("order"), "revenue": 20, "currency": "EUR", "payment_method": "card"}
        row[f"contexts_{VENDOR}_ecommerce_transaction_{version}"] = [order]
    return row | more


def goods(key: str, place: int | None = None) -> Row:
    return {"id": key, "name": f"Lamp {key}", "category": "Home > Lamps", "price": 9.9, "currency": "EUR"} | (
        {"position": place} if place else {}
    )


def visit(version: str) -> list[Row]:
    elsewhere = "https://shop.example/p/b"
    return [
        enriched("site_search", "10:00:00", version=version, user_id="u1"),
        enriched("list_view", "10:00:00", [goods("b", 2), goods("a", 1)], version, list_name="grid"),
        enriched("list_view", "10:00:05", [goods("r", 1)], version, list_name="recommended for you"),
        enriched("list_click", "10:00:10", [goods("b", 2)], version, list_name="grid"),
        enriched("product_view", "10:00:12", [goods("b")], version, page_url=elsewhere),
        enriched("add_to_cart", "10:01:00", [goods("b")], version, page_url=elsewhere),
        enriched("transaction", "10:05:00", [goods("b"), goods("a")], version, order="t1", page_url=elsewhere),
        enriched("transaction", "10:05:09", [goods("b"), goods("a")], version, order="t1", page_url=elsewhere),
        enriched("promo_view", "10:05:20", [], version),
        {"event_name": "page_view", "event_id": "pv", "collector_tstamp": "2026-05-10T10:00:00Z"},
    ]


@pytest.mark.many(1)
@pytest.mark.parametrize("form", ["json", "parquet"])
@pytest.mark.parametrize("version", ["1", "1_0_0"])
def test_a_visit(tmp_path: Path, form: str, version: str) -> None:
    rows = visit(version)
    file = tmp_path / f"enriched.{form}"
    if form == "json":
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    else:
        names = list(dict.fromkeys(name for row in rows for name in row))
        pq.write_table(pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows]), file)
    shop = shop_of("snowplow", tmp_path, file)
    assert shop.reasons() == {}
    (request,) = shop.rows("requests")
    assert (request["query_text"], request["user_id"], request["shown"], request["country"]) == (
        "red lamp",
        "u1",
        2,
        "FR",
    )
    assert [r["item_id"] for r in shop.rows("impressions")] == ["a", "b"]
    events = {(r["action"], r["item_id"], r["query_id"] == request["query_id"]) for r in shop.rows("events")}
    assert events == {("click", "b", True), ("cart", "b", True), ("order", "a", True), ("order", "b", True)}
    assert shop.became() == {
        ("site_search", "request"): 1,
        ("list_view", "list shown by a request"): 1,
        ("list_view", "left out: a list of no search"): 1,
        ("list_click", "click"): 1,
        ("product_view", "left out: repeats the click in the list"): 1,
        ("add_to_cart", "cart"): 1,
        ("transaction", "order"): 1,
        ("transaction", "left out: the order was sent before"): 1,
        ("promo_view", "left out: an event of no use here"): 1,
        ("page_view", "left out: an event of no use here"): 1,
    }
    assert {i["item_id"]: i["category_path"] for i in shop.items()} == {key: ["Home", "Lamps"] for key in "abr"}
