"""Parquet rows by their types: the same rows as by way of their documents, whatever types a file has."""

from __future__ import annotations

import decimal
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.build_sessions import build_sessions
from features.documents import MAX_RAW_CHARS, load_documents
from features.parquet_rows import join_rows, kept_rows
from features.ubi import read_events, read_queries
from tests.features.raw_log import DAY, at, event, land, quarantined, query, shop

READERS = {"queries": read_queries, "events": read_events}
MOMENT = datetime(2026, 5, 10, 10, 0, 0, 123456, tzinfo=UTC)


class Both:
    """Files read by their types, and by their documents."""

    def __init__(self, engine: Any, which: str, files: Sequence[Path]) -> None:
        names = [file.name for file in files]
        load_documents(engine, "documents", files, names)
        self.oracle = self._rows(engine, which)
        load_documents(engine, "documents", files, names, keep_types=True)
        self.kept = kept_rows(engine.con, "documents")
        join_rows(engine.con, "documents", MAX_RAW_CHARS)
        self.typed = self._rows(engine, which)
        ((self.plain,),) = engine.con.execute("SELECT count(*) FROM was_plain").fetchall()

    def _rows(self, engine: Any, which: str) -> list[dict[str, Any]]:
        read = READERS[which](_Watched(engine), "documents", f"raw_{which}")
        rows: list[dict[str, Any]] = read.order_by("row_id").to_pyarrow().to_pylist()
        return rows


