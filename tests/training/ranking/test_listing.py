"""What is listed where nothing is searched for."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.training.ranking.examples import CATALOG, items
from training.ranking.listing import History, Listing, popularity

NOBODY = History(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.int32))
COUNTED = CATALOG.append_column("clicks_30d", pa.array([1, 9, 3, None, 0])).append_column(
    "orders_30d", pa.array([0, 0, 5, None, 0])
)


def history(*items: int) -> History:
    return History(np.array(items, dtype=np.int32), np.zeros(0, dtype=np.int32))


def test_popularity_counts_orders_more_and_falls_back_to_ratings() -> None:
    found = popularity(COUNTED)
    np.testing.assert_allclose(found, np.log1p([1, 9, 18, 0, 0]) / np.log1p(18), rtol=1e-6)
    rated = CATALOG.append_column("rating_count", pa.array([0.0, 4, None, -1, 2]))
    np.testing.assert_allclose(popularity(rated), np.log1p([0, 4, 0, 0, 2]) / np.log1p(4), rtol=1e-6)
    assert (popularity(CATALOG) == 0).all()


def test_nobody_gets_the_popular_ones_and_somebody_their_own_kind() -> None:
    listing = Listing(COUNTED, items())
    assert listing.order(NOBODY, 5, None)[0].tolist() == [2, 1, 0, 3, 4]
    rows, scores = listing.order(history(0, -1), 5, None)
    assert rows[0] == 0, "met lately"
    assert (np.diff(scores) <= 0).all()
    np.testing.assert_allclose(scores, listing.popularity[rows] + listing.of_user(history(0, -1), rows), rtol=1e-5)


def test_an_item_of_the_user_is_listed_however_few_looked_at_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.ranking.listing.MOST_POPULAR", 1)
    listing = Listing(COUNTED, items())
    user = History(np.array([3], dtype=np.int32), np.array([3, 3], dtype=np.int32))
    assert listing.order(user, 1, None)[0].tolist() == [3]
    without = np.array([True, True, True, False, True])
    assert listing.order(user, 5, without)[0].tolist() == [2, 1, 0, 4]


@given(
    st.lists(st.integers(-1, 4), max_size=6),
    st.lists(st.integers(-1, 4), max_size=6),
    st.integers(1, 9),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_a_listing_holds_what_matches_once_and_fewer_are_its_beginning(
    met: list[int], bought: list[int], k: int, allowed: list[bool]
) -> None:
    listing, user = Listing(COUNTED, items()), History(np.array(met, np.int32), np.array(bought, np.int32))
    mask = np.array(allowed)
    rows, scores = listing.order(user, k, mask)
    assert len(set(rows.tolist())) == len(rows) == min(k, int(mask.sum())) and mask[rows].all()
    assert (np.diff(scores) <= 0).all()
    assert listing.order(user, 9, mask)[0].tolist()[: len(rows)] == rows.tolist()
