"""Filters: what is refused, and that Milvus and memory select exactly the items whose values match."""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from infra.contract.query_text import normalise
from serving.connection import Connection
from serving.filters import Filter, parse_filters
from serving.index import names_of, promote, push
from serving.loading import load_served, warm
from serving.served import ServedRelease
from tests.serving.small_shop import HOSTILE, Shop, make_shop

pytestmark = pytest.mark.server

COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    shop = make_shop(tmp_path_factory.mktemp("filters"), items=300)
    release = shop.release()
    push(shop.settings, release)
    promote(shop.settings, release.id)
    return shop


@pytest.fixture(scope="module")
def connection(shop: Shop) -> Iterator[Connection]:
    connection = Connection(shop.settings, 30)
    connection.open()
    yield connection
    connection.close()


@pytest.fixture(scope="module")
def served(shop: Shop) -> ServedRelease:
    """Searched in memory."""
    return load_served(shop.settings, shop.release().id)


@pytest.fixture(scope="module")
def by_milvus(shop: Shop, connection: Connection) -> ServedRelease:
    index = shop.settings.index.model_copy(update={"search": "milvus"})
    served = load_served(shop.settings.model_copy(update={"index": index}), shop.release().id, connection)
    warm(served, connection)
    return served


def expressed(connection: Connection, collection: str, wanted: Filter) -> set[str]:
    """The items that Milvus itself says match."""
    found = connection.client().query(collection, filter=wanted.expression(), limit=1000, output_fields=["item_id"])
    return {row["item_id"] for row in found}


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"size": "XL"}, "unknown filter field 'size'; this release has: price, rating, category, brand"),
        ({3: "red"}, "unknown filter field 3"),
        ([("brand", "Acme")], "filters must be a mapping"),
        ({"brand": []}, "empty list"),
        ({"brand": ""}, "not empty"),
        ({"brand": None}, "not empty"),
        ({"brand": 3}, "values are text"),
        ({"brand": b"Acme"}, "values are text"),
        ({"brand": ["Acme", 3]}, "values are text"),
        ({"brand": "\ud800"}, "not valid Unicode"),
        ({"brand": ["x"] * 1001}, "at most 1000"),
        ({"brand": {"gte": "A"}}, "a range needs a number field"),
        ({"price": "10"}, "values are numbers"),
        ({"price": True}, "values are numbers"),
        ({"price": math.nan}, "not a finite number"),
        ({"price": {"lt": math.inf}}, "not a finite number"),
        ({"price": {"lt": 10**400}}, "not a finite number"),
        ({"price": {"lt": -1e308}}, "not a finite number"),
        ({"price": {}}, "a range takes gt, gte, lt, lte"),
        ({"price": {"below": 5}}, "a range takes gt, gte, lt, lte"),
    ],
)
def test_bad_filters_say_what_is_wrong(served: ServedRelease, filters: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_filters(filters, served.fields)


def values_of(item: dict[str, Any], name: str) -> list[Any]:
    attributes = [a["value"] for a in item["attributes"] or [] if a["key"] == name]
    values = {"category": item["category_path"] or [], "tags": item["tags"] or []}.get(name)
    values = attributes if values is None and name not in item else values
    values = [item[name]] if values is None else values
    return [v for v in values if v not in (None, "") and not (isinstance(v, float) and math.isnan(v))]


def key(text: str) -> str:
    return normalise(unicodedata.normalize("NFC", text))


def path_key(text: str) -> str:
    return re.sub(" ?(->|::|[>»›→/|]) ?", ">", key(text)).strip(">")


def meant(rows: list[dict[str, Any]], name: str, text: str) -> tuple[set[str], set[tuple[str, ...]]]:
    """The values, and the paths, that a text stands for."""
    values = {value for row in rows for value in values_of(row, name)}
    same = {value for value in values if key(value) == key(text) != ""}
    if text in values or same:
        return {text} & values or same, set()
    whole = [values_of(row, "category") for row in rows] if name == "category" else []
    begun = {tuple(path[: n + 1]) for path in whole for n in range(len(path))}
    paths = {path for path in begun if path_key(" > ".join(path)) == path_key(text) != ""}
    written = {path for path in paths if " > ".join(path) == text}
    return set(), paths if len(paths) == 1 else written if len(written) == 1 else set()


def matches(rows: list[dict[str, Any]], name: str, wanted: Any) -> set[str]:
    """What the filter means, in plain Python over the rows of the catalogue."""
    own = [(row["item_id"], values_of(row, name)) for row in rows]
    if isinstance(wanted, dict):
        return {i for i, known in own if any(all(COMPARE[o](v, b) for o, b in wanted.items()) for v in known)}
    each = wanted if isinstance(wanted, list) else [wanted]
    if name in ("price", "rating"):
        return {i for i, known in own if any(v in each for v in known)}
    found = [meant(rows, name, text) for text in each]
    values, paths = set().union(*(v for v, _ in found)), set().union(*(p for _, p in found))
    return {i for i, known in own if values & set(known) or any(tuple(known[: len(p)]) == p for p in paths)}


hostile = st.sampled_from(HOSTILE)
texts = st.one_of(
    hostile,
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12),
    st.tuples(hostile, st.sampled_from([str.upper, str.title, " {}\t".format])).map(lambda pair: pair[1](pair[0])),
    st.tuples(st.sampled_from([" > ", ">", "/", " | ", " › "]), st.lists(hostile, min_size=1, max_size=3)).map(
        lambda pair: pair[0].join(pair[1])
    ),
)
numbers = st.one_of(
    st.integers(-5, 120), st.floats(-1e300, 1e300, allow_nan=False), st.sampled_from([0.1, 9.99, 1e-7, 1e22])
)
clauses = st.one_of(
    st.tuples(
        st.sampled_from(["brand", "category", "tags", "colour", 'we"ird \\ key']),
        st.one_of(texts, st.lists(texts, min_size=1, max_size=4)),
    ),
    st.tuples(
        st.sampled_from(["price", "rating"]),
        st.one_of(
            numbers,
            st.lists(numbers, min_size=1, max_size=3),
            st.dictionaries(st.sampled_from(list(COMPARE)), numbers, min_size=1, max_size=3),
        ),
    ),
)


