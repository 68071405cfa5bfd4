"""A shop's own log: columns of any names, in any of the forms that teams write."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from features.adapters.base import AdapterError
from features.adapters.own_fields import assign_keys, keys_of
from features.adapters.run import Imported, import_logs
from infra.settings import RawSettings
from tests.features.adapters.shop_of import Shop, shop_of

Row = dict[str, Any]


def clock(second: int) -> str:
    return f"2026-05-10T10:{second // 60:02d}:{second % 60:02d}"


def lines(folder: Path, name: str, rows: list[Row]) -> Path:
    file = folder / name
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return file


def table(folder: Path, name: str, rows: list[Row]) -> Path:
    file = folder / name
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list({key: None for row in rows for key in row}), delimiter=";")
        writer.writeheader()
        writer.writerows(rows)
    return file


def own_shop(folder: Path, *files: Path, **how: Any) -> Shop:
    (folder / "logs").mkdir()
    (folder / "logs" / "catalog.csv").write_text("id,title\n" + "".join(f"{key},thing {key}\n" for key in "abc"))
    return shop_of("own", folder, *files, **how)


def told(shop: Shop) -> set[tuple[str, str, str]]:
    """Action, item and the text of the request of each event."""
    texts = {row["query_id"]: row["query_text"] for row in shop.rows("requests")}
    return {(row["action"], row["item_id"], texts.get(row["query_id"], "")) for row in shop.rows("events")}


NAMES: list[Row] = [
    {"who": "user_id", "text": "query", "what": "event", "item": "product_id", "when": "timestamp"},
    {"who": "customer_id", "text": "keyword", "what": "action", "item": "sku", "when": "ts"},
    {"who": "visitorId", "text": "q", "what": "type", "item": "itemId", "when": "created_at"},
    {"who": "user", "text": "Search Term", "what": "eventName", "item": "item", "when": "datetime"},
]


@pytest.mark.many(1)
@pytest.mark.parametrize("names", NAMES, ids=lambda names: str(names["text"]))
@pytest.mark.parametrize("write", [lines, table], ids=["ndjson", "csv"])
def test_events_that_carry_their_search(tmp_path: Path, names: Row, write: Any) -> None:
    steps = [("click", "a", 5), ("add_to_cart", "a", 15), ("purchase", "a", 25), ("page_scroll", "b", 30)]
    rows = [
        {
            names["who"]: user,
            names["text"]: "red sofa",
            names["what"]: what,
            names["item"]: item,
            names["when"]: clock(s),
        }
        for user in ("u1", "u2")
        for what, item, s in steps
    ]
    shop = own_shop(tmp_path, write(tmp_path, f"log.{'ndjson' if write is lines else 'csv'}", rows))
    assert shop.reasons() == {}
    assert len(shop.rows("requests")) == 2
    assert told(shop) == {(action, "a", "red sofa") for action in ("click", "cart", "order")}
    assert shop.became()["page_scroll", "left out: an action of no known meaning (raw.actions)"] == 2
    assert not any("no request is of these days" in note for note in shop.imported.notes)


@pytest.mark.parametrize("ids", [["a", "b"], '["a", "b"]', "a|b", [{"id": "a", "score": 2}, {"id": "b"}]])
def test_searches_with_what_they_showed_and_led_to(tmp_path: Path, ids: Any) -> None:
    first = {"search_id": "s1", "uid": "u1", "query": "lamp", "results": ids, "count": 2, "ts": 1778407200}
    searches = [first, first | {"search_id": "s2", "uid": "u2", "results": None}]
    clicks = [{"searchId": "s1", "uid": "u1", "event": "result_click", "docId": "b", "rank": 2, "ts": 1778407205000}]
    shop = own_shop(tmp_path, lines(tmp_path, "a.ndjson", searches), lines(tmp_path, "b.ndjson", clicks))
    assert [row["item_id"] for row in shop.rows("impressions")] == ["a", "b"]
    (click,) = shop.rows("events")
    assert (click["query_id"], click["item_id"], click["position"]) == ("s1", "b", 2)


def test_one_row_a_search_with_what_was_clicked_and_bought(tmp_path: Path) -> None:
    rows = [
        {"user": {"id": "u1"}, "search": {"text": "lamp", "results": ["a", "b", "c"]}, "clicked_ids": ["b", "c"],
         "purchased": "c", "at": clock(0)},
        {"user": {"id": "u2"}, "search": {"text": "sofa", "results": ["a"]}, "clicked_ids": [], "at": clock(9)},
    ]  # fmt: skip
    shop = own_shop(tmp_path, lines(tmp_path, "searches.ndjson", rows))
    assert told(shop) == {("click", "b", "lamp"), ("click", "c", "lamp"), ("order", "c", "lamp")}
    assert shop.imported.rows_in == 2


def test_what_is_json_in_a_text_and_a_day_apart_from_its_time(tmp_path: Path) -> None:
    payload = {"q": "lamp", "customerId": "u1", "productId": None}
    rows = [
        {"date": "10.05.2026", "time": "10:00:00", "name": "x", "event": "search", "payload": json.dumps(payload)},
        {"date": "10.05.2026", "time": "10:00:07", "name": "x", "event": "click",
         "payload": json.dumps({"customerId": "u1", "productId": "a"})},
    ]  # fmt: skip
    shop = own_shop(tmp_path, table(tmp_path, "log.csv", rows))
    assert told(shop) == {("click", "a", "lamp")}
    assert shop.rows("events")[0]["time"].isoformat() == "2026-05-10T10:00:07+00:00"


def test_columns_that_are_named(tmp_path: Path) -> None:
    rows = [{"wer": "u1", "wort": "lampe", "wo": clock(0), "ding": "a", "tat": "geklickt"}]
    names = {"user": "wer", "query": "wort", "time": "wo", "item": "ding", "action": "tat"}
    shop = own_shop(
        tmp_path, lines(tmp_path, "x.ndjson", rows), options=names, raw=RawSettings(actions={"geklickt": "click"})
    )
    assert told(shop) == {("click", "a", "lampe")}


@pytest.mark.parametrize(("name", "kind"), [("clicks.csv", "click"), ("Orders_2026.csv", "order"), ("x.csv", None)])
def test_rows_without_an_action_are_what_their_file_is_called(tmp_path: Path, name: str, kind: str | None) -> None:
    file = table(tmp_path, name, [{"query": "lamp", "sku": "a", "sid": "s1", "ts": clock(0)}])
    found = became(tmp_path, file)
    assert found == ({kind} if kind else {"left out: an item and no action: say what it is by --set as="})
    assert became(tmp_path / "told", file, **{"as": "cart"}) == {"cart"}


def became(folder: Path, file: Path, **options: str) -> set[str]:
    imported: Imported = import_logs("own", [str(file)], folder / "to", options=options)
    return {what for _, what, _, _ in imported.became}


@pytest.mark.parametrize(
    ("row", "options", "says"),
    [
        (
            {"query": "lamp", "sku": "a"},
            {},
            r"called as the time: say which it is by --set time=COLUMN\. Found: query, sku",
        ),
        ({"wort": "lamp", "ts": 1}, {}, "called as the text of a search: say which it is by --set query=COLUMN"),
        ({"query": "lamp", "ts": 1}, {"item": "sku"}, "--set item=sku: there is no such column. Found: query, ts"),
        ({"query": "lamp", "ts": 1}, {"as": "buy"}, "--set as=buy: write one of search, click"),
        ({"query": "lamp", "ts": 1}, {"wer": "x"}, "own has no option wer; there are: time, query"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(tmp_path: Path, row: Row, options: Row, says: str) -> None:
    file = lines(tmp_path, "x.ndjson", [row])
    with pytest.raises(AdapterError, match=says):
        import_logs("own", [str(file)], tmp_path / "to", options=options)


def test_a_number_of_results_is_none_of_them(tmp_path: Path) -> None:
    shop = own_shop(tmp_path, lines(tmp_path, "x.ndjson", [{"q": "lamp", "results": 25, "user": "u", "ts": clock(0)}]))
    assert [row["shown"] for row in shop.rows("requests")] == [0]


def test_each_key_is_one_field_and_the_outermost_counts_first() -> None:
    structure = {
        "ts": "UBIGINT",
        "data": {"query": "VARCHAR", "time": "VARCHAR", "items": [{"id": "VARCHAR"}]},
        "query": "VARCHAR",
    }
    found = assign_keys(keys_of(json.dumps(structure)), {})
    assert {field: [key.told for key in listed] for field, listed in found.items()} == {
        "time": ["ts", "data.time"],
        "query": ["query", "data.query"],
        "item": ["data.items"],
        "results": ["data.items"],
    }
