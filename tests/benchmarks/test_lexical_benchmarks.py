"""The benchmarks of numbers and of forms run, and tell what is so."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import item_numbers, lexical_forms


def catalog(folder: Path, items: int = 600) -> Path:
    titles = [f"a {kind} for the {place} with love" for kind in ("shoe", "lamps", "cup") for place in ("sea", "city")]
    ids = [f"SKU-{n * 7919:06d}X" for n in range(items)]
    pq.write_table(pa.table({"item_id": ids, "title": (titles * 100)[:items]}), folder / "catalog.parquet")
    return folder / "catalog.parquet"


def test_it_tells_how_often_a_number_names_its_item(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["shoe for the sea", "sku-000000x", None]
    pq.write_table(pa.table({"user_query": asked}), tmp_path / "queries.parquet")
    item_numbers.main(catalog(tmp_path), tmp_path / "queries.parquet")
    lines = capsys.readouterr().out.splitlines()
    told = [line for line in lines if " named " in line]
    assert len(told) == 9 and all("named 100.0%" in line for line in told), lines
    assert any("2 distinct queries, 1 name something" in line for line in lines)


def test_it_tells_what_forms_find_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [f"shoes\tSKU-{n * 7919:06d}X\t3" for n in range(2)] + ["lamps\tSKU-000000X\t1"]
    (tmp_path / "qrels.tsv").write_text("\n".join(["query\titem_id\tgrade", *rows]), encoding="utf-8")
    lexical_forms.main(catalog(tmp_path, 6), tmp_path / "qrels.tsv")
    out = capsys.readouterr().out
    assert "words alone: " in out and "recall@100 0.0000" in out
    assert "english: " in out and "recall@100: +1.0000 [+1.0000, +1.0000], 1 queries" in out
