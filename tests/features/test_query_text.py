from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.contract.query_text import normalise, normalised

LETTERS = "".join(
    chr(c) for low, high in ((1, 0x250), (0x370, 0x530), (0x1E00, 0x2070), (0x3000, 0x3040)) for c in range(low, high)
)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ""),
        ("  Red \t\n SHOES ", "red shoes"),
        ("\u3000Ångström\u00a0", "ångström"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
        ("İstanbul", "istanbul"),
    ],
)
def test_normal_form(text: str, wanted: str) -> None:
    assert normalise(text) == wanted
    assert normalise(wanted) == wanted


def on(engine: Any, load: Callable[..., Any], texts: list[str]) -> list[str]:
    numbered = pa.table({"n": range(len(texts)), "text": pa.array(texts, pa.string())})
    table = load(engine, "query_texts", numbered)
    found = table.mutate(text=normalised(table.text)).order_by("n").to_pyarrow()
    return [str(text) for text in found["text"].to_pylist()]


@hypothesis_settings(max_examples=25, deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))))
def test_python_and_duckdb_agree(duckdb_engine: Any, load: Callable[..., Any], texts: list[str]) -> None:
    assert on(duckdb_engine, load, texts) == [normalise(text) for text in texts]


@pytest.mark.spark
def test_python_and_spark_agree(spark_engine: Any, load: Callable[..., Any]) -> None:
    texts = [*LETTERS, *(f"{letter}a {letter}" for letter in LETTERS)]
    assert on(spark_engine, load, texts) == [normalise(text) for text in texts]