@given(wanted=st.lists(clauses, min_size=1, max_size=2, unique_by=lambda clause: clause[0]).map(dict))
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_milvus_and_memory_select_exactly_what_plain_python_does(
    shop: Shop, served: ServedRelease, by_milvus: ServedRelease, connection: Connection, wanted: dict[str, Any]
) -> None:
    rows = shop.catalog.to_pylist()
    expected = set.intersection(*(matches(rows, name, value) for name, value in wanted.items()))
    filters = parse_filters(wanted, served.fields)
    vectors = served.release.items.vectors[:1]
    (found,), (exact,) = (s.search(vectors, len(rows), filters) for s in (by_milvus, served))
    assert expressed(connection, names_of(shop.settings).collection(served.release.id), filters) == expected
    assert {h.item_id for h in served.hits(*found)} == expected
    assert {h.item_id for h in served.hits(*exact)} == expected
    assert found[1].tolist() == pytest.approx(exact[1].tolist(), abs=1e-5)


def test_each_hostile_value_of_the_catalogue_is_found(
    shop: Shop, served: ServedRelease, connection: Connection
) -> None:
    rows = shop.catalog.to_pylist()
    for value in HOSTILE:
        wanted = parse_filters({"brand": value}, served.fields)
        expected = {r["item_id"] for r in rows if r["brand"] == value}
        assert expressed(connection, names_of(shop.settings).collection(served.release.id), wanted) == expected != set()
        (found,) = served.search(served.release.items.vectors[:1], len(rows), wanted)
        assert {h.item_id for h in served.hits(*found)} == expected


def test_a_missing_price_matches_no_range(shop: Shop, served: ServedRelease, connection: Connection) -> None:
    known = {r["item_id"] for r in shop.catalog.to_pylist() if r["price"] is not None and not math.isnan(r["price"])}
    assert 0 < len(known) < len(shop.catalog)
    anything = parse_filters({"price": {"lt": 1e300}}, served.fields)
    assert expressed(connection, names_of(shop.settings).collection(served.release.id), anything) == known
    (found,) = served.search(served.release.items.vectors[:1], 1000, anything)
    assert {h.item_id for h in served.hits(*found)} == known


@pytest.mark.parametrize("filters", [{"category_path": ["A%", "no such level"]}, {"brand": "no such brand"}])
def test_what_no_item_has_matches_nothing_anywhere(
    shop: Shop, served: ServedRelease, connection: Connection, filters: dict[str, Any]
) -> None:
    wanted = parse_filters(filters, served.fields)
    assert expressed(connection, names_of(shop.settings).collection(served.release.id), wanted) == set()
    (found,) = served.search(served.release.items.vectors[:1], 1000, wanted)
    assert not len(found[0]) and len(wanted.unknown) == 1
