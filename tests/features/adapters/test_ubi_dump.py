"""A dump of UBI in one file, in every form that exports have, and the plain path against the readers' own."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features.adapters import ubi
from features.adapters.run import import_logs
from features.json_macros import create_macros
from features.ubi import read_events, read_queries
from infra.settings import GUEST_IDS, RawSettings
from tests.features.adapters.shop_of import shop_of
from tests.features.raw_log import Row, event, next_day, query

QUERIES = [
    query("q1", user_id="u1", query_attributes={"application": "web", "country": "DE"}),
    query("q1", "10:00:01", query_response_hit_ids=[], query_response_id="facet"),
    query("q2", "11:00:00", user="c2", user_id="guest", timestamp=1778410800000),
    query("q3", day=next_day(), query_response_hit_ids=[7, 8]),
]
EVENTS = [
    event("click", "b", query_id="q1"),
    event("purchase", None, "10:05:00", event_attributes={"items": [{"object_id": "a"}, {"object_id": "b"}]}),
    event("click", "a", "11:01:00", user="c2", query_id="q2", timestamp="2026-05-10 11:01:00 +0000"),
    {"actionName": "click", "queryId": "q3", "clientId": "u1", "timestamp": "2026-05-11T10:01:00Z", "object_id": "7"},
    event("impression", "c", query_id="q1", timestamp=None),
    event("product_hover", "c", "10:00:20"),
    event("stare", "c", "10:00:20"),
]
PRODUCTS = [{"title": f"Thing {i}", "price": i} for i in "abc"] + [{"title": "Other", "price": 7, "tags": ["x"]}] * 2
IDS = ["a", "b", "c", "7", "8"]


def dump(form: str) -> str:
    """All rows in one text."""
    rows = [("ubi_queries", f"d{n}", row) for n, row in enumerate(QUERIES)]
    rows += [("ubi_events", f"e{n}", row) for n, row in enumerate(EVENTS)]
    rows += [("products", key, row) for key, row in zip(IDS, PRODUCTS, strict=True)]
    if form == "bulk":
        lines = [line for index, key, row in rows for line in ({"index": {"_index": index, "_id": key}}, row)]
    else:
        lines = [{"_index": index, "_id": key, "_source": row} for index, key, row in rows]
    return json.dumps(lines, indent=1) if form == "array" else "".join(f"{json.dumps(line)}\n" for line in lines)


@pytest.mark.many(1)
@pytest.mark.parametrize("form", ["bulk", "scroll", "array", "bulk.gz", "scroll.zst", "scroll.utf16"])
def test_one_file_of_all_indices(tmp_path: Path, form: str) -> None:
    shape, _, packed = form.partition(".")
    content = dump(shape).encode("utf-16" if packed == "utf16" else "utf-8")
    if packed == "gz":
        content = gzip.compress(content)
    if packed == "zst":
        content = pa.Codec("zstd").compress(content, asbytes=True)
    file = tmp_path / f"dump.json{'.' + packed if packed in ('gz', 'zst') else ''}"
    file.write_bytes(content)
    if packed == "zst":
        with pa.output_stream(str(file), compression="zstd") as stream:
            stream.write(dump(shape).encode())
    shop = shop_of("ubi", tmp_path, file)
    assert shop.reasons() == {}
    assert [(r.held, r.day.day) for r in shop.reports] == [(False, 10), (False, 11)]
    requests = {r["query_id"]: (r["user_id"], r["shown"], r["country"]) for r in shop.rows("requests")}
    assert requests == {"q1": ("u1", 1, "DE"), "q2": ("c2", 3, None), "q3": ("u1", 2, None)}
    assert [r["item_id"] for r in shop.rows("impressions") if r["query_id"] == "q1"] == ["c"]
    events = sorted((r["action"], r["item_id"], r["query_id"]) for r in shop.rows("events"))
    assert events == [
        ("click", "7", "q3"),
        ("click", "a", "q2"),
        ("click", "b", "q1"),
        ("order", "a", None),
        ("order", "b", "q1"),
    ]
    assert {i["item_id"]: i["title"] for i in shop.items()} == dict(
        zip(IDS, ["Thing a", "Thing b", "Thing c", "Other", "Other"], strict=True)
    )
    became = shop.became()
    assert became["query", "request"] == 4
    assert became["stare", "event of no known meaning"] == 1
    assert any("stare (1)" in note for note in shop.imported.notes)


def test_parquet_and_csv_by_name(tmp_path: Path) -> None:
    typed = [{**row, "timestamp": str(row["timestamp"]), "query_attributes": None} for row in QUERIES[:2]]
    pq.write_table(pa.Table.from_pylist(typed), tmp_path / "q.queries.parquet")
    (tmp_path / "ubi_events.csv").write_text(
        "action_name,query_id,client_id,timestamp,object_id\nclick,q1,u1,2026-05-10T10:01:00Z,a\n"
    )
    (tmp_path / "products.csv").write_text("sku,name\na,Lamp\n")
    shop = shop_of("ubi", tmp_path, *(tmp_path / n for n in ("q.queries.parquet", "ubi_events.csv", "products.csv")))
    assert shop.reasons() == {}
    assert [(r["query_id"], r["shown"]) for r in shop.rows("requests")] == [("q1", 3)]
    assert [(r["action"], r["item_id"], r["query_id"]) for r in shop.rows("events")] == [("click", "a", "q1")]
    assert [(i["item_id"], i["title"]) for i in shop.items()] == [("a", "Lamp")]


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    rows = [
        query("q1"),
        query("q2", timestamp="soon"),
        query("q3", user_id={"id": 1}),
        event("click", "a", timestamp="never"),
        "{broken",
        "[1]",
        {"weather": "fine"},
    ]
    file = tmp_path / "dump.ndjson"
    file.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    outcome = import_logs("ubi", [str(file)], tmp_path / "logs")
    assert outcome.rows_in == 7
    assert {(event, became): rows for event, became, rows, _ in outcome.became} == {
        ("query", "request"): 1,
        ("query", "left out: a field is no text, number or list"): 2,
        ("click", "left out: a field is no text or number"): 1,
        ("line", "left out: no JSON object"): 2,
        ("row", "left out: neither a query, nor an event, nor an item"): 1,
    }
    assert any("weather" in note for note in outcome.notes)


def test_a_shop_says_what_its_actions_mean_and_who_its_guests_are(tmp_path: Path) -> None:
    rows = [
        query("q1", user_id="walk-in"),
        query("q2", user_id="walk-in", userAgent="a key that is spelt otherwise"),
        event("Stare at", "a", query_id="q1"),
        event("it's seen", "b", query_id="q1", timestamp=None),
    ]
    file = tmp_path / "dump.ndjson"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    raw = RawSettings(actions={"stare_at": "click", "it's seen": "impression"}, guest_ids=("walk-in",))
    outcome = import_logs("ubi", [str(file)], tmp_path / "logs", raw=raw)
    became = {(event, became): written for event, became, _, written in outcome.became}
    assert became == {("query", "request"): 2, ("stare at", "click"): 1, ("it's seen", "impression"): 1}
    assert not [note for note in outcome.notes if "raw.actions" in note]
    queries = pq.read_table(tmp_path / "logs/dt=2026-05-10/ubi_queries.parquet").to_pylist()
    assert [(row["query_id"], row["user_id"]) for row in queries] == [("q1", None), ("q2", None)]


def test_times_without_a_zone_are_in_the_given_one(tmp_path: Path) -> None:
    file = tmp_path / "dump.ndjson"
    file.write_text(
        json.dumps(query("q1", timestamp="2026-05-11 01:30:00")) + "\n" + json.dumps(query("q2", "00:10:00"))
    )
    outcome = import_logs("ubi", [str(file)], tmp_path / "logs", zone="Europe/Berlin")
    assert [day.day for day in outcome.written.days] == [10]
    assert outcome.written.days.popitem()[1] == {"queries": 2}


IDENTS: list[Any] = ["u1", " u2 ", "0", "null", "guest", "", "-5", None, 4, True, 3.0, {"x": 1}, "NaN", "2.0"]
TIMES: list[Any] = ["2026-05-10T10:00:00Z", "2026-05-10 10:00:00", 1778407200, 1778407200123, "1778407200123", "x",
                    None, "10/May/2026:10:00:00 +0200", 5.5e8, {"$date": "2026-05-10T10:00:00Z"}, "", " 1778407200 "
                    ]  # fmt: skip
ITEMS: list[Any] = ["a", "b", "null", 5, 5.0, True, ["a"], None, " c ", "", "[x]"]
TEXTS: list[Any] = ["red shoes", "", "[x] y", "true", " red  shoes ", "3.0", 7, None, "none", "{", "x\u001fy"]
HITS: list[Any] = [["a", "b"], [], None, '["a", "b"]', 3, [1, 2.0, None], ["a", {"x": 1}], [" a ", ""], [True], "a"]
POSITIONS: list[Any] = [3, "4", {"ordinal": 5}, {"ordinal": "x"}, None, [1], {"ordinal": {"x": 1}}, 2.5]
MORE: list[Row] = [{"userId": "z1"}, {"Query-ID": "z1"}, {"hits": ["z1"]}, {"sku": "z2"}, {"product": {"sku": "z3"}},
                   {"userAgent": "bot"}, {"user_agent": "bot"}, {"object": {"object_id": "z4"}}, {"position": 9},
                   {"@timestamp": "2026-05-10T12:00:00Z"}, {"query_response_object_ids": ["z5"]}, {"weather": [1]},
                   {"event_attributes.object.object_id": "z6"}, {"message": "{}"}, {"query": {"match": 1}}]  # fmt: skip


def pick(draw: Random, choices: list[Any], usual: Any, odd: float = 0.12) -> Any:
    return draw.choice(choices) if draw.random() < odd else usual


def some_query(draw: Random) -> Row:
    row = {"query_id": pick(draw, IDENTS, f"q{draw.randrange(9)}"), "user_id": pick(draw, IDENTS, None),
           "client_id": pick(draw, IDENTS, "c1"), "user_query": pick(draw, TEXTS, "lamp"),
           "timestamp": pick(draw, TIMES, "2026-05-10T10:00:00Z"),
           "query_response_hit_ids": pick(draw, HITS, ["a"])}  # fmt: skip
    attributes = pick(draw, [{"userAgent": "bot"}, {"a": 1}, "{}", {"user_agent": "cat"}, None], {"application": "x"})
    return thinned(draw, row | {"query_attributes": attributes, "session_id": pick(draw, IDENTS, "s1")})


def some_event(draw: Random) -> Row:
    attributes: list[Any] = [
        None, {"object": {"object_id": draw.choice(ITEMS)}, "position": draw.choice(POSITIONS)},
        json.dumps({"object": {"object_id": draw.choice(ITEMS)}}), {"items": [{"sku": "i1"}, {"sku": "i2"}]},
        {"object": {"internal_id": 9}, "query": pick(draw, TEXTS, "lamp", 0.5)}, {"sku": "i3"}, {"user_query": ["x"]},
        {"object": {"object_id": "a"}, "browser": "bot", "query": {"text": "deep"}}, {}, 3, {"object": "a"},
    ]  # fmt: skip
    row = {"action_name": pick(draw, ["Purchase ", "null", 4, None, ["x"]], "click"),
           "query_id": pick(draw, IDENTS, "q1"),
           "user_id": pick(draw, IDENTS, None), "client_id": pick(draw, IDENTS, "c1"),
           "timestamp": pick(draw, TIMES, 1778407200123), "object_id": pick(draw, ITEMS, None),
           "event_attributes": pick(draw, attributes, {"object": {"object_id": "b"}, "position": {"ordinal": 2}}, 0.3),
           "event_id": pick(draw, IDENTS, None), "user_query": pick(draw, TEXTS, None)}  # fmt: skip
    kept = thinned(draw, row)
    # without any key of an event it would be a query to the import, which reads no file of events here
    return kept if kept.keys() & {"action_name", "event_attributes", "event_id", "object_id"} else row


def thinned(draw: Random, row: Row) -> Row:
    """Some keys away, sometimes one more."""
    kept = {key: value for key, value in row.items() if draw.random() < 0.93}
    return kept | (draw.choice(MORE) if draw.random() < 0.1 else {})


@pytest.mark.slow
@settings(max_examples=4, deadline=None, phases=[Phase.generate])
@given(seed=st.integers(0, 2**32))
def test_plain_rows_are_read_as_the_readers_read_them(tmp_path_factory: pytest.TempPathFactory, seed: int) -> None:
    draw = Random(seed)
    queries, events = [some_query(draw) for _ in range(400)], [some_event(draw) for _ in range(400)]
    folder = tmp_path_factory.mktemp("oracle")
    rows = [{"_index": "q_queries", "_source": row} for row in queries]
    rows += [{"_index": "q_events", "_source": row} for row in events]
    file = folder / "dump.ndjson"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    engine = ubi.start(connection, RawSettings())
    ubi.read_rows(connection, f"read_ndjson_objects('{file}')", None, RawSettings())
    plain = dict(connection.execute("SELECT kind, count(*) FROM ubi_rows WHERE plain GROUP BY kind").fetchall())
    assert min(plain["ubi_queries"], plain["ubi_events"]) > 100
    connection.execute(ubi._DOCUMENTS_SQL)
    read_queries(engine, "documents_ubi_queries", "odd_queries")
    read_events(engine, "documents_ubi_events", "odd_events")
    connection.execute(ubi._TYPED_SQL)
    other = duckdb.connect()
    other.execute("SET TimeZone = 'UTC'")
    oracle: Any = SimpleNamespace(con=other, table=lambda name: name)
    create_macros(oracle)
    for name, given_rows in (("q", queries), ("e", events)):
        other.execute(f"CREATE TABLE {name} (row_id BIGINT, file BIGINT, raw VARCHAR, document JSON)")
        other.executemany(
            f"INSERT INTO {name} VALUES (?, 0, NULL, ?)", [[n, json.dumps(row)] for n, row in enumerate(given_rows)]
        )
    read_queries(oracle, "q", "typed_q", GUEST_IDS)
    read_events(oracle, "e", "typed_e", GUEST_IDS)
    mine = "SELECT query_id, user_id, client_id, session_id, user_query, timestamp, query_response_hit_ids, user_agent"
    theirs = "SELECT query_id, user_id, client_id, session_id, query_text, time, hits, agent"
    assert same(connection, f"{mine} FROM all_queries", other, f"{theirs} FROM typed_q WHERE NOT wrong_type")
    mine = "SELECT action_name, query_id, user_id, client_id, session_id, object_id, time, event_id, user_query"
    theirs = "SELECT action, query_id, user_id, client_id, session_id, item_id, time, event_id, query_text, agent"
    mine += ', user_agent, "event_attributes.position.ordinal" FROM timed_events'
    assert same(connection, mine, other, f"{theirs}, position FROM typed_e WHERE NOT wrong_type")


def same(left: Any, left_query: str, right: Any, right_query: str) -> bool:
    ours = Counter(map(repr, left.execute(left_query).fetchall()))
    theirs = Counter(map(repr, right.execute(right_query).fetchall()))
    assert (ours - theirs, theirs - ours) == (Counter(), Counter())
    return True


def test_lines_that_are_no_json_are_shown_with_what_was_expected(tmp_path: Path) -> None:
    file = tmp_path / "x.ndjson"
    file.write_text(f'{{"action_name": "click"}}\n2026-05-10 \x1b]0;title\x07 lamp {"clicked " * 30}\n')
    imported = import_logs("ubi", [str(file)], tmp_path / "to")
    (note,) = [note for note in imported.notes if note.startswith("Expected is a JSON object a line")]
    assert r"x.ndjson has lines that are none, such as 2026-05-10 \x1b]0;title\x07 lamp clicked" in note
    assert "shelfwise import own" in note
    assert note.isprintable()
    assert len(note) < 500
