"""Items by their own number."""

import numpy as np

from training.ranking.item_numbers import ItemNumbers, named_first


def test_an_unknown_query_that_is_an_id_names_the_item() -> None:
    numbers = ItemNumbers(["SKU 1", "sku-2", "501", "BP-1182/4"])
    known = np.array([False, False, False, True, False, True])
    texts = ["sku 1", "sku-2", "501", "501", "mug", "bp-1182/4"]
    assert numbers.named(texts, known).tolist() == [0, 1, 2, -1, -1, 3]


def test_it_comes_first_and_once() -> None:
    items, scores = named_first(np.array([4, 7, 2]), np.array([3.0, 2.0, 1.0], dtype=np.float32), 7, 3)
    assert items.tolist() == [7, 4, 2] and scores.tolist() == [4, 3, 1]
    items, scores = named_first(np.array([4, 7]), np.array([-3.0, -4.0], dtype=np.float32), 1, 2)
    assert items.tolist() == [1, 4] and scores.tolist() == [1, -3]
    assert named_first(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32), 1, 2)[0].tolist() == [1]