class _Watched:
    """An engine that remembers which rows were plain."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.con = engine, self

    def execute(self, sql: str, *given: Any) -> Any:
        if sql.startswith("DROP TABLE") and sql.endswith("_plain"):
            self.engine.con.execute(f"CREATE OR REPLACE TABLE was_plain AS FROM {sql.rsplit(maxsplit=1)[-1]}")
        return self.engine.con.execute(sql, *given)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine if name == "table" else self.engine.con, name)


def written(folder: Path, columns: Mapping[str, Any], name: str = "log.parquet") -> Path:
    file = folder / name
    pq.write_table(pa.table(dict(columns)), file)
    return file


def both(engine: Any, which: str, folder: Path, columns: Mapping[str, Any]) -> Both:
    found = Both(engine, which, [written(folder, columns)])
    assert found.typed == found.oracle
    return found


TIMES: list[pa.Array] = [
    pa.array([MOMENT, None]).cast(pa.timestamp("ms", "UTC"), safe=False),
    pa.array([MOMENT, None]).cast(pa.timestamp("us", "Asia/Tokyo")),
    pa.array([MOMENT.replace(tzinfo=None), None], pa.timestamp("us")),
    pa.array([1778407200123456789, None], pa.timestamp("ns")),
    pa.array([1778407200123456789, None], pa.timestamp("ns", "Europe/Berlin")),
    pa.array([date(2026, 5, 10), None]),
    pa.array([datetime(1812, 1, 1), datetime(9999, 12, 31)], pa.timestamp("us")),
    pa.array([1778407200, 20260510100000], pa.int64()),
    pa.array([1778407200123, -1]),
    pa.array([1778407200.25, float("nan")]),
    pa.array([decimal.Decimal("1778407200.25"), None]),
    pa.array(["2026-05-10T10:00:00+02:00", "10/May/2026:10:00:00 +0200"]),
    pa.array(["", "  "]),
    pa.array(["none", "soon"]),
    pa.array(["1778407200123", "infinity"]),
    pa.array([{"$date": "2026-05-10T10:00:00Z"}, None]),
    pa.array([time(10, 0), None]),
    pa.array([True, None]),
    pa.array([[1], None]),
]
IDS: list[pa.Array] = [
    pa.array(["a", " b "]),
    pa.array(["", "NULL"]),
    pa.array(["guest", "0"]),
    pa.array([9007199254740993, -5]),
    pa.array([2**64 - 1, 0], pa.uint64()),
    pa.array([17.0, float("nan")]),
    pa.array([17.5, 1e20]),
    pa.array([0.1, float("inf")], pa.float32()),
    pa.array([decimal.Decimal("17.00"), decimal.Decimal("100.50")]),
    pa.array([decimal.Decimal("12345678901234567890123"), decimal.Decimal(100)]),
    pa.array([b"a", b"\xff\x00"], pa.binary()),
    pa.array([b"a", b" b "], pa.binary()),
    pa.array(["a", "b"]).dictionary_encode(),
    pa.array([date(2026, 5, 10), None]),
    pa.array([MOMENT, None]),
    pa.array([None, None]),
    pa.array([None, "x"]),
]
NO_IDS: list[pa.Array] = [
    pa.array([True, False]),
    pa.array([{"a": 1}, None]),
    pa.array([["a"], []]),
    pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int64())),
]
HITS: list[pa.Array] = [
    *(
        pa.array([[value, value], [None]], pa.list_(ids.type))
        for ids in (*IDS[:10], NO_IDS[0])
        for value in [ids[0].as_py()]
    ),
    pa.array([["a", " ", ""], []]),
    pa.array([["a", "null"], None], pa.large_list(pa.string())),
    pa.array([["a", "b"], ["c", "d"]], pa.list_(pa.string(), 2)),
    pa.array(['["a", "b"]', "a,b"]),
    pa.array([[["a"]], None]),
    pa.array([[{"id": "a"}], []]),
    pa.array(["", None]),
]


@pytest.mark.many(2)
@pytest.mark.parametrize("times", TIMES, ids=lambda a: str(a.type))
def test_times_of_every_type(duckdb_engine: Any, tmp_path: Path, times: pa.Array) -> None:
    both(duckdb_engine, "queries", tmp_path, {"query_id": ["q1", "q2"], "timestamp": times})
    given = {"timestamp": ["", at("10:00:00")], "@timestamp": times}
    both(duckdb_engine, "events", tmp_path, {"action_name": ["click", "view"], **given})


QUERY_IDS = ("query_id", "user_id", "client_id", "session_id", "user_query", "user_agent")
EVENT_IDS = ("action_name", "query_id", "user_id", "session_id", "event_id", "object_id", "user_query",
             "event_attributes.object.object_id", "event_attributes.position.ordinal")  # fmt: skip


@pytest.mark.many(1)
@pytest.mark.parametrize("turn", range(len(IDS)))
def test_ids_of_every_type(duckdb_engine: Any, tmp_path: Path, turn: int) -> None:
    for which, fields in {"queries": QUERY_IDS, "events": EVENT_IDS}.items():
        columns = {field: IDS[(turn + n) % len(IDS)] for n, field in enumerate(fields)}
        found = both(duckdb_engine, which, tmp_path, {"application": ["x", "y"], **columns})
        assert found.plain == 2


@pytest.mark.many(1)
@pytest.mark.parametrize("nested", NO_IDS, ids=lambda a: str(a.type))
def test_what_is_no_id_is_refused_alike(duckdb_engine: Any, tmp_path: Path, nested: pa.Array) -> None:
    for which, fields in {"queries": QUERY_IDS, "events": EVENT_IDS}.items():
        for field in fields[::3]:
            both(duckdb_engine, which, tmp_path, {"application": ["x", "y"], field: nested})


@pytest.mark.many(2)
@pytest.mark.parametrize("hits", HITS, ids=lambda a: str(a.type))
def test_hits_of_every_type(duckdb_engine: Any, tmp_path: Path, hits: pa.Array) -> None:
    both(duckdb_engine, "queries", tmp_path, {"query_id": ["q1", "q2"], "query_response_hit_ids": hits})
    given = {"query_response_hit_ids": pa.array([None, ["z"]]), "query_response_object_ids": hits}
    both(duckdb_engine, "queries", tmp_path, {"query_id": ["q1", "q2"], **given})


ATTRIBUTES: list[list[Any]] = [
    [{"object": {"object_id": "a"}, "position": {"ordinal": 3}}, None],
    [{"object": {"object_id": None, "internal_id": 7}, "position": 4.0}, {"position": 2.5}],
    [{"object": {"object_id": "a", "name": "a [red] lamp"}}, {"object": {"object_id": "b", "name": "lamp"}}],
    [{"object": {"object_id": "a"}, "items": [{"sku": "i1"}, {"sku": "i2"}]}, {"object": {"object_id": "b"}}],
    [{"object": {"object_id": "a"}, "tags": []}, {"object": {"object_id": "b"}, "tags": None}],
    [{"object": {"object_id": "a"}, "search_term": "lamp"}, {"object": {"object_id": "b"}, "search_term": None}],
    [{"object": {"object_id": "a"}, "query": {"text": "lamp"}}, {"object": {"object_id": "b"}}],
    [{"object": {"object_id": "a"}, "query": "lamp", "browser": "cat", "user_agent": "bot"}, {"object": None}],
    [{"object": {"object_id": "a"}, "data": '{"query": "lamp", "items": ["x"]}'}, {"sku": "b"}],
    [{"object": '{"object_id": "a"}'}, {"object": "a"}],
    [{"object": {"object_id": True}}, {"object": {"object_id": False}}],
    [{"object": {"object_id": {"x": 1}}}, {"object": {"object_id": None}}],
    [{"object": {"object_id": ["a"]}}, {}],
    [{"Object": {"objectId": "a"}}, {"Object": {"objectId": "b"}}],
    ['{"object": {"object_id": "a"}, "position": {"ordinal": "3"}}', '{"object": {"object_id": 5}, "query": "x"}'],
    ['{"items": [{"sku": "a"}]}', "no json"],
    ['{"object": {"object_id": true}}', ""],
    [[{"key": "sku", "value": "a"}], []],
    [3, None],
]


@pytest.mark.many(2)
@pytest.mark.parametrize("attributes", ATTRIBUTES, ids=str)
@pytest.mark.parametrize("text", ["lamp", None])
def test_attributes_of_every_shape(duckdb_engine: Any, tmp_path: Path, attributes: list[Any], text: str | None) -> None:
    shared = {
        "action_name": ["click", "click"],
        "query_id": ["q", None],
        "user_query": pa.array([text, None], pa.string()),
    }
    both(duckdb_engine, "events", tmp_path, {**shared, "event_attributes": pa.array(attributes)})


@pytest.mark.parametrize("value", [pa.string(), pa.struct({"object_id": pa.string()})], ids=str)
def test_attributes_that_are_a_map(duckdb_engine: Any, tmp_path: Path, value: pa.DataType) -> None:
    entry = {"object_id": "a"} if pa.types.is_struct(value) else json.dumps({"object_id": "a"})
    maps = pa.array([[("object", entry)], [("object", None)], [], None], pa.map_(pa.string(), value))
    found = both(duckdb_engine, "events", tmp_path, {"action_name": ["click"] * 4, "event_attributes": maps})
    assert found.typed[0]["item_id"] == "a"


def test_a_search_from_somewhere(duckdb_engine: Any, tmp_path: Path) -> None:
    place = {"zip": "10115", "location": {"lat": 52.5, "lon": 13.4}}
    for given in ([place, None], [json.dumps(place), "{"], [{"userAgent": "cat", "zip": 7}, {"user_agent": "cat"}]):
        both(duckdb_engine, "queries", tmp_path, {"query_id": ["a", "b"], "query_attributes": pa.array(given)})
    dotted = {"query_attributes.zip": ["10115", None], "query_attributes.country": ["DE", "FR"]}
    found = both(duckdb_engine, "queries", tmp_path, {"query_id": ["a", "b"], **dotted})
    assert [(row["zip"], row["country"]) for row in found.typed] == [("10115", "DE"), (None, "FR")]


@pytest.mark.many(3)
@pytest.mark.parametrize(
    "columns",
    [
        {"queryId": ["q1"], "userQuery": ["lamp"]},
        {"Query_ID": ["q1"], "user_query": ["lamp"]},
        {"query_id": ["q1"], "hits": [["a"]]},
        {"query_id": ["q1"]},
        {"_index": ["ubi_queries"], "_source": [{"query_id": "q1"}]},
        {"_id": ["7"], "_source": [{"query_id": "q1"}]},
        {"index": [{"_id": "7"}]},
        {"row_id": [5], "file": [7], "row": [{"query_id": "x"}], "query_id": ["q1"]},
    ],
    ids=str,
)
def test_columns_of_other_names(duckdb_engine: Any, tmp_path: Path, columns: dict[str, Any]) -> None:
    both(duckdb_engine, "queries", tmp_path, columns)


def test_files_of_several_kinds_and_forms_count_on(duckdb_engine: Any, tmp_path: Path) -> None:
    lines = tmp_path / "b.ndjson"
    lines.write_text(json.dumps(query("q3")) + "\nno json\n")
    files = [
        written(tmp_path, {"query_id": ["q1", "q2"], "user_id": ["u", None]}, "a.parquet"),
        lines,
        written(tmp_path, {"query_id": [4, 5], "timestamp": [MOMENT, None]}, "c.parquet"),
        written(tmp_path, {"queryId": ["q6"], "timestamp": [MOMENT]}, "d.parquet"),
    ]
    found = Both(duckdb_engine, "queries", files)
    assert found.typed == found.oracle
    assert [row["query_id"] for row in found.typed] == ["q1", "q2", "q3", None, "4", "5", "q6"]
    assert (len(found.kept), found.plain) == (3, 4)
    told = duckdb_engine.con.execute("SELECT row_id, file, raw FROM documents ORDER BY row_id").fetchall()
    assert [(row_id, file) for row_id, file, _ in told] == list(enumerate([0, 0, 1, 1, 2, 2, 3]))
    assert [raw for _, _, raw in told][:1] == ['{"query_id":"q1","user_id":"u"}']


def test_rows_at_usual_places_need_no_document(duckdb_engine: Any, tmp_path: Path) -> None:
    draw = Random(3)
    events = [event("click", draw.choice("abc"), query_id="q", event_id=str(n)) for n in range(50)]
    found = Both(duckdb_engine, "events", [written(tmp_path, {k: [e[k] for e in events] for k in events[0]})])
    assert (found.plain, found.typed) == (50, found.oracle)
    asked = [query(f"q{n}") | {"timestamp": MOMENT} for n in range(50)]
    found = Both(duckdb_engine, "queries", [written(tmp_path, {k: [e[k] for e in asked] for k in asked[0]})])
    assert (found.plain, found.typed) == (50, found.oracle)


def test_refused_rows_are_kept_as_they_came(tmp_path: Path) -> None:
    settings = shop(tmp_path, max_bad_share=1.0, max_bad_action_share=1.0)
    queries = [query("q1"), query(None, "10:00:01"), query("q3", "10:00:02") | {"timestamp": "soon"}]
    events = [
        event("click", "a", query_id="q1"),
        event("purchase", None, query_id="q1"),
        event("click", "a", query_id="no"),
    ]
    reports, refused = [], []
    for kind in ("ndjson", "parquet"):
        land(settings, queries, events, kind=kind)
        reports += build_sessions(settings, [DAY])
        refused.append([(r["source"], r["reason"], json.loads(r["raw"])) for r in quarantined(settings)])
    assert refused[0] == refused[1] and len(refused[0]) == 4
    assert (reports[0].reasons, reports[0].sources) == (reports[1].reasons, reports[1].sources)
