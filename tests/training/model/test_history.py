"""What a user chose: each item once with how often, and its way into the vectors."""

from __future__ import annotations

from collections import Counter

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.histories import ChosenItems, Histories
from training.data.ragged import Ragged, offsets_of
from training.model.encoders.history import HistoryPart, unit_codes

ITEM = st.integers(0, 6)
USER = st.tuples(st.lists(ITEM, max_size=9), st.lists(ITEM, max_size=4, unique=True))


def histories_of(users: list[tuple[list[int], list[int]]]) -> Histories:
    orders = [orders for orders, _ in users]
    width = max((len(clicks) for _, clicks in users), default=0)
    clicks = np.array([[*c, *[-1] * (width - len(c))] for _, c in users], dtype=np.int32).reshape(len(users), width)
    none = np.zeros((len(users), 0), dtype=np.int32)
    ids = np.array([item for row in orders for item in row], dtype=np.int32)
    rows = Ragged(offsets_of(np.array([len(row) for row in orders], dtype=np.int64)), ids)
    return Histories(none, clicks, none, none, none, rows)


@given(users=st.lists(USER, min_size=1, max_size=5))
def test_each_chosen_item_stands_once_with_what_a_loop_counts(users: list[tuple[list[int], list[int]]]) -> None:
    chosen = ChosenItems.of(histories_of(users))
    for row, (orders, clicks) in enumerate(users):
        found = {
            int(item): (chosen.orders[row, n], chosen.clicks[row, n], chosen.place[row, n])
            for n, item in enumerate(chosen.items[row])
            if item >= 0
        }
        times = Counter(orders)
        assert found == {
            item: (times[item], item in clicks, orders.index(item) if item in orders else clicks.index(item))
            for item in {*orders, *clicks}
        }
        assert (chosen.items[row] >= 0).sum() == len(found)


@given(users=st.lists(USER, min_size=2, max_size=5))
def test_nothing_is_left_of_a_history_that_is_forgotten(users: list[tuple[list[int], list[int]]]) -> None:
    first = np.arange(len(users)) == 0
    kept = ChosenItems.of(histories_of(users).forget(first))
    assert (kept.items[0] == -1).all()
    expected = ChosenItems.of(histories_of([([], []), *users[1:]]))
    np.testing.assert_array_equal(kept.items, expected.items)
    np.testing.assert_array_equal(kept.orders, expected.orders)


@settings(deadline=None)
@given(seed=st.integers(0, 1_000), pads=st.integers(0, 4))
def test_what_was_chosen_is_found_again_and_pads_say_nothing(seed: int, pads: int) -> None:
    torch.manual_seed(seed)
    width, items = 32, 50
    part = HistoryPart(width, groups=2)
    means, codes, query = torch.randn(items, 2, width), torch.randn(items, width), torch.randn(1, width)
    chosen = torch.tensor([[7, 11, *[-1] * pads]])
    orders = torch.tensor([[3.0, 1.0, *[5.0] * pads]])
    none = torch.zeros_like(orders)
    found = part(query, means, codes, chosen, none, orders, none)
    without_pads = part(query, means, codes, chosen[:, :2], none[:, :2], orders[:, :2], none[:, :2])
    torch.testing.assert_close(found, without_pads)
    once = part(query, means, codes, chosen[:, :1], none[:, :1], orders[:, :1], none[:, :1])
    scores = once @ part.of_items(codes).T
    assert int(scores.argmax()) == 7
    more = part(query, means, codes, chosen[:, :1], none[:, :1], 2 * orders[:, :1], none[:, :1])
    assert (more @ unit_codes(codes)[7]).item() > (once @ unit_codes(codes)[7]).item(), "bought more often"
    assert not part(query, means, codes, chosen[:, :0], none[:, :0], orders[:, :0], none[:, :0]).any()
