"""Segment's and RudderStack's e-commerce calls, raw and as a warehouse has them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.adapters.base import AdapterError
from features.adapters.run import import_logs
from tests.features.adapters.shop_of import shop_of

Row = dict[str, Any]
PAGE = "https://shop.example/search?q=red+lamp"


def call(event: str, clock: str, properties: Row, **more: Any) -> Row:
    return {
        "type": "track",
        "event": event,
        "anonymousId": "an1",
        "messageId": f"ajs-{event}-{clock}",
        "timestamp": f"2026-05-10T{clock}.123Z",
        "originalTimestamp": "2026-05-10T03:00:00Z",
        "properties": properties,
        "context": {"page": {"url": PAGE}, "userAgent": "Mozilla/5.0", "locale": "fr-FR"},
    } | more


def product(key: str, place: int | None = None) -> Row:
    row: Row = {"product_id": key, "sku": f"sku-{key}", "name": f"Lamp {key}", "brand": "Acme", "price": 19}
    return row | ({"position": place} if place is not None else {})


CALLS = [
    {"type": "page", "anonymousId": "an1", "messageId": "p", "timestamp": "2026-05-10T09:59:00Z"},
    call("Products Searched", "10:00:00", {"query": "red lamp"}, userId="u1"),
    call("Product List Viewed", "10:00:01", {"list_id": "main", "category": "Deals",
         "products": [product("b", 2), product("a", 1), product("c", 3)]}),
    call("Product Clicked", "10:00:09", product("b", 2)),
    call("Product Viewed", "10:00:10", product("b")),
    call("Product Added", "10:01:00", product("a") | {"quantity": 1}),
    call("Order Completed", "10:20:00", {"order_id": "o1", "products": [product("a"), product("c")]}),
    call("Order Completed", "10:20:00", {"order_id": "o1", "products": [product("a"), product("c")]}),
    call("Order Completed", "10:21:00", {"order_id": "o1", "products": [product("a"), product("c")]}),
    call("Product List Viewed", "10:50:00", {"category": "Shoes", "products": [product("s", 1)]},
         context={"page": {"url": "https://shop.example/shoes"}}),
    call("Product Added", "12:00:00", {"name": "no id"}),
    call("Coupon Entered", "12:00:00", {"coupon_id": "x"}),
]  # fmt: skip


@pytest.mark.many(1)
@pytest.mark.parametrize("item", ["product_id", "sku"])
@pytest.mark.parametrize("form", ["lines", "array"])
def test_raw_calls(tmp_path: Path, form: str, item: str) -> None:
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(CALLS, indent=1) if form == "array" else "".join(f"{json.dumps(c)}\n" for c in CALLS))
    shop = shop_of("segment", tmp_path, file, options={"item": item})
    own = "" if item == "product_id" else "sku-"
    assert shop.reasons() == {}
    (request,) = shop.rows("requests")
    assert (request["query_text"], request["user_id"], request["shown"], request["language"]) == (
        "red lamp",
        "u1",
        3,
        "fr-FR",
    )
    assert [r["item_id"] for r in shop.rows("impressions")] == [own + key for key in "abc"]
    events = {(r["action"], r["item_id"], r["query_id"] == request["query_id"]) for r in shop.rows("events")}
    keys = [("cart", "a"), ("click", "b"), ("order", "a"), ("order", "c")]
    assert events == {(action, own + key, True) for action, key in keys}
    assert shop.became() == {
        ("page", "left out: an event of no use here"): 1,
        ("Products Searched", "request"): 1,
        ("Product List Viewed", "list shown by a request"): 1,
        ("Product List Viewed", "left out: a list of no search"): 1,
        ("Product Clicked", "click"): 1,
        ("Product Viewed", "left out: repeats the click in the list"): 1,
        ("Product Added", "cart"): 1,
        ("Product Added", "left out: names no item"): 1,
        ("Order Completed", "order"): 1,
        ("Order Completed", "left out: delivered twice"): 1,
        ("Order Completed", "left out: the order was sent before"): 1,
        ("Coupon Entered", "left out: an event of no use here"): 1,
    }
    assert {own + key for key in "abcs"} == {i["item_id"] for i in shop.items()}


def flat(row: Row) -> Row:
    """As a warehouse has a call: a column per property, lists as JSON text."""
    properties = row.get("properties", {})
    own = {k: json.dumps(v) if isinstance(v, list) else v for k, v in properties.items()}
    return {
        "id": row["messageId"],
        "event": row.get("event", "").lower().replace(" ", "_"),
        "event_text": row.get("event"),
        "anonymous_id": row["anonymousId"],
        "user_id": row.get("userId"),
        "timestamp": row["timestamp"],
        "context_page_url": row.get("context", {}).get("page", {}).get("url"),
    } | own


@pytest.mark.many(1)
@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_warehouse_tables(tmp_path: Path, kind: str) -> None:
    rows = [flat(row) for row in CALLS if row["type"] == "track"]
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    file = tmp_path / f"tracks.{kind}"
    if kind == "parquet":
        pq.write_table(table, file)
    else:
        import pyarrow.csv as pc

        pc.write_csv(table, file)
    shop = shop_of("segment", tmp_path, file)
    assert [(r["query_text"], r["shown"]) for r in shop.rows("requests")] == [("red lamp", 3)]
    assert sorted((r["action"], r["item_id"]) for r in shop.rows("events")) == [
        ("cart", "a"),
        ("click", "b"),
        ("order", "a"),
        ("order", "c"),
    ]


def test_an_option_that_is_none(tmp_path: Path) -> None:
    file = tmp_path / "calls.json"
    file.write_text(json.dumps(CALLS[1]))
    with pytest.raises(AdapterError, match="write product_id or sku"):
        import_logs("segment", [str(file)], tmp_path / "logs", options={"item": "name"})
    with pytest.raises(AdapterError, match="segment has no option index; there are: item"):
        import_logs("segment", [str(file)], tmp_path / "logs", options={"index": "name"})


def test_a_visit_ends_after_half_an_hour_of_nothing(tmp_path: Path) -> None:
    rows = [
        call("Products Searched", "10:00:00", {"query": "red lamp", "products": [{"product_id": "a"}]}),
        call("Product Clicked", "10:20:00", {"product_id": "z"}),
        call("Product Clicked", "10:45:00", {"product_id": "a"}),
        call("Product Clicked", "11:20:00", {"product_id": "a"}),
    ]
    file = tmp_path / "calls.json"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    outcome = import_logs("segment", [str(file)], tmp_path / "logs")
    events = pq.read_table(tmp_path / "logs/dt=2026-05-10/ubi_events.parquet").to_pylist()
    named = sorted((e["timestamp"].strftime("%H:%M"), e["query_id"] is not None) for e in events)
    assert named == [("10:20", True), ("10:45", True), ("11:20", False)]
    assert any("1 follow a search by half an hour at most" in note for note in outcome.notes)
