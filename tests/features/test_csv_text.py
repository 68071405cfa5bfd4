"""CSV catalogues: separators, encodings, quotation marks, and rows that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from features.catalog import CatalogError, build_catalog
from infra.settings import Settings
from tests.features.catalog_files import items, landing
from tests.features.raw_log import shop


def csv_shop(tmp_path: Path, content: str | bytes, **raw: Any) -> Settings:
    settings = shop(tmp_path, **raw)
    (landing(settings) / "catalog.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    return settings


@pytest.mark.many(1)
@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
@pytest.mark.parametrize("at", [0, 25_000])
def test_a_ragged_csv_row_goes_to_quarantine(tmp_path: Path, mark: str, at: int) -> None:
    rows = [f"{n}{mark}Artikel {n}, {n}{mark}1, 99" if mark != "," else f"{n},Artikel {n},9" for n in range(30_000)]
    ragged = mark.join(["x", "Kissen", " rot", "9"])
    rows.insert(at, ragged)
    rows.append(f"y{mark}short")
    settings = csv_shop(tmp_path, "\n".join([mark.join(["product_id", "title", "price"]), *rows]) + "\n")
    report = build_catalog(settings)
    assert report.reasons == {"ragged_row": 2}
    assert (report.rows_in, report.items) == (30_002, 30_000)
    refused = pq.read_table(settings.paths.catalog.with_name("quarantine.parquet"))
    assert refused["raw"].to_pylist() == [ragged, f"y{mark}short"]


@pytest.mark.many(3)
@pytest.mark.parametrize(
    ("encoding", "start"), [("utf-8", ""), ("utf-8-sig", ""), ("cp1252", ""), ("utf-16", ""), ("utf-16-le", "\ufeff")]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_csv_of_any_encoding(tmp_path: Path, encoding: str, start: str, end: str) -> None:
    text = start + end.join(["", "id;title;price", 'a;"Küchenmesser\nschwarz";12,50 €', "", "b;Größe;3", ""])
    build_catalog(csv_shop(tmp_path, text.encode(encoding)))
    found = [(row["item_id"], row["title"], row["price"]) for row in items(shop(tmp_path))]
    assert found == [("a", "Küchenmesser\nschwarz", 12.5), ("b", "Größe", 3.0)]


def test_a_damaged_letter_leaves_the_others_of_a_csv(tmp_path: Path) -> None:
    settings = csv_shop(tmp_path, "id,title\na,Küche\nb,Größe\nc,K?che\n".encode().replace(b"?", b"\xfc"))
    build_catalog(settings)
    assert [row["title"] for row in items(settings)] == ["Küche", "Größe", "K\ufffdche"]


@pytest.mark.parametrize(
    ("quoted", "title"), [(r'"12\" screen, \"new\""', '12" screen, "new"'), ('"12"" ""new"""', '12" "new"')]
)
def test_quotation_marks_inside_a_csv_value(tmp_path: Path, quoted: str, title: str) -> None:
    settings = csv_shop(tmp_path, f'"id","title","Title",\n"a",{quoted},"","x"\r\n"b","","",\n')
    build_catalog(settings)
    assert [row["title"] for row in items(settings)] == [title, None]


@pytest.mark.parametrize(
    ("content", "says"),
    [("id,title\na,b,c\nd,e,f\n", "no row with as many values"), ("id,title\n", "is empty"), ("", "is empty")],
)
def test_a_csv_without_a_row_says_why(tmp_path: Path, content: str, says: str) -> None:
    with pytest.raises(CatalogError, match=says):
        build_catalog(csv_shop(tmp_path, content))


def test_an_open_quotation_costs_its_lines_or_is_named(tmp_path: Path) -> None:
    rows = [f"{n},Artikel {n}" for n in range(10_000)]
    settings = csv_shop(tmp_path, "\n".join(["id,title", *rows, 'x,"open', "y,lost", ""]))
    report = build_catalog(settings)
    assert (report.reasons, report.rows_in, report.items) == ({"ragged_row": 2}, 10_002, 10_000)
    (landing(settings) / "catalog.csv").write_text("\n".join(["id,title", "w,good", 'x,"open', *rows, ""]))
    with pytest.raises(CatalogError, match=r"catalog\.csv cannot be read.*line 3 is never closed"):
        build_catalog(settings)


@pytest.mark.parametrize("mark", [";", ",", "\t"])
def test_excels_line_about_the_separator_is_no_header(tmp_path: Path, mark: str) -> None:
    rows = [["id", "title", "price"], ["1", "a", "2.5"], ["2", "b", "3.5"]]
    settings = csv_shop(tmp_path, f"sep={mark}\r\n" + "\r\n".join(mark.join(row) for row in rows))
    build_catalog(settings)
    assert [(row["item_id"], row["title"], row["price"]) for row in items(settings)] == [
        ("1", "a", 2.5),
        ("2", "b", 3.5),
    ]
