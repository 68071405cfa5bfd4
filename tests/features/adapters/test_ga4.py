"""GA4's BigQuery export: which request an event belongs to, and what a table imported again replaces."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.adapters.base import AdapterError
from features.adapters.run import import_logs
from tests.features.adapters.shop_of import shop_of

START = 1778407200  # 2026-05-10 10:00:00 UTC
SEARCH_PAGE = "https://shop.example/search?q=lamp"
Row = dict[str, Any]


def params(**named: Any) -> list[Row]:
    kind = {str: "string_value", int: "int_value", float: "double_value"}
    # BigQuery writes whole numbers as JSON texts
    return [
        {"key": key, "value": {kind[type(value)]: str(value) if isinstance(value, int) else value}}
        for key, value in named.items()
    ]


def item(item_id: str, place: int | None = None, **more: Any) -> Row:
    row = {"item_id": item_id, "item_name": f"Lamp {item_id}", "item_brand": "Acme", "item_category": "Home"}
    row |= {"item_category2": "Lamps", "price": 9.5, "quantity": 1}
    return row | {"item_list_index": "(not set)" if place is None else str(place)} | more


def ga(
    name: str, second: float, *items: Row, who: str = "c1", session: int = 7, page: str = SEARCH_PAGE, **more: Any
) -> Row:
    fields = {"user_id", "event_date", "ecommerce"}
    return {
        "event_date": "20260510",
        "event_timestamp": str(int((START + second) * 1e6)),
        "event_name": name,
        "event_params": params(
            ga_session_id=session, page_location=page, **{k: v for k, v in more.items() if k not in fields}
        ),
        "user_pseudo_id": who,
        "device": {"category": "mobile", "language": "de-de"},
        "geo": {"country": "Germany"},
        "items": list(items),
    } | {k: v for k, v in more.items() if k in fields}


def visit(lists: bool = True) -> list[Row]:
    """A visit: two searches, a click, an order of three things, and much that is of no use."""
    listed = [item("a", 0), item("b", 1), item("c", 2)]
    rows = [
        ga("page_view", 0, page="https://shop.example/"),
        ga("view_search_results", 10, search_term="lamp", user_id="u1"),
        ga("view_item_list", 9, *reversed(listed), item_list_name="Produkte"),
        ga("view_item_list", 20, item("r"), item_list_name="Recommended for you"),
        ga("select_item", 30, item("b", 1), item_list_name="Produkte"),
        ga("view_item", 32, item("b"), page="https://shop.example/p/b"),
        ga("view_search_results", 60, search_term=501, page="https://shop.example/search?q=501"),
        ga("view_item_list", 61, item("x", 0), item("a", 1), page="https://shop.example/search?q=501"),
        ga("view_item", 90, item("x"), page="https://shop.example/p/x"),
        ga("add_to_cart", 100, item("b"), page="https://shop.example/p/b"),
        ga("purchase", 2500, item("b"), item("a"), item("z"), transaction_id="T1", page="https://shop.example/ok"),
        ga("purchase", 2600, item("b"), item("a"), item("z"), transaction_id="T1", page="https://shop.example/ok"),
    ]
    return [row for row in rows if lists or row["event_name"] != "view_item_list"]


def write(file: Path, rows: Sequence[Row], form: str = "json") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    if form == "json":
        file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
        return file
    typed: list[Row] = json.loads(json.dumps(rows))
    for row in typed:
        row["event_timestamp"] = int(row["event_timestamp"])
        for one in row["event_params"]:
            value = one["value"]
            one["value"] = {
                "string_value": value.get("string_value"),
                "int_value": int(value.get("int_value") or 0) or None,
            }
        if form == "wrapped":
            row["items"] = {"list": [{"element": i} for i in row["items"]]}
            row["event_params"] = {"list": [{"element": p} for p in row["event_params"]]}
    pq.write_table(pa.Table.from_pylist(typed), file)
    return file


@pytest.mark.many(1)
@pytest.mark.parametrize("form", ["json", "parquet", "wrapped"])
def test_a_visit(tmp_path: Path, form: str) -> None:
    file = write(tmp_path / f"events_20260510.{'json' if form == 'json' else 'parquet'}", visit(), form)
    shop = shop_of("ga4", tmp_path, file)
    assert shop.reasons() == {}
    requests = {r["query_text"]: r for r in shop.rows("requests")}
    assert {text: (r["user_id"], r["shown"], r["country"], r["language"]) for text, r in requests.items()} == {
        "lamp": ("u1" if form == "json" else "c1", 3, "Germany", "de-de"),
        "501": ("c1", 2, "Germany", "de-de"),
    }
    of = {r["query_id"]: text for text, r in requests.items()}
    shown = [(of[r["query_id"]], r["item_id"], r["position"]) for r in shop.rows("impressions")]
    assert shown == [("lamp", "a", 1), ("lamp", "b", 2), ("lamp", "c", 3), ("501", "x", 1), ("501", "a", 2)]
    events = [(r["action"], r["item_id"], of.get(r["query_id"])) for r in shop.rows("events")]
    assert sorted(events, key=repr) == [
        ("cart", "b", "lamp"),
        ("click", "b", "lamp"),
        ("click", "x", "501"),
        ("order", "a", "501"),
        ("order", "b", "lamp"),
        ("order", "z", None),
    ]
    assert shop.became() == {
        ("page_view", "left out: an event of no use here"): 1,
        ("view_search_results", "request"): 2,
        ("view_item_list", "list shown by a request"): 2,
        ("view_item_list", "left out: a list of no search"): 1,
        ("select_item", "click"): 1,
        ("view_item", "left out: repeats the click in the list"): 1,
        ("view_item", "click"): 1,
        ("add_to_cart", "cart"): 1,
        ("purchase", "order"): 1,
        ("purchase", "left out: the order was sent before"): 1,
    }
    items = {i["item_id"]: i for i in shop.items()}
    assert set(items) == {"a", "b", "c", "r", "x", "z"}
    assert (items["a"]["title"], items["a"]["brand"], items["a"]["category_path"], items["a"]["price"]) == (
        "Lamp a",
        "Acme",
        ["Home", "Lamps"],
        9.5,
    )


def test_without_lists_events_follow_the_last_search_and_the_cost_is_told(tmp_path: Path) -> None:
    shop = shop_of("ga4", tmp_path, write(tmp_path / "events_20260510.json", visit(lists=False)))
    of = {r["query_id"]: r["query_text"] for r in shop.rows("requests")}
    events = [(r["action"], r["item_id"], of.get(r["query_id"])) for r in shop.rows("events")]
    assert ("cart", "b", "lamp") in events and ("order", "b", "lamp") in events
    assert any("nobody knows what was shown" in note for note in shop.imported.notes)


@pytest.mark.many(1)
@pytest.mark.parametrize("first", [0, 1])
def test_places_are_counted_from_one(tmp_path: Path, first: int) -> None:
    rows = [ga("view_search_results", 0, search_term="red lamp")]
    rows += [ga("select_item", 10 + n, item(i, first + n)) for n, i in enumerate("ab")]
    shop = shop_of("ga4", tmp_path, write(tmp_path / "events_20260510.json", rows))
    assert sorted((r["item_id"], r["position"]) for r in shop.rows("events")) == [("a", 1), ("b", 2)]


def test_a_packed_file_cut_short_is_told(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f"{json.dumps(row)}\n" for row in visit() * 50).encode())
    (tmp_path / "events_20260510.json.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AdapterError, match="the files cannot be read, one is damaged"):
        import_logs("ga4", [str(tmp_path / "events_20260510.json.gz")], tmp_path / "logs")


def test_a_search_repeated_is_one_request_and_other_visits_stay_apart(tmp_path: Path) -> None:
    rows = [
        ga("view_search_results", 0, search_term="Red  lamp"),
        ga("view_search_results", 5, search_term="red lamp"),
        ga("view_search_results", 5 + 1900, search_term="red lamp"),
        ga("view_search_results", 5, search_term="red lamp", who="c2"),
        ga("view_search_results", 6, search_term="red lamp", session=8),
        ga("view_search_results", 6, search_term="red lamp", session=8),
        ga("select_item", 50, item("a"), who="c2"),
        ga("select_item", 50, who="c2"),
        {"event_name": "select_item"},
    ]
    file = write(tmp_path / "events_20260510.json", rows)
    file.write_text(file.read_text() + "{broken\n")
    shop = shop_of("ga4", tmp_path, file)
    assert len(shop.rows("requests")) == 4
    assert shop.became() == {
        ("view_search_results", "request"): 5,
        ("view_search_results", "left out: delivered twice"): 1,
        ("select_item", "click"): 1,
        ("select_item", "left out: names no item"): 1,
        ("select_item", "left out: no readable time"): 1,
        ("row", "left out: no JSON object, or no event"): 1,
    }


def test_a_table_imported_again_replaces_its_day_alone(tmp_path: Path) -> None:
    # 23:30 UTC of the ninth is the tenth in Berlin, the property's zone
    early = ga("view_search_results", -37800, search_term="early")
    ninth = ga("view_search_results", -60000, search_term="ninth", event_date="20260509")
    tables = tmp_path / "tables"
    write(tables / "events_20260509.json", [ninth])
    write(tables / "events_20260510.json", [early])
    logs = tmp_path / "logs"
    import_logs("ga4", [str(tables)], logs)
    with pytest.raises(AdapterError, match="already holds 2026-05-10: add --replace"):
        import_logs("ga4", [str(tables / "events_20260510.json")], logs)
    late = ga("view_search_results", 9, search_term="late")
    write(tables / "events_20260510.json", [early, late])
    write(tables / "events_intraday_20260510.json", [early])
    outcome = import_logs("ga4", [str(tables / "events_*0510.json")], logs, replace=True)
    assert outcome.written.days == {date(2026, 5, 10): {"queries": 2, "events": 0}} or outcome.written.days == {
        date(2026, 5, 10): {"queries": 2}
    }
    assert ("view_search_results", "left out: the daily table of its day is there", 1, 0) in outcome.became
    texts = {
        day.name: pq.read_table(day / "ubi_queries.parquet")["user_query"].to_pylist() for day in logs.glob("dt=*")
    }
    assert texts == {"dt=2026-05-09": ["ninth"], "dt=2026-05-10": ["early", "late"]}
    shorter = write(tables / "events_20260510.json", [late])
    outcome = import_logs("ga4", [str(shorter)], logs, replace=True)
    assert any("2026-05-10 had 2 rows of queries and has 1 now" in note for note in outcome.notes)


def test_an_intraday_table_alone_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "events_intraday_20260510.json", visit())
    assert len(shop_of("ga4", tmp_path, file).rows("requests")) == 2
