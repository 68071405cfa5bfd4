from __future__ import annotations

import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from features import documents, text_files
from features.documents import load_documents
from features.location import PLACE_NAMES
from features.screening import IGNORED, REASONS, DayWindow, open_baskets, screen_events, screen_requests
from features.ubi import EVENT_PATHS, QUERY_PATHS, read_events, read_queries
from infra.contract.tables import EVENTS, REQUESTS
from infra.settings import RawSettings
from tests.features.raw_log import DAY, bulk, event, ndjson, query

READERS = {"queries": read_queries, "events": read_events}


def read(engine: Any, which: str, content: str | bytes, name: str = "log.ndjson") -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        load_documents(engine, "documents", [file], [name])
    return READERS[which](engine, "documents", f"raw_{which}").order_by("row_id").to_pyarrow().to_pylist()


def read_one(engine: Any, which: str, row: dict[str, Any]) -> dict[str, Any]:
    (found,) = read(engine, which, ndjson([row]))
    return found


@pytest.mark.many(3)
@pytest.mark.parametrize(
    ("logged", "micros"),
    [
        ("2018-11-07T00:02:35Z", 1541548955_000000),
        ("2018-11-07T00:02:35.123456789Z", 1541548955_123456),
        ("2018-11-07T01:02:35+01:00", 1541548955_000000),
        ("2018-11-07T01:02:35+0100", 1541548955_000000),
        ("2018-11-07T00:02:35", 1541548955_000000),
        ("2018-11-07 00:02:35", 1541548955_000000),
        (1541548955, 1541548955_000000),
        (1541548955.25, 1541548955_250000),
        (1541548955123, 1541548955_123000),
        ("1541548955123", 1541548955_123000),
        (1541548955123456, 1541548955_123456),
        (1541548955123456000, 1541548955_123456),
    ],
)
@pytest.mark.parametrize("field", ["timestamp", "@timestamp"])
def test_times_of_any_writing(duckdb_engine: Any, field: str, logged: Any, micros: int) -> None:
    found = read_one(duckdb_engine, "queries", {"query_id": "q", field: logged})
    assert found["time"] == datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    assert not found["wrong_type"]


@pytest.mark.many(2)
@pytest.mark.parametrize("logged", ["soon", True, {"at": 1}, [1], "infinity", "1e400", -1e30, "0001-01-01"])
def test_what_is_no_time_is_a_wrong_type(duckdb_engine: Any, logged: Any) -> None:
    found = read_one(duckdb_engine, "queries", {"query_id": "q", "timestamp": logged})
    assert (found["time"], found["wrong_type"]) == (None, True)


@pytest.mark.parametrize("logged", [None, "", "  "])
def test_a_time_that_is_absent_is_no_wrong_type(duckdb_engine: Any, logged: Any) -> None:
    found = read_one(duckdb_engine, "queries", {"query_id": "q", "timestamp": logged})
    assert (found["time"], found["wrong_type"]) == (None, False)


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("logged", "text", "wrong"),
    [
        ("q", "q", False),
        (" q ", "q", False),
        (17, "17", False),
        (9007199254740993, "9007199254740993", False),
        (17.0, "17", False),
        ("17.0", "17.0", False),
        ("", None, False),
        (None, None, False),
        (float("nan"), None, False),
        ({"a": 1}, None, True),
        (["q"], None, True),
        (True, None, True),
    ],
)
def test_ids_are_texts_or_numbers(duckdb_engine: Any, logged: Any, text: str | None, wrong: bool) -> None:
    found = read_one(duckdb_engine, "queries", {"query_id": logged})
    assert (found["query_id"], found["wrong_type"]) == (text, wrong)
    found = read_one(duckdb_engine, "events", {"event_attributes": {"object": {"object_id": logged}}})
    assert (found["item_id"], found["wrong_type"]) == (text, wrong)


@pytest.mark.many(3)
@pytest.mark.parametrize(
    ("row", "hits", "wrong"),
    [
        ({"query_response_hit_ids": ["a", 2, 3.0]}, ["a", "2", "3"], False),
        ({"query_response_object_ids": ["a"]}, ["a"], False),
        ({"query_response_hit_ids": None, "query_response_object_ids": ["a"]}, ["a"], False),
        ({"query_response_hit_ids": '["a", "b"]'}, ["a", "b"], False),
        ({"query_response_hit_ids": ["a", None, " "]}, ["a", None, None], False),
        ({"query_response_hit_ids": []}, [], False),
        ({}, [], False),
        ({"query_response_hit_ids": "a,b"}, [], True),
        ({"query_response_hit_ids": {"a": 1}}, [], True),
        ({"query_response_hit_ids": [["a"]]}, [None], True),
    ],
)
def test_hit_ids(duckdb_engine: Any, row: dict[str, Any], hits: list[str | None], wrong: bool) -> None:
    found = read_one(duckdb_engine, "queries", row)
    assert (found["hits"], found["wrong_type"]) == (hits, wrong)


