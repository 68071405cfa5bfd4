"""What of an item people have a taste for."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.ranking.tastes import LEAST_PRICED, MOST_ATTRIBUTES, PRIOR_CHOICES, Traits, price_places

PAIR = pa.struct([("key", pa.string()), ("value", pa.string())])


def catalog(
    brands: list[str | None], colours: list[str | None], tags: list[list[str]] | None = None, **more: list[str]
) -> pa.Table:
    def of_item(i: int) -> list[dict[str, str | None]]:
        found = {"colour": colours[i]} | {key: values[i] for key, values in more.items()}
        return [{"key": key, "value": value} for key, value in found.items() if value is not None]

    return pa.table(
        {
            "brand": pa.array(brands, pa.string()),
            "tags": pa.array(tags or [[] for _ in brands], pa.list_(pa.string())),
            "attributes": pa.array([of_item(i) for i in range(len(brands))], pa.list_(PAIR)),
        }
    )


def taste(traits: Traits, chosen: list[int], item: int, field: str) -> float:
    found = traits.affinities(
        np.zeros(len(chosen), dtype=np.int64), np.array(chosen, dtype=np.int64), np.array([0]), np.array([item])
    )
    return float(found[0, traits.fields.index(field)])


def test_a_taste_is_the_log_odds_of_choices_against_the_catalogue() -> None:
    traits = Traits.of(catalog(["a", "a", "a", "b"], ["red", "blue", "blue", None]))
    assert traits.fields == ("brand", "attribute colour")
    share, n = 1 / 4, 2
    expected = np.log((2 + PRIOR_CHOICES * share) / (n + PRIOR_CHOICES)) - np.log(share)
    assert taste(traits, [3, 3], 3, "brand") == pytest.approx(expected)
    assert taste(traits, [3, 3], 0, "brand") < 0 < expected
    assert taste(traits, [3, 3], 0, "attribute colour") == 0, "what was chosen has no colour"
    assert taste(traits, [0], 3, "attribute colour") == 0, "the item has none"
    assert taste(traits, [], 0, "brand") == 0, "nothing is known of the user"


def test_several_values_of_a_field_count_by_their_mean() -> None:
    traits = Traits.of(catalog([None] * 3, [None] * 3, [["x", "y"], ["x"], ["y"]]))
    both = taste(traits, [1], 0, "tags")
    assert both == pytest.approx((taste(traits, [1], 1, "tags") + taste(traits, [1], 2, "tags")) / 2)


def test_attributes_that_few_items_have_are_no_field_and_there_is_an_end_of_them() -> None:
    n = 40
    many = {f"key{i}": ["v"] * n for i in range(MOST_ATTRIBUTES + 3)}
    fields = Traits.of(catalog([None] * n, ["red"] + [None] * (n - 1), **many)).fields
    assert len(fields) == MOST_ATTRIBUTES and "attribute colour" not in fields


def test_chosen_fields_keep_their_places_in_another_catalogue() -> None:
    fields = ("attribute colour", "brand", "attribute gone")
    traits = Traits.of(catalog(["a", "b"], ["red", "blue"]), fields)
    assert traits.fields == fields
    assert taste(traits, [0], 0, "brand") > 0 and taste(traits, [0], 0, "attribute colour") > 0
    assert taste(traits, [0], 0, "attribute gone") == 0


@pytest.mark.parametrize("table", [pa.table({"item_id": ["1", "2"]}), catalog([], []), catalog([None], [None])])
def test_a_catalogue_of_which_nothing_is_known_has_no_tastes(table: pa.Table) -> None:
    traits = Traits.of(table)
    found = traits.affinities(np.array([0]), np.array([0]), np.array([0, 0]), np.array([0, 0]))
    assert found.shape == (2, 0)


@given(st.lists(st.tuples(st.integers(-1, 2), st.one_of(st.none(), st.sampled_from([1.0, 2.0, 3.0]))), max_size=30))
def test_a_price_has_its_place_among_those_of_its_category(items: list[tuple[int, float | None]]) -> None:
    category = np.array([c for c, _ in items], dtype=np.int32)
    price = np.array([np.nan if p is None else np.log(p) for _, p in items], dtype=np.float32)
    found = price_places(price, category)
    for i in range(len(items)):
        others = price[(category == category[i]) & np.isfinite(price)]
        if np.isnan(price[i]) or len(others) < LEAST_PRICED:
            assert np.isnan(found[i])
        else:
            cheaper, equal = (others < price[i]).mean(), (others == price[i]).mean()
            assert found[i] == pytest.approx(cheaper + equal / 2)
