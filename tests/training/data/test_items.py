from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from training.data.items import fit_price_edges, item_tokens
from training.data.location import LocationBuckets
from training.data.ngrams import Hasher

HASHER = Hasher(2**20, 64)
NOWHERE = LocationBuckets.of_table(pa.table({}))
PAIRS = pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())]))


def label(*texts: str) -> list[int]:
    return [int(HASHER.labels([t]).ids[0]) for t in texts]


def catalog() -> pa.Table:
    return pa.table(
        {
            "item_id": ["a", "b", "c"],
            "title": ["Red Shoes", None, ""],
            "description": pa.nulls(3, pa.string()),
            "category_path": [["Wear", "Feet"], None, []],
            "brand": [None, "Bee", "Bee"],
            "price": [3.0, None, 9.0],
            "attributes": pa.array([[], [{"key": "Colour", "value": "Red"}], None], PAIRS),
            "tags": [["x", "y"], [], ["x"]],
        }
    )


def test_each_field_becomes_its_tokens() -> None:
    groups = item_tokens(catalog(), HASHER, (5.0,), NOWHERE).groups
    assert list(groups) == ["title", "category", "category_words", "attributes", "attribute_words", "identity"]
    assert [len(row) for row in (groups["identity"][i] for i in range(3))] == [2, 2, 2]
    assert len(np.unique(groups["identity"].ids)) == 6, "no other item has them"
    assert groups["title"][0].tolist() == HASHER.ngrams(["red shoes"])[0].tolist()
    assert [len(groups["title"][i]) for i in (1, 2)] == [0, 0]
    assert groups["category"][0].tolist() == label("#category wear", "#category wear.feet")
    assert groups["attributes"][0].tolist() == label("#price 0", "#tag x", "#tag y")
    assert groups["attributes"][1].tolist() == label("#brand bee", "#attr colour red")
    assert groups["attributes"][2].tolist() == label("#brand bee", "#price 1", "#tag x")
    assert groups["attribute_words"][1].tolist() == HASHER.ngrams(["bee red"])[0].tolist()


def test_rows_do_not_depend_on_the_rest_of_the_catalogue() -> None:
    whole = item_tokens(catalog(), HASHER, (5.0,), NOWHERE).groups
    for row in range(3):
        alone = item_tokens(catalog().slice(row, 1), HASHER, (5.0,), NOWHERE).groups
        for name, tokens in alone.items():
            assert tokens[0].tolist() == whole[name][row].tolist()


def test_a_catalogue_of_places_and_prices() -> None:
    places = pa.table({"item_id": ["1"], "category_path": [["France", "Paris, France"]], "price": [80.0]})
    assert list(item_tokens(places, HASHER, (), NOWHERE).groups) == [
        "category", "category_words", "attributes", "identity",
    ]  # fmt: skip


def test_where_an_item_is_becomes_its_labels() -> None:
    places = pa.table(
        {
            "item_id": ["1", "2"], "country": ["de", None], "zip": ["10115", None],
            "latitude": [52.5, None], "longitude": [13.4, None], "category_path": [["x"], ["y"]],
        }
    )  # fmt: skip
    groups = item_tokens(places, HASHER, (), LocationBuckets.of_table(places)).groups
    assert list(groups) == ["category", "category_words", "location", "identity"]
    zips = [f"#zip {'10115'[:n]}" for n in range(1, 6)]
    assert groups["location"][0].tolist() == label("#country de", *zips, "#geo50 0", "#geo100 0", "#geo500 0")
    assert len(groups["location"][1]) == 0


def test_nothing_to_learn_from_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to learn"):
        item_tokens(pa.table({"item_id": ["1"]}), HASHER, (), NOWHERE)


def test_price_edges_are_quantiles_of_known_prices() -> None:
    assert fit_price_edges(pa.array([1.0, 2.0, 3.0, 4.0, None, float("nan")]), 2) == (2.5,)
    assert fit_price_edges(pa.array([5.0] * 9), 3) == (5.0,)
    assert fit_price_edges(pa.array([], pa.float64()), 3) == ()