@pytest.mark.many(3)
@pytest.mark.parametrize(
    ("row", "item", "position"),
    [
        ({"event_attributes": {"object": {"object_id": "a"}, "position": {"ordinal": 3}}}, "a", 3),
        ({"event_attributes": json.dumps({"object": {"object_id": "a"}, "position": {"ordinal": "3"}})}, "a", 3),
        ({"event_attributes.object.object_id": "a", "event_attributes.position.ordinal": 3}, "a", 3),
        ({"object_id": "a"}, "a", None),
        ({"event_attributes": {"object": {"internal_id": "a"}}}, "a", None),
        (
            {"event_attributes": {"object": {"object_id": "a", "internal_id": "b"}, "position": {"ordinal": "x"}}},
            "a",
            None,
        ),
        ({"event_attributes": "no json"}, None, None),
        ({"event_attributes": None}, None, None),
        ({"event_attributes": []}, None, None),
    ],
)
def test_where_the_item_is_found(
    duckdb_engine: Any, row: dict[str, Any], item: str | None, position: int | None
) -> None:
    found = read_one(duckdb_engine, "events", row)
    assert (found["item_id"], found["position"], found["wrong_type"]) == (item, position, False)


BERLIN = {"country": "DE", "language": "de-DE", "zip": "10115", "latitude": 52.5, "longitude": 13.4}


@pytest.mark.many(2)
@pytest.mark.parametrize(
    ("row", "place"),
    [
        ({"query_attributes": BERLIN | {"application": "web", "nested": {"country": "US"}}}, BERLIN),
        ({"query_attributes": json.dumps(BERLIN)}, BERLIN),
        ({f"query_attributes.{key}": value for key, value in BERLIN.items()}, BERLIN),
        (
            {
                "query_attributes": {"countryCode": "DE", "Locale": "de-DE", "postcode": 10115}
                | {"location": {"lat": "52.5", "lng": 13.4}}
            },
            BERLIN,
        ),
        ({"query_attributes": {"location": "52.5,13.4"}}, {"latitude": 52.5, "longitude": 13.4}),
        ({"query_attributes.geo.lat": 52.5, "query_attributes.geo.lon": 13.4}, {"latitude": 52.5, "longitude": 13.4}),
        ({"query_attributes": {"zip": "02134"}, "query_attributes.country": "us"}, {"zip": "02134", "country": "us"}),
        ({"query_attributes": {"ZIP": "2", "zip": "1", "Zip": "3"}}, {"zip": "2"}),
        ({"query_attributes": {"latitude": 91, "longitude": 13.4, "zip": ["1"]}}, {}),
        ({"query_attributes": {"location": "Berlin"}}, {}),
        ({"query_attributes": "no json"}, {}),
        ({"query_attributes": [BERLIN]}, {}),
        ({"query_attributes": None}, {}),
        ({"country": "DE"}, {}),
        ({}, {}),
    ],
)
def test_where_a_request_comes_from(duckdb_engine: Any, row: dict[str, Any], place: dict[str, Any]) -> None:
    for line in (query("q") | row, {"_source": query("q") | row}):
        found = read_one(duckdb_engine, "queries", line)
        assert {key: found[key] for key in BERLIN} == dict.fromkeys(BERLIN) | place
        assert (found["wrong_type"], found["query_id"]) == (False, "q")


def test_query_attributes_of_a_parquet_map(duckdb_engine: Any, tmp_path: Path) -> None:
    file = tmp_path / "log.parquet"
    texts = pa.array(
        [list({key: str(v) for key, v in BERLIN.items()}.items()), None], pa.map_(pa.string(), pa.string())
    )
    pq.write_table(pa.table({"query_id": ["q1", "q2"], "query_attributes": texts}), file)
    first, second = read(duckdb_engine, "queries", file.read_bytes(), "log.parquet")
    assert {key: first[key] for key in BERLIN} == BERLIN
    assert {key: second[key] for key in BERLIN} == dict.fromkeys(BERLIN)


