"""The benchmark of query correction runs, and its slips are slips."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import query_correction


def test_it_tells_what_slips_cost_and_what_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    titles = ["red leather shoes", "wireless headphones", "kitchen towels", "running shoes", "velvet curtain"] * 3
    pq.write_table(pa.table({"item_id": [f"i{n}" for n in range(15)], "title": titles}), tmp_path / "catalog.parquet")
    rows = [f"{title}\ti{n}\t3" for n, title in enumerate(titles)] + ["velvt curtain\ti4\t3"]
    (tmp_path / "qrels.tsv").write_text("\n".join(["query\titem_id\tgrade", *rows]), encoding="utf-8")
    monkeypatch.setattr(query_correction, "SIZES", (50,))

    query_correction.main(tmp_path / "catalog.parquet", tmp_path / "qrels.tsv")

    text = capsys.readouterr().out
    assert all(name in text for name in query_correction.SLIPS)
    assert "clean queries changed: 1 of 6; found less: 0" in text and "'velvt curtain' -> 'velvet curtain'" in text
    assert "50 words: load" in text and "nan" not in text


@given(st.lists(st.text("abcdefgh", min_size=1, max_size=12), min_size=1, max_size=4), st.integers(0, 99))
def test_a_slip_is_another_text_by_so_many_letters(words: list[str], seed: int) -> None:
    query = " ".join(words)
    for name, most in {"one edit": 1, "two edits": 2, "split": 1, "joined": 1}.items():
        wrong = query_correction.SLIPS[name](query, random.Random(seed))
        if wrong is not None:
            assert wrong != query and abs(len(wrong) - len(query)) <= most
    assert query_correction.SLIPS["joined"]("ab cd", random.Random(seed)) is None
