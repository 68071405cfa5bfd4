"""Files of every format as documents: packings, encodings, JSON lists, and Parquet in its physical forms."""

from __future__ import annotations

import bz2
import decimal
import gzip
import json
import random
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features import json_values, text_files
from features.documents import DocumentError, encodings_read, load_documents
from features.envelope_ids import take_envelope_ids
from features.json_values import document_lines, shape_of
from infra.settings import RawSettings

ROWS: list[dict[str, Any]] = [
    {"id": "a", "title": 'A "lamp", [white] {new}', "tags": ["x", {"y": "]"}]},
    {"id": "b", "title": "back\\slash\\", "n": {"deep": [[1], {"k": "},{"}]}},
    {"id": "c", "title": "Лампа 灯"},
]
PACK: dict[str, Callable[[bytes], bytes]] = {
    "": lambda data: data,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def read(engine: Any, folder: Path, name: str, content: bytes, encoding: str | None = None) -> list[Any]:
    file = folder / name.replace("/", "_")
    file.write_bytes(content)
    load_documents(engine, "documents", [file], [name], encoding)
    rows = engine.con.execute("SELECT document::VARCHAR FROM documents ORDER BY row_id").fetchall()
    return [document and json.loads(document) for (document,) in rows]


def as_text(kind: str) -> str:
    inner = json.dumps(ROWS)
    return {
        "lines": "\n".join(json.dumps(row) for row in ROWS),
        "array": inner,
        "pretty array": json.dumps(ROWS, indent=2, ensure_ascii=False),
        "array of lines": "[\n" + ",\n".join(json.dumps(row) for row in ROWS) + "\n]\n",
        "object": '{"total": 3, "facets": ["a"], "products": ' + inner + ', "next": null}',
        "pretty object": json.dumps({"shop": {"name": "s"}, "items": ROWS, "page": {"n": [1]}}, indent=1),
        "search": json.dumps({"took": 3, "hits": {"total": {"value": 3}, "hits": ROWS}}),
        "pretty values": "\n".join(json.dumps(row, indent=2) for row in ROWS),
    }[kind]


KINDS = ["lines", "array", "pretty array", "array of lines", "object", "pretty object", "search", "pretty values"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("block", [150, 1 << 20])
def test_documents_of_a_json_file(
    duckdb_engine: Any, tmp_path: Path, kind: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"_source": row} if kind == "search" else row for row in ROWS]
    text = as_text(kind) if kind != "search" else json.dumps({"took": 3, "hits": {"total": {"value": 3}, "hits": rows}})
    monkeypatch.setattr(text_files, "BLOCK_BYTES", block)  # the first block tells the shape
    assert read(duckdb_engine, tmp_path, "catalog.json", text.encode()) == rows


@pytest.mark.parametrize("kind", ["array", "lines"])
@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize("name", ["x.json", "part-0000"])
def test_packed_files(duckdb_engine: Any, tmp_path: Path, packed: str, name: str, kind: str) -> None:
    named = name + (packed if "." in name else "")
    assert read(duckdb_engine, tmp_path, named, PACK[packed](as_text(kind).encode())) == ROWS


@pytest.mark.parametrize("packed", [".gz", ".bz2", ".zst"])
def test_a_packed_file_cut_short_is_named(duckdb_engine: Any, tmp_path: Path, packed: str) -> None:
    with pytest.raises(DocumentError, match=rf"x\.ndjson\{packed} cannot be read"):
        read(duckdb_engine, tmp_path, f"x.ndjson{packed}", PACK[packed](as_text("lines").encode() * 50)[:-12])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["x.ndjson", "x.json", "x.csv", "x.tsv"])
def test_marks_and_wide_texts(duckdb_engine: Any, tmp_path: Path, encoding: str, name: str) -> None:
    text = {
        "x.ndjson": '{"id": "a", "title": "Größe"}\r\n{"id": "b", "title": "Łódź"}\r\n',
        "x.json": '[{"id": "a", "title": "Größe"},\n {"id": "b", "title": "Łódź"}]',
        "x.csv": "id;title\na;Größe\nb;Łódź\n",
        "x.tsv": "id\ttitle\r\na\tGröße\r\nb\tŁódź\r\n",
    }[name]
    found = read(duckdb_engine, tmp_path, name, text.encode(encoding))
    assert found == [{"id": "a", "title": "Größe"}, {"id": "b", "title": "Łódź"}]
    told = encodings_read(duckdb_engine, "documents")
    assert bool(told) == (not encoding.startswith("utf-8"))


