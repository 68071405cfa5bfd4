"""Logs with a row per shown item: flags as clicks, rows as lists with their places, grades as neither."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.adapters.base import AdapterError
from features.adapters.own_fields import FIELDS, spelling
from features.adapters.own_shown import FLAGS, GRADES
from features.adapters.run import Imported, import_logs
from tests.features.adapters.test_own import Row, clock, lines, own_shop, table, told

NAMES: list[Row] = [
    {"who": "session_id", "text": "query", "item": "product_id", "at": "time", "place": "position",
     "click": "clicked", "cart": "add_to_cart", "order": "purchased"},
    {"who": "user", "text": "q", "item": "sku", "at": "ts", "place": "rank",
     "click": "is_click", "cart": "carted", "order": "bought"},
    {"who": "visitorId", "text": "searchTerm", "item": "itemId", "at": "timestamp", "place": "pos",
     "click": "Click", "cart": "in_cart", "order": "conversion"},
]  # fmt: skip
SPELT = [(0, 1), (False, True), ("false", "true"), ("no", "Yes"), ("", 1), ("0.0", "1.0")]


def search(who: str, text: str, second: int, *items: tuple[str, int, int, int], first: int = 1) -> list[Row]:
    """The rows of a search: an item and whether it was clicked, carted and ordered, each."""
    return [
        {"who": who, "text": text, "item": item, "at": clock(second), "place": place, "click": c, "cart": k, "order": o}
        for place, (item, c, k, o) in enumerate(items, first)
    ]


@pytest.mark.many(1)
@pytest.mark.parametrize("spelt", SPELT, ids=str)
@pytest.mark.parametrize("write", [lines, table], ids=["ndjson", "csv"])
def test_rows_of_a_search_are_its_list_and_what_came_of_it(tmp_path: Path, spelt: Any, write: Any) -> None:
    names = NAMES[SPELT.index(spelt) % len(NAMES)]
    rows = [
        *search("u1", "sofa", 0, ("a", 0, 0, 0), ("b", 1, 1, 0), ("c", 0, 0, 0)),
        *search("u2", "sofa", 0, ("c", 0, 0, 0), ("b", 0, 0, 0), ("a", 0, 0, 0)),
        *search("u1", "lamp", 90, ("c", 1, 0, 1), first=7),
    ]
    flags = ("click", "cart", "order")
    rows = [{names[key]: spelt[value] if key in flags else value for key, value in row.items()} for row in rows]
    shop = own_shop(tmp_path, write(tmp_path, f"log.{'ndjson' if write is lines else 'csv'}", rows))
    assert shop.reasons() == {}
    assert [(row["query_text"], row["shown"]) for row in shop.rows("requests")] == [
        ("sofa", 3),
        ("sofa", 3),
        ("lamp", 1),
    ]
    places = {(row["item_id"], row["position"]) for row in shop.rows("impressions")}
    assert places == {("a", 1), ("b", 2), ("c", 3), ("c", 1), ("a", 3), ("c", 7)}
    assert told(shop) == {
        ("click", "b", "sofa"), ("cart", "b", "sofa"), ("click", "c", "lamp"), ("order", "c", "lamp")
    }  # fmt: skip
    assert shop.became()["shown item", "item shown by a request"] == shop.imported.rows_in == 7


def test_rows_that_tell_too_little_are_left_out_and_say_why(tmp_path: Path) -> None:
    good = {"q": "lamp", "sku": "a", "session": "s", "ts": clock(0), "rank": 1, "clicked": 0}
    bad = [
        ({"sku": None, "rank": 2}, "names no item"),
        ({"ts": "yesterday"}, "no readable time"),
        ({"q": None}, "an item of no search"),
        *[({"sku": "b", "clicked": "maybe"}, "a flag that is neither yes nor no")] * 2,
    ]
    rows = [good | {"rank": 1 + place} for place in range(300)] + [good | change for change, _ in bad]
    imported = imported_of(tmp_path, lines(tmp_path, "x.ndjson", rows))
    found = {what.removeprefix("left out: "): rows for _, what, rows, _ in imported.became if "left out" in what}
    assert found == Counter(why for _, why in bad)


def test_a_search_with_an_id_may_tell_its_text_and_time_elsewhere(tmp_path: Path) -> None:
    asked = [{"search_id": "s1", "query": "lamp", "ts": clock(0), "user": "u1"}]
    shown = [
        {"search_id": "s1", "sku": item, "rank": place, "clicked": item == "b"} for place, item in enumerate("abc")
    ]
    shop = own_shop(tmp_path, lines(tmp_path, "a.ndjson", asked), lines(tmp_path, "b.ndjson", shown))
    assert [(row["query_id"], row["query_text"], row["shown"]) for row in shop.rows("requests")] == [("s1", "lamp", 3)]
    assert [(row["item_id"], row["position"]) for row in shop.rows("impressions")] == [("a", 1), ("b", 2), ("c", 3)]
    assert [(row["item_id"], row["position"]) for row in shop.rows("events")] == [("b", 2)]


def test_items_of_a_search_that_no_row_is_are_left_out(tmp_path: Path) -> None:
    rows = [{"search_id": "s1", "sku": "a", "clicked": 1, "ts": clock(0), "q": None}]
    (became,) = imported_of(tmp_path, lines(tmp_path, "x.ndjson", rows)).became
    assert became[1] == "left out: a list of no search"


def test_an_action_of_the_row_of_a_shown_item_leaves_its_flags_be(tmp_path: Path) -> None:
    rows = [{"event": "search", "q": "lamp", "session": "s", "ts": clock(0)}] + [
        {"event": "impression", "q": "lamp", "session": "s", "ts": clock(1), "sku": item, "rank": place,
         "clicked": item == "b"} for place, item in enumerate("ab", 1)
    ]  # fmt: skip
    shop = own_shop(tmp_path, lines(tmp_path, "x.ndjson", rows))
    assert [row["shown"] for row in shop.rows("requests")] == [2]
    assert told(shop) == {("click", "b", "lamp")}


def test_an_id_that_several_people_share_names_a_text_and_no_search(tmp_path: Path) -> None:
    rows = [
        {"qid": 7, "q": "lamp", "user": user, "ts": clock(0), "sku": item, "rank": place, "click": int(item == "a")}
        for user in ("u1", "u2") for place, item in enumerate("ab", 1)
    ]  # fmt: skip
    shop = own_shop(tmp_path, lines(tmp_path, "x.ndjson", rows))
    assert sorted((row["user_id"], row["shown"]) for row in shop.rows("requests")) == [("u1", 2), ("u2", 2)]
    assert sorted(row["user_id"] for row in shop.rows("events")) == ["u1", "u2"]


@pytest.mark.parametrize("name", ["relevance", "label", "grade"])
def test_grades_of_relevance_are_no_clicks(tmp_path: Path, name: str) -> None:
    rows = [{"query": "lamp", "sku": item, "ts": clock(0), name: grade} for grade, item in enumerate("abcab")]
    imported = imported_of(tmp_path, table(tmp_path, "x.csv", rows))
    assert [what for _, what, _, _ in imported.became] == ["left out: a grade of relevance, which is no action"]
    assert any(f"{name} is read as no click" in note and "qrels.tsv" in note for note in imported.notes)
    with pytest.raises(AdapterError, match=f"called as the time.*{name} is read as no click"):
        imported_of(tmp_path, lines(tmp_path, "y.ndjson", [{"query": "lamp", "sku": "a", name: 3}]))


@pytest.mark.parametrize("name", ["clicked", "clicks"])
def test_numbers_beyond_one_are_no_flags(tmp_path: Path, name: str) -> None:
    rows = [{"query": "lamp", "sku": item, "ts": clock(0), name: n} for n, item in enumerate("abcab")]
    imported = imported_of(tmp_path, table(tmp_path, "x.csv", rows))
    assert all("left out" in what for _, what, _, _ in imported.became)
    assert any(f"{name} is not read as clicked: it holds 4 beside 0 and 1" in note for note in imported.notes)


def test_a_flag_under_another_name(tmp_path: Path) -> None:
    rows = [{"query": "lamp", "sku": item, "session": "s", "ts": clock(0), "label": int(item == "b")} for item in "abc"]
    shop = own_shop(tmp_path, table(tmp_path, "x.csv", rows), options={"clicked": "label"})
    assert told(shop) == {("click", "b", "lamp")}
    assert [row["item_id"] for row in shop.rows("impressions")] == ["a", "b", "c"]


@pytest.mark.parametrize("name", ["label", "gain", "rel"])
def test_words_are_no_grades(tmp_path: Path, name: str) -> None:
    rows = [{"query": "lamp", "sku": item, "ts": clock(0), name: "summer sale"} for item in "abc"]
    imported = imported_of(tmp_path, table(tmp_path, "x.csv", rows))
    assert not any("grade" in what for _, what, _, _ in imported.became)
    assert not any("judged" in note for note in imported.notes)


def test_ids_under_the_name_of_a_flag_stay_ids(tmp_path: Path) -> None:
    rows = [{"query": "lamp", "user": "u1", "ts": clock(n), "picked": 4711 + n} for n in range(3)]
    shop = own_shop(tmp_path, table(tmp_path, "x.csv", rows), options={"clicked": "picked"})
    assert sorted(what for what, _, _ in told(shop)) == ["click"] * 3
    noted = imported_of(tmp_path, table(tmp_path, "y.csv", [{**row, "sku": "a"} for row in rows]), carted="picked")
    assert any("picked is not read as carted" in note for note in noted.notes)


def test_a_log_of_clicks_keeps_them_beside_a_flag(tmp_path: Path) -> None:
    rows = [
        {"query": "lamp", "user": "u1", "ts": clock(60 * n), "sku": item, "purchased": int(n == 1)}
        for n, item in enumerate("abc")
    ]
    shop = own_shop(tmp_path, table(tmp_path, "clicks.csv", rows))
    assert {(what, item) for what, item, _ in told(shop)} == {("click", "a"), ("click", "b"), ("click", "c")}


def test_names_are_spelt_as_they_are_compared() -> None:
    listed = [*GRADES, *(name for names in (*FLAGS.values(), *FIELDS.values()) for name in names)]
    assert [name for name in listed if name != spelling(name)] == []


ITEM = st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from([0, 1, None]), st.sampled_from([0, 1]))
SEARCH = st.tuples(
    st.sampled_from(["u1", "u2", None]), st.sampled_from(["lamp", "sofa", None]), st.integers(0, 7200), st.lists(ITEM)
)


@settings(max_examples=15, deadline=None)
@given(st.lists(SEARCH, max_size=6), st.sampled_from(["x.ndjson", "x.csv"]), st.booleans())
def test_every_row_is_counted_and_every_shown_item_stays_in_its_search(
    searches: list[Any], name: str, with_ids: bool
) -> None:
    rows = [
        {
            "q": text,
            "user": who,
            "sku": item,
            "ts": 1778407200 + second,
            "rank": place,
            "clicked": click,
            "order": order,
        }
        | ({"search_id": f"s{number}"} if with_ids else {})
        for number, (who, text, second, items) in enumerate(searches)
        for place, (item, click, order) in enumerate(items, 1)
    ]
    rows.append({"q": "lamp", "user": "u9", "sku": "a", "ts": 1778407200, "rank": 1, "clicked": 1, "order": 0}
                | ({"search_id": "last"} if with_ids else {}))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        file = (lines if name == "x.ndjson" else table)(Path(folder), name, rows)
        imported = imported_of(Path(folder), file)
        queries = written(Path(folder), "ubi_queries")
        events = written(Path(folder), "ubi_events")
    assert imported.rows_in == sum(rows for _, _, rows, _ in imported.became) == len(rows)
    shown = [row for row in rows if row["sku"] and row["q"]]
    hits = {(row["user_query"], row["user_id"], item) for row in queries for item in row["query_response_hit_ids"]}
    assert hits == {(row["q"], row["user"], row["sku"]) for row in shown}
    ids = {row["query_id"]: row["user_query"] for row in queries}
    clicks = {(ids[row["query_id"]], row["object_id"]) for row in events if row["action_name"] == "click"}
    assert clicks == {(row["q"], row["sku"]) for row in shown if row["clicked"]}


def imported_of(folder: Path, file: Path, **options: str) -> Imported:
    return import_logs("own", [str(file)], folder / "to", options=options)


def written(folder: Path, name: str) -> list[Row]:
    files = sorted((folder / "to").glob(f"dt=*/{name}.parquet"))
    return [row for file in files for row in pq.ParquetFile(file).read().to_pylist()]
