"""What is an identifier."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.ranking.identifiers import folded, folded_text, may_be_part, own_identifiers, said_identifiers


@pytest.mark.parametrize("title", ["XPS-9310", "Ink (CB335WN, CB337WN)", "T0A36AN#140 ink", "ISBN 978-0-306-40615-7",
                                   "Lego 6039761", "Pump E717-T50;", "a1b2c3 valve"])  # fmt: skip
def test_codes_are(title: str) -> None:
    found = said_identifiers(pa.table({"title": [title]}))
    assert len(found.key) == (2 if "," in title else 1)


@pytest.mark.parametrize(
    "title",
    ["Soap 500ml", "TV 1080p 144Hz", "Frame 12x16in 8.5x11", "4-in-1 tool", "MacBook2019", "USB3.0 usb31", "iPhone13",
     "Planner 2018-2019", "24/7 12-31", "100-240V", "32GB/64GB", "12-Count 10000mAh", "ram512gb", "Level 2 & 3", ""],
)  # fmt: skip
def test_sizes_versions_and_years_are_not(title: str) -> None:
    assert said_identifiers(pa.table({"title": [title]})).key.to_pylist() == []


def test_of_ids_and_variants_all_are() -> None:
    variants = pa.array([["A 1", "--"], []], pa.list_(pa.string()))
    found = own_identifiers(pa.table({"item_id": ["red-shirt", "7"], "variant_ids": variants}))
    assert list(zip(found.row.tolist(), found.key.to_pylist(), strict=True)) == [(0, "redshirt"), (1, "7"), (0, "a1")]


@settings(deadline=None)
@given(st.text())
def test_one_text_is_folded_as_many_are(text: str) -> None:
    assert folded_text(text) == folded(pa.array([text]))[0].as_py()


def test_parts_have_some_length() -> None:
    assert [may_be_part(key) for key in ("b07", "b07c", "1107", "11071", "10000", "500ml", "iphone13", "abc12")] == [
        False, True, False, True, False, False, False, True,
    ]  # fmt: skip
