"""Texts and names of any kind reach DuckDB as they are."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from features.sql_text import identifier, listed, quoted

TEXTS = ["plain", "it's", "''", 'say "hi"', "a\\b", "line\nend", "", "ünïcödé 雪", "{name}", "%s ? $1"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_literal_is_its_text(text: str) -> None:
    assert duckdb.sql(f"SELECT {quoted(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("name", [text for text in TEXTS if text])
def test_an_identifier_names_its_column(name: str) -> None:
    assert duckdb.sql(f"SELECT 1 AS {identifier(name)}").columns == [name]


def test_a_list_has_texts_and_paths() -> None:
    several = listed(["o'neil", Path("/logs/a b")])
    assert duckdb.sql(f"SELECT {several}").fetchall() == [(["o'neil", "/logs/a b"],)]
    assert duckdb.sql(f"SELECT len({listed([])})").fetchall() == [(0,)]
