"""A dump of UBI in one file, in every form that exports have, and the plain path against the readers' own."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.adapters import ubi
from features.adapters.run import import_logs
from features.json_macros import create_macros
from features.ubi import read_events, read_queries
from infra.settings import GUEST_IDS
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
        ("order", "b", None),
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


def test_times_without_a_zone_are_in_the_given_one(tmp_path: Path) -> None:
    file = tmp_path / "dump.ndjson"
    file.write_text(
        json.dumps(query("q1", timestamp="2026-05-11 01:30:00")) + "\n" + json.dumps(query("q2", "00:10:00"))
    )
    outcome = import_logs("ubi", [str(file)], tmp_path / "logs", zone="Europe/Berlin")
    assert [day.day for day in outcome.written.days] == [10]
    assert outcome.written.days.popitem()[1] == {"queries": 2}


IDENT = st.one_of(st.none(), st.sampled_from(["u1", " u2 ", "0", "null", "guest", "", "-5"]), st.integers(0, 9),
                  st.booleans(), st.just(3.0), st.just({"x": 1}))  # fmt: skip
TIME = st.sampled_from(["2026-05-10T10:00:00Z", "2026-05-10 10:00:00", 1778407200, 1778407200123, "1778407200123", "x",
                        "10/May/2026:10:00:00 +0200", None, 5.5e8, {"$date": "2026-05-10T10:00:00Z"}])  # fmt: skip
ITEM = st.one_of(st.none(), st.sampled_from(["a", "null", 5, 5.0, True, ["a"]]))
HITS = st.one_of(
    st.none(), st.lists(st.one_of(ITEM, st.text(max_size=3)), max_size=4), st.just('["a", "b"]'), st.just(3)
)
TEXT = st.one_of(
    st.none(), st.text(max_size=8), st.sampled_from(["[x] y", "true", " red  shoes ", "3.0"]), st.integers()
)
MORE = st.dictionaries(
    st.sampled_from(["userId", "Query-ID", "hits", "sku", "product", "userAgent", "user_agent", "object", "position"]),
    st.one_of(st.sampled_from(["z1", 4]), st.just({"object_id": "z2"}), st.just([{"sku": "z3"}])),
    max_size=2,
)
QUERY_ROWS = st.builds(
    lambda row, more: {**{k: v for k, v in row.items() if v != "absent"}, **more},
    st.fixed_dictionaries(
        {"query_id": IDENT, "user_id": IDENT, "client_id": IDENT, "user_query": TEXT, "timestamp": TIME,
         "query_response_hit_ids": HITS},
        optional={"session_id": IDENT, "query_attributes": st.sampled_from([{"userAgent": "bot"}, {"a": 1}, "{}"])},
    ),
    MORE,
)  # fmt: skip
ATTRIBUTES = st.one_of(
    st.none(),
    st.builds(lambda item, place: {"object": {"object_id": item}, "position": place}, ITEM,
              st.sampled_from([3, "4", {"ordinal": 5}, {"ordinal": "x"}, None])),
    st.builds(lambda item: json.dumps({"object": {"object_id": item}}), ITEM),
    st.just({"items": [{"sku": "i1"}, {"sku": "i2"}]}), st.just({"object": {"internal_id": 9}, "query": "lamp"}),
)  # fmt: skip
EVENT_ROWS = st.builds(
    lambda row, more: {**row, **more},
    st.fixed_dictionaries(
        {"action_name": st.sampled_from(["click", "Purchase ", "impression", "null", 4]), "timestamp": TIME,
         "client_id": IDENT, "event_attributes": ATTRIBUTES},
        optional={"query_id": IDENT, "user_id": IDENT, "object_id": ITEM, "event_id": IDENT, "user_query": TEXT},
    ),
    MORE,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(queries=st.lists(QUERY_ROWS, max_size=12), events=st.lists(EVENT_ROWS, max_size=12))
def test_plain_rows_are_read_as_the_readers_read_them(
    tmp_path_factory: pytest.TempPathFactory, queries: list[Row], events: list[Row]
) -> None:
    folder = tmp_path_factory.mktemp("oracle")
    rows = [{"_index": "q_queries", "_source": row} for row in queries]
    rows += [{"_index": "q_events", "_source": row} for row in events]
    file = folder / "dump.ndjson"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows) or "\n")
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    engine = ubi.start(connection)
    ubi.read_rows(connection, f"read_ndjson_objects('{file}')", None)
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
        if given_rows:
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
    ours = sorted(left.execute(left_query).fetchall(), key=repr)
    theirs = sorted(right.execute(right_query).fetchall(), key=repr)
    assert ours == theirs
    return True
