"""Rules that rooms share, against what was published or is plain to see."""

from __future__ import annotations

import dataclasses

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from infra.contract import names, tables
from infra.contract.hashing import GOLDEN_GAMMA, mix, next_word
from infra.contract.request import RequestContext
from infra.settings import FeatureSettings

WORD = 2**64


def plain_next_word(state: int) -> int:
    """``nextLong`` of SplitMix64 as its authors write it."""
    z = (state + 0x9E3779B97F4A7C15) % WORD
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % WORD
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % WORD
    return z ^ (z >> 31)


def test_splitmix64_gives_the_published_numbers() -> None:
    """The first five of seed 1234567, from the reference implementation (Rosetta Code)."""
    states = np.arange(5, dtype=np.uint64) * np.uint64(GOLDEN_GAMMA) + np.uint64(1234567)
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert next_word(states).tolist() == expected


@given(st.lists(st.integers(0, WORD - 1), min_size=1, max_size=20))
def test_splitmix64_is_the_plain_one(states: list[int]) -> None:
    words = np.array(states, dtype=np.uint64)
    assert next_word(words).tolist() == [plain_next_word(state) for state in states]
    stepped = [(state - GOLDEN_GAMMA) % WORD for state in states]
    assert mix(words).tolist() == [plain_next_word(state) for state in stepped]


def test_every_feature_is_a_list_or_a_number() -> None:
    """A feature of another kind would reach no model: it needs an encoder, and a line in the contract."""
    assert {*names.USER_LISTS, *names.USER_NUMERIC} == set(tables.feature_names(tables.USER_FEATURES))
    assert {*names.ITEM_NUMERIC} == set(tables.feature_names(tables.ITEM_FEATURES))
    assert {*names.ITEM_COUNTS} <= {*names.ITEM_NUMERIC}


def test_a_context_holds_every_list() -> None:
    """``RequestContext.of_features`` names the lists by the table's columns."""
    held = {field.name for field in dataclasses.fields(RequestContext)}
    assert held == {*names.USER_LISTS, "numeric", "location"}


def test_every_list_has_a_length() -> None:
    settings = FeatureSettings()
    assert names.LIST_LENGTHS.keys() == {*names.USER_LISTS}
    assert {*names.USER_LISTS} - {*names.TOWER_LISTS} == {"order_history"}
    assert all(getattr(settings, limit) > 0 for limit in names.LIST_LENGTHS.values())
