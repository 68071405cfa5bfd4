"""Algolia's Insights events with the answers they belong to, and without."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from features.adapters.run import import_logs
from tests.features.adapters.shop_of import shop_of

Row = dict[str, Any]
START = 1778407200000


def sent(kind: str, second: int, objects: list[str], query: str | None = None, **more: Any) -> Row:
    row: Row = {"eventType": kind, "eventName": "Some Event", "index": "products", "userToken": "t1",
                "timestamp": START + 1000 * second, "objectIDs": objects}  # fmt: skip
    return row | ({"queryID": query} if query else {}) | more


def answer(query_id: str, text: str, hits: list[Any], second: int, page: int = 0) -> Row:
    return {"queryID": query_id, "query": text, "hits": hits, "userToken": "t1", "page": page, "hitsPerPage": 2,
            "nbHits": 9, "params": "query=x", "timestamp": START + 1000 * second}  # fmt: skip


EVENTS = [
    sent("click", 5, ["b"], "q1", positions=[2], authenticatedUserToken="u1"),
    sent("view", 6, ["b"]),
    sent("conversion", 60, ["b"], "q1", eventSubtype="addToCart"),
    sent("conversion", 90, ["b", "c"], eventSubtype="purchase", objectData=[{"queryID": "q1"}, {"queryID": "q2"}]),
    sent("conversion", 95, ["b"], eventName="Wishlist"),
    sent("conversion", 96, ["d"], "lost", eventName="Product Added To Cart"),
    {"weather": "fine"},
]
LOGGED = [
    answer("q1", "red lamp", [{"objectID": "a", "title": "A"}, {"objectID": "b"}], 0),
    answer("q2", "desk", ["c", "d"], 30),
    {
        "timestamp": "2026-05-10T10:01:10Z",
        "query_body": json.dumps(
            {"requests": [{"indexName": "products", "params": "query=blue%20sofa&hitsPerPage=20"}]}
        ),
        "inner_queries": [{"index_name": "products", "user_token": "t2", "query_id": "q3"}],
    },
]


def lines(file: Path, rows: list[Row]) -> Path:
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def test_events_and_answers(tmp_path: Path) -> None:
    files = lines(tmp_path / "insights.ndjson", EVENTS), lines(tmp_path / "logs.ndjson", LOGGED)
    shop = shop_of("algolia", tmp_path, *files, catalog=False)
    assert shop.reasons() == {}
    requests = {r["query_id"]: (r["query_text"], r["user_id"], r["shown"]) for r in shop.rows("requests")}
    assert requests == {"q1": ("red lamp", "t1", 2), "q2": ("desk", "t1", 2), "q3": ("blue sofa", "t2", 0)}
    events = sorted((r["action"], r["item_id"], r["query_id"]) for r in shop.rows("events"))
    assert events == [
        ("cart", "b", "q1"),
        ("cart", "d", "q2"),
        ("click", "b", "q1"),
        ("order", "b", "q1"),
        ("order", "c", "q2"),
    ]
    assert shop.became() == {
        ("click", "click"): 1,
        ("view", "left out: repeats the click in the list"): 1,
        ("conversion addtocart", "cart"): 1,
        ("conversion", "cart"): 1,
        ("conversion", "left out: a conversion that is neither cart nor purchase by its subtype or name"): 1,
        ("conversion purchase", "order"): 1,
        ("query log", "request"): 3,
        ("row", "left out: neither an event nor a logged query with its id"): 1,
    }


def test_events_alone_say_what_is_missing(tmp_path: Path) -> None:
    outcome = import_logs("algolia", [str(lines(tmp_path / "insights.ndjson", EVENTS))], tmp_path / "logs")
    assert any("Insights events do not have the text of a search" in note for note in outcome.notes)
    assert not any("request" in became for _, became, _, _ in outcome.became)
