"""Category paths in all the ways that shops write them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.catalog_paths import PATHS_SQL
from tests.features.catalog_columns import column_of


def paths(values: list[Any]) -> list[tuple[list[str], list[str]]]:
    """(levels, further levels) of each value of one column."""
    with column_of(values, "category_path") as connection:
        connection.execute(PATHS_SQL)
        read = connection.execute(
            """SELECT coalesce(path, []), list_sort(coalesce(further, []))
            FROM keyed LEFT JOIN category_paths ON value::VARCHAR = value_text ORDER BY row_id"""
        ).fetchall()
    return [(path, further) for path, further in read]


@pytest.mark.parametrize(
    ("text", "levels"),
    [
        ("A > B > C", ["A", "B", "C"]),
        ("A >> B", ["A", "B"]),
        ("A -> B", ["A", "B"]),
        ("A → B", ["A", "B"]),
        ("A » B", ["A", "B"]),
        ("A › B", ["A", "B"]),
        ("A::B", ["A", "B"]),
        ("A/B/C", ["A", "B", "C"]),
        ("A|B|C", ["A", "B", "C"]),
        ("A||B", ["A", "B"]),
        ("A;B", ["A", "B"]),
        ("A|B/C", ["A", "B/C"]),
        ("Home > Kitchen/Dining > Mugs", ["Home", "Kitchen/Dining", "Mugs"]),
        ("Home > Beds, Bath & Linen", ["Home", "Beds, Bath & Linen"]),
        ("Food\\, Drink > Tea", ["Food, Drink", "Tea"]),
        ("> A >  > B >", ["A", "B"]),
        ("A:B", ["A:B"]),
        (123, ["123"]),
        ("123 > 456", ["123", "456"]),
        ("none", []),
        (" ", []),
        (["A", "B"], ["A", "B"]),
        ([{"name": "A"}, {"name": "B/C"}], ["A", "B/C"]),
        ([{"id": 1, "name": "A/B"}], ["A/B"]),
        ('["A", "B"]', ["A", "B"]),
        ({"name": "A > B"}, ["A", "B"]),
        ({"lvl0": "A", "lvl1": "A > B", "lvl2": "A > B > C"}, ["A", "B", "C"]),
        ({"id": 1}, []),
        ({"id": 3, "name": "C", "parent": {"id": 2, "name": "B", "parent": {"id": 1, "name": "A"}}}, ["A", "B", "C"]),
        ({"id": 3, "name": "C", "parentCategory": {"id": 2, "name": "B", "parentCategory": None}}, ["B", "C"]),
        ({"name": "B/C", "parent": "A"}, ["A", "B/C"]),
        ({"id": 3, "name": {"en": "C", "de": "D"}, "parent": {"name": {"en": "B"}}}, ["B", "C"]),
        ({"id": 9, "name": "B", "parent": 0}, ["B"]),
        ({"id": 9, "name": "B", "parent_id": 4}, ["B"]),
        ([{"id": 1, "name": "A", "parent_id": None}, {"id": 2, "name": "B", "parent_id": 1}], ["A", "B"]),
        ([{"id": "2", "name": "B", "parentId": "1"}, {"id": "1", "name": "A"}], ["A", "B"]),
        ([{"id": 1, "name": "A", "parent_id": 2}, {"id": 2, "name": "B", "parent_id": 1}], ["B", "A"]),
        ({"id": 5, "name": "B", "path": "A/B"}, ["A", "B"]),
        ({"id": 5, "name": "B", "path": "1/5"}, ["B"]),
        ('{"id": 3, "name": "C", "parent": {"name": "B"}}', ["B", "C"]),
    ],
)
def test_one_path(text: Any, levels: list[str]) -> None:
    assert paths([text]) == [(levels, [])]


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["Gear/Bags,Gear/Fitness"], [(["Gear", "Bags"], ["Fitness"])]),
        (["Gear,Gear/Bags,Gear/Bags/Small"], [(["Gear", "Bags", "Small"], [])]),
        (["Men > Tops, Women > Tops", "Women", "Men"], [(["Men", "Tops"], ["Women"]), (["Women"], []), (["Men"], [])]),
        (["Men > Hoodies, Sale", "Sale"], [(["Men", "Hoodies"], ["Sale"]), (["Sale"], [])]),
        (["Men > Hoodies, Sale"], [(["Men", "Hoodies, Sale"], [])]),
        (["A > B | C > D"], [(["A", "B"], ["C", "D"])]),
        (["A > B; C > D > E"], [(["C", "D", "E"], ["A", "B"])]),
        (["A > B\nC > D"], [(["A", "B"], ["C", "D"])]),
        (["A/B|C/D"], [(["A", "B"], ["C", "D"])]),
        (["A/B;C/D"], [(["A", "B"], ["C", "D"])]),
        (["F\\, D > Tea, F\\, D > Milk"], [(["F, D", "Tea"], ["Milk"])]),
        ([["A > B", "A > C > D"]], [(["A", "C", "D"], ["B"])]),
        ([[["A", "B"], ["C", "D", "E"]]], [(["C", "D", "E"], ["A", "B"])]),
        (
            [
                [
                    {"id": 1, "name": "A", "parent_id": None},
                    {"id": 2, "name": "B", "parent_id": 1},
                    {"id": 7, "name": "Sale", "parent_id": None},
                ]
            ],
            [(["A", "B"], ["Sale"])],
        ),
        (
            [[{"name": "C", "parent": {"name": "A"}}, {"name": "X", "parent": {"name": "B"}}]],
            [(["A", "C"], ["B", "X"])],
        ),
        (
            [{"id": 3, "name": "C", "parent_id": 2}, {"id": 2, "name": "B", "parent_id": 1}, {"id": 1, "name": "A"}],
            [(["A", "B", "C"], []), (["A", "B"], []), (["A"], [])],
        ),
        ([{"lvl0": ["A", "X"], "lvl1": ["A > B", "X > Y"]}], [(["A", "B"], ["X", "Y"])]),
    ],
)
def test_several_paths_in_a_cell(values: list[Any], read: list[tuple[list[str], list[str]]]) -> None:
    assert paths(values) == read


NAME = (
    st.text("abcdefgh äß&'-()", min_size=1, max_size=12)
    .map(str.strip)
    .filter(lambda name: name != "" and name[-1] != "-")
)
PATH = st.lists(NAME, min_size=1, max_size=4)


@settings(max_examples=20, deadline=None)
@given(st.lists(PATH, min_size=1, max_size=5), st.sampled_from([" > ", ">", "/", " / ", "|", " » ", " :: "]))
def test_paths_come_back_whatever_parts_their_levels(made: list[list[str]], mark: str) -> None:
    assert [levels for levels, _ in paths([mark.join(path) for path in made])] == made


def nested(path: list[str]) -> Any:
    return {"name": path[-1]} | ({"parent": nested(path[:-1])} if path[1:] else {})


def by_ids(path: list[str]) -> list[Any]:
    """The levels of a path as a list of categories, deepest first; an id is the names down to it."""
    return [
        {"id": "/".join(path[:n]), "name": path[n - 1], "parent_id": "/".join(path[: n - 1]) or None}
        for n in range(len(path), 0, -1)
    ]


@settings(max_examples=15, deadline=None)
@given(st.lists(PATH, min_size=1, max_size=5), st.sampled_from([nested, by_ids]))
def test_categories_that_know_the_one_above_them_are_paths(made: list[list[str]], write: Any) -> None:
    assert paths([write(path) for path in made]) == [(path, []) for path in made]


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(NAME, min_size=2, max_size=4), min_size=2, max_size=4), st.sampled_from(["|", "; ", "\n"]))
def test_several_paths_lose_no_level(made: list[list[str]], mark: str) -> None:
    ((levels, further),) = paths([mark.join(" > ".join(path) for path in made)])
    deepest = max(len(path) for path in made)
    assert levels == next(path for path in made if len(path) == deepest)
    assert set(levels) | set(further) == {name for path in made for name in path}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.text(), st.lists(st.text()), st.lists(st.lists(st.text())), st.integers()), min_size=1))
def test_nothing_that_stands_for_a_path_breaks_the_reader(values: list[Any]) -> None:
    read = paths(values)
    assert len(read) == len(values)
    assert all(level == level.strip(" ") != "" for levels, _ in read for level in levels)