RUSSIAN = "id;title;brand\n1;Кроссовки белые;Найк\n2;Ботинки зимние;Экко\n"


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1251", RUSSIAN),
        ("koi8_r", RUSSIAN),
        ("cp1252", "id;title;brand\n1;Crème brûlée;Ögon\n2;Größe für Mädchen;X\n"),
        ("cp1250", "id;title;brand\n1;Żółta koszula męska;Ł\n2;Buty zimowe dziecięce;Ś\n"),
        ("cp932", "id;title;brand\n1;白いスニーカー;ナイキ\n2;冬のブーツ;エコー\n"),
    ],
)
def test_an_encoding_is_guessed_and_told(duckdb_engine: Any, tmp_path: Path, encoding: str, text: str) -> None:
    wanted = [line.split(";") for line in text.splitlines()[1:]]
    assert [list(r.values()) for r in read(duckdb_engine, tmp_path, "x.csv", text.encode(encoding))] == wanted
    assert encodings_read(duckdb_engine, "documents") == {"x.csv": f"{encoding} (guessed)"}
    lines = "\n".join(json.dumps({"t": row[1]}, ensure_ascii=False) for row in wanted)
    assert read(duckdb_engine, tmp_path, "x.ndjson", lines.encode(encoding), encoding) == [{"t": r[1]} for r in wanted]
    assert encodings_read(duckdb_engine, "documents") == {"x.ndjson": encoding}


def test_a_mark_counts_before_the_setting(duckdb_engine: Any, tmp_path: Path) -> None:
    assert read(duckdb_engine, tmp_path, "x.csv", "id\nЛ\n".encode("utf-16"), "cp1251") == [{"id": "Л"}]


def test_an_unknown_encoding_is_refused() -> None:
    assert RawSettings(encoding="windows-1251").encoding == "cp1251"
    for name in ("klingon", "base64"):
        with pytest.raises(ValidationError, match="no text encoding"):
            RawSettings(encoding=name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[{"id": 1}, {"id": 2}', "its list never ends"),
        ('{"products": [{"id": 1}]', None),
        ('{"facets": [{"f": 1}], "products": [{"id": 1}]}', "more than one list, facets and products"),
        ('[{"id": "never closed}, {"id": 2}]', "its list never ends"),
    ],
)
def test_a_broken_list_is_named(duckdb_engine: Any, tmp_path: Path, text: str, says: str | None) -> None:
    if says is None:
        assert read(duckdb_engine, tmp_path, "x.json", text.encode()) == [{"id": 1}]
        return
    with pytest.raises(DocumentError, match=says):
        read(duckdb_engine, tmp_path, "x.json", text.encode())


def test_a_broken_element_costs_a_row(duckdb_engine: Any, tmp_path: Path) -> None:
    found = read(duckdb_engine, tmp_path, "x.json", b'[{"id": 1}, {"id": nope}, 7, {"id": 2}]')
    assert found == [{"id": 1}, None, None, {"id": 2}]


def test_a_row_with_a_list_is_a_row(duckdb_engine: Any, tmp_path: Path) -> None:
    row = {"sku": "a", "variants": [{"size": 1}, {"size": 2}]}
    assert read(duckdb_engine, tmp_path, "x.json", json.dumps(row).encode()) == [row]
    assert read(duckdb_engine, tmp_path, "x.json", json.dumps(row, indent=2).encode()) == [row]


@pytest.mark.parametrize(
    "row",
    [
        {"name": "A", "tags": [{"x": 1}, {"x": 2}]},
        {"tags": [{"x": 1}], "name": "A"},
        {"title": "A", "sizes_of_it": [{"x": 1}]},
        {"title": {"en": "A", "name": "x"}, "description": {"en": "B", "name": "y"}},
        {"event": "purchase", "items": [{"sku": 1}, {"sku": 2}]},
        {"user": {"id": 1, "name": "x"}, "item": {"id": 2, "name": "y"}},
    ],
)
def test_one_row_is_no_object_around_others(duckdb_engine: Any, tmp_path: Path, row: Any) -> None:
    assert read(duckdb_engine, tmp_path, "x.ndjson", json.dumps(row).encode()) == [row]