def test_bulk_action_lines_and_wrappers(duckdb_engine: Any) -> None:
    plain = [query("q1"), query("q2")]
    wanted = [row | {"row_id": 0} for row in read(duckdb_engine, "queries", ndjson(plain))]
    found = read(duckdb_engine, "queries", bulk(plain))
    assert [row["action_line"] for row in found] == [True, False, True, False]
    assert [row | {"row_id": 0} for row in found if not row["action_line"]] == wanted
    wrapped = [{"_index": "ubi", "_id": "7", "_source": row} for row in plain]
    assert [row | {"row_id": 0} for row in read(duckdb_engine, "queries", ndjson(wrapped))] == wanted
    assert not read_one(duckdb_engine, "queries", {"index": "a text, so a row of its own"})["action_line"]


def test_parquet_rows_read_as_the_same_lines(duckdb_engine: Any, tmp_path: Path) -> None:
    rows = [query("q1"), query("q2", user="u2", query_response_hit_ids=["x"])]
    file = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    assert read(duckdb_engine, "queries", file.read_bytes(), "log.parquet") == read(
        duckdb_engine, "queries", ndjson(rows)
    )


def test_parquet_timestamps_keep_their_moment(duckdb_engine: Any, tmp_path: Path) -> None:
    moment = datetime(2026, 5, 10, 10, 0, 0, 123456)
    types = [
        pa.timestamp("ms"),
        pa.timestamp("us"),
        pa.timestamp("ns"),
        pa.timestamp("us", "UTC"),
        pa.timestamp("us", "Asia/Tokyo"),
    ]
    for n, kind in enumerate(types):
        zoned = moment.replace(tzinfo=UTC) if kind.tz else moment
        column = pa.array([zoned], pa.timestamp("us", kind.tz)).cast(kind, safe=False)
        file = tmp_path / f"{n}.parquet"
        pq.write_table(pa.table({"query_id": pa.array([1], pa.int64()), "timestamp": column}), file)
        (found,) = read(duckdb_engine, "queries", file.read_bytes(), "log.parquet")
        wanted = moment.replace(tzinfo=UTC, microsecond=123000 if kind.unit == "ms" else 123456)
        assert (found["query_id"], found["time"]) == ("1", wanted)


def test_lines_over_block_ends_and_runaway_lines(duckdb_engine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_files, "BLOCK_BYTES", 64)
    monkeypatch.setattr(documents, "MAX_LINE_CHARS", 1_000)
    rows: list[Any] = [{"query_id": f"q{n}", "user_query": "ü" * n} for n in range(40)]
    content = ndjson([*rows[:20], json.dumps({"query_id": "x" * 5_000}), *rows[20:]]).removesuffix("\n")
    found = read(duckdb_engine, "queries", "\ufeff" + content.replace("\n", "\r\n\n"))
    assert [row["row_id"] for row in found] == list(range(41))
    assert [row["query_id"] for row in found] == [f"q{n}" for n in range(20)] + [None] + [
        f"q{n}" for n in range(20, 40)
    ]
    assert [row["not_json"] for row in found] == [n == 20 for n in range(41)]


def test_deep_nesting_is_a_row_like_any(duckdb_engine: Any) -> None:
    deep = '{"query_id": "q", "query_attributes": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert [r["query_id"] for r in read(duckdb_engine, "queries", ndjson([deep, "[" * 100_000]))] == ["q", None]


