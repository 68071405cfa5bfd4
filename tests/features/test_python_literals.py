"""Lists and objects as Python prints them, read as the JSON that they would be."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from features.python_literals import read_literals

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFF), max_size=12)
_VALUES = st.recursive(
    _TEXTS | st.integers(-(10**9), 10**9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=6,
)


@cache
def connection() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def read(text: str) -> str:
    connection().execute("CREATE OR REPLACE TABLE entries (value JSON)")
    connection().execute("INSERT INTO entries VALUES (?)", [json.dumps(text)])
    read_literals(connection(), "entries")
    ((value,),) = connection().execute("SELECT value ->> '$' FROM entries").fetchall()
    return str(value)


@settings(deadline=None)
@given(st.lists(_VALUES, max_size=4) | st.dictionaries(_TEXTS, _VALUES, min_size=1, max_size=4))
def test_what_python_prints_is_read_as_its_value(value: Any) -> None:
    found = read(repr(value))
    if "'" in repr(value):
        assert json.loads(found) == value
    else:
        assert found == repr(value)


@settings(deadline=None)
@given(_TEXTS)
def test_other_texts_stay_as_they_are(text: str) -> None:
    for other in (f"[{text}", f"it's {text}", json.dumps([text])):
        if "\x00" not in other:
            assert read(other) == other
