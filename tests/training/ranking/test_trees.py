"""Trees upon a linear ranker: what they add, how they are kept, and when they are taken."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.training.ranking.examples import items
from training.ranking.fitting import LEARNED, LEAST_FOR_TREES, TREES, RankingRows, fit_ranker
from training.ranking.listwise import Lists
from training.ranking.ranker import SAME_FOR_ALL, Ranker
from training.ranking.trees import Trees

FEATURES = items().features
PAIRS = 20


def some_rows(n: int, together: bool, seed: int = 1) -> RankingRows:
    """Requests in which one pair is ordered: by two features that count only together, or by their sum."""
    rng = np.random.default_rng(seed)
    values = rng.random((n * PAIRS, len(FEATURES))).astype(np.float32)
    first, second = values[:, FEATURES.index("times_ordered")], values[:, FEATURES.index("price_closeness")]
    worth = np.abs(first - second) < 0.1 if together else first + second
    best = (worth + rng.random(len(values)) * 0.1).reshape(n, PAIRS).argmax(axis=1)
    gain = np.zeros((n, PAIRS))
    gain[np.arange(n), best] = 4
    known = np.ones(n, dtype=np.bool_)
    return RankingRows(values, np.repeat(np.arange(n), PAIRS), gain.ravel(), known, np.arange(n))


@pytest.fixture(scope="module")
def fitted() -> Ranker:
    """A ranker with trees for known queries."""
    found = fit_ranker(FEATURES, some_rows(600, together=True), 7)
    assert found.choices["known"].serves == TREES
    assert found.choices["known"].ndcg[TREES] > found.choices["known"].ndcg[LEARNED] + 0.05
    return found.ranker


def test_trees_serve_where_they_surely_lead_the_weights(fitted: Ranker) -> None:
    assert set(fitted.trees) == {"known"}


def test_they_do_not_where_weights_say_all_there_is() -> None:
    found = fit_ranker(FEATURES, some_rows(400, together=False), 7)
    assert TREES in found.choices["known"].ndcg and found.choices["known"].serves == LEARNED
    assert not found.ranker.trees


def test_they_are_not_tried_on_few_requests() -> None:
    found = fit_ranker(FEATURES, some_rows(LEAST_FOR_TREES - 1, together=True), 7)
    assert TREES not in found.choices["known"].ndcg and not found.ranker.trees


def test_parts_add_up_to_the_score(fitted: Ranker) -> None:
    values = some_rows(10, together=True, seed=3).values
    values[::3, 5] = np.nan
    known = np.arange(len(values)) % 2 == 0
    parts = fitted.parts(values, known)
    np.testing.assert_allclose(sum(parts.values()), fitted.scores(values, known), atol=1e-4)
    assert (parts[SAME_FOR_ALL][~known] == 0).all() and np.ptp(parts[SAME_FOR_ALL][known]) == 0


def test_only_their_own_class_reads_them(fitted: Ranker) -> None:
    values = some_rows(10, together=True, seed=3).values
    without = replace(fitted, trees={})
    nobody, all_known = np.zeros(len(values), dtype=np.bool_), np.ones(len(values), dtype=np.bool_)
    np.testing.assert_array_equal(fitted.scores(values, nobody), without.scores(values, nobody))
    assert not np.allclose(fitted.scores(values, all_known), without.scores(values, all_known))


def test_a_ranker_is_read_as_it_was_written(fitted: Ranker) -> None:
    values = some_rows(10, together=True, seed=3).values
    known = np.ones(len(values), dtype=np.bool_)
    read = Ranker.from_json(json.loads(json.dumps(fitted.to_json())))
    np.testing.assert_array_equal(read.scores(values, known), fitted.scores(values, known))
    shuffled = (*FEATURES[::-1], "another")
    more = np.column_stack([values[:, ::-1], np.full(len(values), 9.0, dtype=np.float32)])
    np.testing.assert_allclose(read.aligned(shuffled).scores(more, known), fitted.scores(values, known), atol=1e-6)
    parts = read.aligned(shuffled).parts(more, known)
    np.testing.assert_allclose(sum(parts.values()), fitted.scores(values, known), atol=1e-4)


def test_the_same_requests_give_the_same_trees() -> None:
    rows = some_rows(300, together=True)
    lists = Lists.of(rows.values.astype(np.float64), rows.row, rows.gain)
    one, two = (Trees.fit(lists, np.zeros(len(rows.row)), 5).model for _ in range(2))
    assert one == two


@pytest.mark.parametrize("model", ["", "tree\nversion=v4\nnum_class=1\n"])
def test_what_is_no_model_is_refused_when_it_is_loaded(model: str) -> None:
    with pytest.raises(ValueError, match="no model of LightGBM"):
        Trees(model, np.arange(3)).load()


@pytest.mark.parametrize("share", [0.02, 0.1, 0.3, 0.5, 0.7])
def test_a_cut_model_is_refused_before_lightgbm_reads_it(fitted: Ranker, share: float) -> None:
    model = fitted.trees["known"].model
    with pytest.raises(ValueError, match="no model of LightGBM"):
        Trees(model[: int(model.index("end of trees") * share)], np.arange(len(FEATURES))).load()


@pytest.mark.parametrize(
    ("size", "other"),
    [
        (r"tree_sizes=\d", "tree_sizes=9"),
        (r"tree_sizes=", "tree_sizes=1"),
        (r"tree_sizes=\d+", "tree_sizes=x"),
        (r"tree_sizes=(\d+) (\d+)", r"tree_sizes=\2 \1"),
        (r"tree_sizes=(\d+) ", "tree_sizes=-1 "),
        (r"tree_sizes=.*", "tree_sizes="),
    ],
)
def test_a_model_of_other_sizes_is_refused_before_lightgbm_reads_it(fitted: Ranker, size: str, other: str) -> None:
    model, changed = re.subn(size, other, fitted.trees["known"].model, count=1)
    assert changed and model != fitted.trees["known"].model
    with pytest.raises(ValueError, match="no model of LightGBM: its tree"):
        Trees(model, np.arange(len(FEATURES))).load()


@pytest.mark.parametrize("name", ["num_leaves", "split_feature", "right_child"])
def test_a_model_with_a_changed_letter_is_refused(fitted: Ranker, name: str) -> None:
    model = fitted.trees["known"].model.replace(f"{name}=", f"x{name[1:]}=", 1)
    with pytest.raises(ValueError, match="no model of LightGBM"):
        Trees(model, np.arange(len(FEATURES))).load()


def test_a_model_of_other_features_is_refused(fitted: Ranker) -> None:
    with pytest.raises(ValueError, match="features"):
        Trees(fitted.trees["known"].model, np.arange(3)).load()