def test_an_event_is_told_by_its_content_unless_the_log_names_it(duckdb_engine: Any) -> None:
    rows = [event("click", "a"), event("click", "a"), event("click", "b"), event("order", "a", event_id="e7")]
    ids = [row["event_id"] for row in read(duckdb_engine, "events", ndjson(rows))]
    assert ids[0] == ids[1]
    assert len({ids[0], ids[2], ids[3]}) == 3
    assert ids[3] == "e7"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["q1", "q2", "1e999"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = [*query("q"), *event("click", "a"), "user_id", "session_id", "event_id", "object_id", "_source", "index"]
VALUES = JSON | st.sampled_from(
    ["2026-05-10T10:00:00Z", "click", "order", "impression", "login", ["a", "b"], {"object": {"object_id": "a"}}]
)
PLACES = st.dictionaries(
    st.sampled_from([name for names in PLACE_NAMES.values() for name in names]) | st.text(max_size=5),
    JSON | st.floats() | st.sampled_from(["52.5,13.4", "91,1", ",", {"lat": 1, "lon": 2}, {"lat": None}, "nan,nan"]),
    max_size=6,
)


@pytest.mark.slow
@hypothesis_settings(max_examples=40, deadline=None)
@given(st.lists(PLACES, min_size=1, max_size=8), st.booleans())
@example(places=[{"country": "\x1f", "zip": "\x1c 10115"}], flat=False)
def test_any_query_attributes_give_a_place_on_earth_or_none(
    duckdb_engine: Any, places: list[dict[str, Any]], flat: bool
) -> None:
    rows = [
        {"query_id": "q"} | {f"query_attributes.{k}": v for k, v in place.items()}
        if flat
        else {"query_id": "q", "query_attributes": place}
        for place in places
    ]
    found = read(duckdb_engine, "queries", ndjson(rows))
    assert [row["query_id"] for row in found] == ["q"] * len(rows)
    for row in found:
        latitude, longitude = row["latitude"], row["longitude"]
        assert (latitude is None) == (longitude is None)
        assert latitude is None or (abs(latitude) <= 90 and abs(longitude) <= 180)
        texts = [row[name] for name in ("country", "language", "zip")]
        assert all(text is None or 0 < len(text.strip()) <= 64 for text in texts)


LINES = (
    st.text(max_size=30)
    | JSON.map(json.dumps)
    | st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8).map(json.dumps)
)


@pytest.fixture(scope="module")
def judge(duckdb_engine: Any) -> dict[str, str]:
    """The screening of ``raw_queries`` and ``raw_events`` as SQL, compiled once for all examples."""
    for which in READERS:
        read(duckdb_engine, which, "")
    window = DayWindow.of(DAY, RawSettings())
    queries, events = duckdb_engine.table("raw_queries"), duckdb_engine.table("raw_events")
    for name in ("requests", "events"):
        duckdb_engine.con.execute(f"DROP TABLE IF EXISTS judge_{name}")
    before = {
        name: duckdb_engine.create_table(f"judge_{name}", schema=ibis.schema(schema))
        for name, schema in (("requests", REQUESTS), ("events", EVENTS))
    }
    requests = screen_requests(queries, before["requests"], window)
    clean = requests.filter(requests.leads)
    opened = open_baskets(events, RawSettings().actions).mutate(left_out=ibis.null("string"))
    judged = screen_events(opened, clean, before["events"], window)
    return {"queries": duckdb_engine.compile(requests), "events": duckdb_engine.compile(judged)}


@pytest.mark.slow
@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(LINES, max_size=12), st.lists(LINES, max_size=12), st.binary(max_size=20))
def test_no_line_crashes_a_day_and_none_is_lost(
    duckdb_engine: Any, judge: dict[str, str], query_lines: list[str], event_lines: list[str], tail: bytes
) -> None:
    rows_in = {}
    for which, lines in (("queries", query_lines), ("events", event_lines)):
        # Of a file the first line decides whether it is one list, and what its encoding is.
        content = ("\n".join([json.dumps(query("q0")), *lines]) + "\n").encode("utf-8", "surrogatepass") + tail
        texts = content.decode("utf-8", "replace").removeprefix("\ufeff").replace("\x00", "\ufffd").split("\n")
        rows_in[which] = sum(bool(text.strip("\r\t ")) for text in texts)
        assert len(read(duckdb_engine, which, content)) == rows_in[which]
    for which, sql in judge.items():
        reasons = [row["reason"] for row in duckdb_engine.con.sql(sql).to_arrow_table().to_pylist()]
        assert len(reasons) == rows_in[which]
        assert set(reasons) <= {None, "action_line", *IGNORED, *REASONS}


PLACES = [
    (which, field, path)
    for which, fields in (("queries", QUERY_PATHS), ("events", EVENT_PATHS))
    for field, paths in fields.items()
    for path in paths
]


def at(path: str, value: Any) -> dict[str, Any]:
    keys = [path[3:-1]] if path.startswith('$."') else path.removeprefix("$.").split(".")
    for key in reversed(keys):
        value = {key: value}
    return value  # type: ignore[no-any-return]


@pytest.mark.many(3)
@pytest.mark.parametrize(("which", "field", "path"), PLACES)
def test_a_field_is_read_from_each_of_its_paths(duckdb_engine: Any, which: str, field: str, path: str) -> None:
    value = {"time": "2026-05-10T10:00:00Z", "hits": ["a"], "position": 3}.get(field, "x1")
    read_there = read_one(duckdb_engine, which, at(path, value))[field]
    assert read_there == (datetime(2026, 5, 10, 10, tzinfo=UTC) if field == "time" else value)