@pytest.mark.parametrize("around", ["{}", '{{"products": {}}}', '{{"status": "ok", "data": {{"items": {}, "n": 2}}}}'])
@pytest.mark.parametrize("indent", [None, 2])
def test_rows_under_their_ids(duckdb_engine: Any, tmp_path: Path, around: str, indent: int | None) -> None:
    rows = {'s"1': {"name": "A", "tags": [{"x": "}, {"}]}, "s2": {"name": "B", "sku": "own"}, "s3": {"name": "C"}}
    text = around.format(json.dumps(rows, indent=indent))
    found = read(duckdb_engine, tmp_path, "catalog.json", text.encode())
    assert found == [{"_id": key, "_source": row} for key, row in rows.items()]
    assert take_envelope_ids(duckdb_engine, "documents", ["sku"]) == 2
    rows_read = duckdb_engine.con.execute("SELECT document ->> '$.sku' FROM documents ORDER BY row_id").fetchall()
    assert rows_read[0] == ('s"1',)
    assert rows_read[2] == ("s3",)


@pytest.mark.parametrize(
    "around", ['{{"products": {}}}', '{{"data": {{"items": {}}}}}', '{{"title": "feed", "version": 1, "items": {}}}']
)
def test_rows_in_a_list_that_an_object_is_around(duckdb_engine: Any, tmp_path: Path, around: str) -> None:
    assert read(duckdb_engine, tmp_path, "x.json", around.format(json.dumps(ROWS)).encode()) == ROWS


def test_rows_under_ids_that_end_too_early_are_named(duckdb_engine: Any, tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="its object never ends: the file was cut short"):
        read(duckdb_engine, tmp_path, "x.json", b'{"a": {"name": "A"}, "b": {"name": "B"}, "c": {"na')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('a"\\[]{},: é灯\n', max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from('ab"\\{[,'), inner, max_size=3),
    max_leaves=8,
)


