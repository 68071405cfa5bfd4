"""A corrected query in the case that it was typed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.contract.query_text import normalise
from serving.callers_case import in_callers_case


@pytest.mark.parametrize(
    ("query", "corrected", "said"),
    [
        ("Red  SHEOS", "red shoes", "Red shoes"),
        ("LED lampp für Büro", "led lamp für büro", "LED lamp für Büro"),
        ("T-Shrit XL", "t-shirt xl", "T-shirt XL"),
        ("Dogleash", "dog leash", "dog leash"),
        ("ΟΔΟΣ lampp", "οδοσ lamp", "ΟΔΟΣ lamp"),
    ],
)
def test_words_that_were_not_changed_keep_their_case(query: str, corrected: str, said: str) -> None:
    assert in_callers_case(query, corrected) == said


@given(st.text(max_size=30), st.text(max_size=30))
def test_it_is_the_same_query(query: str, corrected: str) -> None:
    assert normalise(in_callers_case(query, normalise(corrected))) == normalise(corrected)
