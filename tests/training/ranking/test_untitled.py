"""Items without a title."""

import numpy as np
import pyarrow as pa

from training.ranking.bm25 import Bm25
from training.ranking.untitled import untitled

TEXTS = ["Blue kettle of steel with a long handle", "Red kettle with a lid and a base of glass", "kettle", ""]
LACKING = np.array([False, False, True, True])


def test_an_item_without_a_title_is_not_the_first() -> None:
    assert Bm25(TEXTS).scores(["kettle"])[0].argmax() == 2
    (scores,) = Bm25(TEXTS, lacking=LACKING).scores(["kettle"])
    assert scores.argmax() != 2 and scores[2] > 0


def test_nor_is_one_that_came_after_the_index() -> None:
    own = Bm25(TEXTS[:2])
    assert own.with_texts(TEXTS[2:]).scores(["kettle"])[0].argmax() == 2
    (scores,) = own.with_texts(TEXTS[2:], LACKING[2:]).scores(["kettle"])
    assert scores.argmax() != 2 and scores[2] > 0


def test_they_lack_a_title_where_most_have_one() -> None:
    assert untitled(pa.table({"title": ["a", "b", None, " ", "c"]})).tolist() == [False, False, True, True, False]
    assert not untitled(pa.table({"title": ["a", None, None]})).any()
    assert not untitled(pa.table({"brand": ["a", "b"]})).any()