@given(
    rows=st.lists(st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3), min_size=1, max_size=6),
    indent=st.sampled_from([None, 0, 2]),
    size=st.integers(1, 40),
    ascii_only=st.booleans(),
)
def test_a_list_is_its_elements_however_it_is_cut(
    rows: list[dict[str, Any]], indent: int | None, size: int, ascii_only: bool
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    lines = "\n".join(document_lines(blocks, shape_of(text[: json_values.HEAD_CHARS]))).split("\n")
    assert [json.loads(line) for line in lines if line.strip()] == rows


@given(
    rows=st.dictionaries(
        st.text('a"\\[]{},: é灯\n').map("sku {}".format),
        st.dictionaries(st.sampled_from("xyz"), JSON, max_size=3).map(lambda row: {"name": "A"} | row),
        min_size=2,
        max_size=6,
    ),
    indent=st.sampled_from([None, 0, 2]),
    size=st.integers(1, 40),
)
def test_an_object_is_its_members_however_it_is_cut(
    rows: dict[str, dict[str, Any]], indent: int | None, size: int
) -> None:
    text = json.dumps(rows, indent=indent, ensure_ascii=False)
    blocks = [text[at : at + size] for at in range(0, len(text), size)]
    lines = "\n".join(document_lines(blocks, shape_of(text))).split("\n")
    found = [json.loads(line) for line in lines if line.strip()]
    assert {row["_id"]: row["_source"] for row in found} == rows
    assert len(found) == len(rows)


def test_parquet_in_its_physical_forms(duckdb_engine: Any, tmp_path: Path) -> None:
    moment = datetime(2026, 5, 10, 10, 0, 0, 123000)
    table = pa.table(
        {
            "t": pa.array([b"\xd0\x9b", b"x"], pa.binary()),
            "hits": pa.array([[b"a", b"b"], []], pa.list_(pa.binary())),
            "object": pa.array([{"id": b"o"}, None], pa.struct([("id", pa.binary())])),
            "price": pa.array([decimal.Decimal("12.50"), None], pa.decimal128(10, 2)),
            "ms": pa.array([moment] * 2, pa.timestamp("ms")),
            "utc": pa.array([moment.replace(tzinfo=UTC)] * 2, pa.timestamp("us", "UTC")),
            "day": pa.array([date(2026, 5, 1)] * 2),
            "large": pa.array(["L", "M"], pa.large_string()),
            "dictionary": pa.array(["d", "d"]).dictionary_encode(),
            "map": pa.array([[("k", "v")], []], pa.map_(pa.string(), pa.string())),
        }
    )
    pq.write_table(table, tmp_path / "source.parquet")
    first, second = read(duckdb_engine, tmp_path, "part-0000", (tmp_path / "source.parquet").read_bytes())
    assert first == {
        "t": "Л",
        "hits": ["a", "b"],
        "object": {"id": "o"},
        "price": 12.5,
        "ms": "2026-05-10 10:00:00.123",
        "utc": "2026-05-10 10:00:00.123+00",
        "day": "2026-05-01",
        "large": "L",
        "dictionary": "d",
        "map": {"k": "v"},
    }
    assert (second["t"], second["price"], second["object"]) == ("x", None, None)


def test_bytes_that_are_no_text_leave_the_other_columns(duckdb_engine: Any, tmp_path: Path) -> None:
    table = pa.table({"id": pa.array([b"a", b"b"]), "picture": pa.array([b"\xff\xd8\xff", b"ok"])})
    pq.write_table(table, tmp_path / "source.parquet")
    found = read(duckdb_engine, tmp_path, "x.parquet", (tmp_path / "source.parquet").read_bytes())
    assert found == [{"id": "a", "picture": None}, {"id": "b", "picture": "ok"}]


@pytest.mark.parametrize("name", ["x.csv", "x.ndjson", "part-0"])
def test_noise_under_the_name_of_a_text_is_named(duckdb_engine: Any, tmp_path: Path, name: str) -> None:
    noise = random.Random(7).randbytes(4096)
    with pytest.raises(DocumentError, match=rf"{name} cannot be read, .*bytes that no text has"):
        read(duckdb_engine, tmp_path, name, noise)


def test_a_few_odd_bytes_are_still_text(duckdb_engine: Any, tmp_path: Path) -> None:
    lines = ["id,title", *(f"{n},a title of some length {n}\x01" for n in range(50))]
    assert len(read(duckdb_engine, tmp_path, "x.csv", "\n".join(lines).encode())) == 50


@pytest.mark.parametrize("name", ["x.parquet", "x.csv.gz", "x.json", "part-0"])
def test_a_file_of_no_bytes_has_no_rows(duckdb_engine: Any, tmp_path: Path, name: str) -> None:
    assert read(duckdb_engine, tmp_path, name, b"") == []


@pytest.mark.parametrize(
    ("lines", "ids"),
    [
        ([{"index": {"_id": "1"}}, {"title": "x"}, {"index": {"_id": "2"}}, {"title": "y"}], ["1", "2"]),
        ([{"_id": "1", "_source": {"title": "x"}}, {"_id": 2, "_source": {"title": "y"}}], ["1", "2"]),
        ([{"_id": {"$oid": "5f"}, "title": "x"}], ["5f"]),
        ([{"index": {"_id": "1"}}, {"sku": "own"}, {"index": {"_id": "2"}}, {"sku": " "}], ["own", "2"]),
    ],
)
def test_the_envelope_has_the_id_of_a_row_without(
    duckdb_engine: Any, tmp_path: Path, lines: list[dict[str, Any]], ids: list[str]
) -> None:
    read(duckdb_engine, tmp_path, "x.ndjson", "\n".join(map(json.dumps, lines)).encode())
    take_envelope_ids(duckdb_engine, "documents", ("item_id", "sku"))
    found = duckdb_engine.con.execute(
        "SELECT coalesce(document ->> '$.item_id', document ->> '$.sku') FROM documents"
        " WHERE NOT is_action_line(document) ORDER BY row_id"
    ).fetchall()
    assert [row[0] for row in found] == ids
