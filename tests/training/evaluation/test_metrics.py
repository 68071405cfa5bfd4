"""Metrics per request, against figures by hand and the library on whole runs."""

from __future__ import annotations

import ir_measures
import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

from training.data.ragged import Ragged
from training.evaluation.metrics import MEASURES, per_request
from training.model.search import recall


def test_metrics_by_hand() -> None:
    found = np.array([[7, 3, 9], [1, 2, -1], [-1, -1, -1]])
    values = per_request(found, np.array([0, 0, 1, 2]), np.array([3, 8, 1, 1]))
    np.testing.assert_allclose(values["recall@10"], [0.5, 1, 0])
    np.testing.assert_allclose(values["mrr"], [0.5, 1, 0])
    ideal = 1 + 1 / np.log2(3)
    np.testing.assert_allclose(values["ndcg@10"], [1 / np.log2(3) / ideal, 1, 0])


def test_a_request_that_wants_nothing_has_no_figure() -> None:
    values = per_request(np.array([[1], [2]]), np.array([1]), np.array([2]))
    assert all(np.isnan(v[0]) and v[1] == 1 for v in values.values())


def test_own_recall_equals_the_library() -> None:
    rng = np.random.default_rng(0)
    found = np.stack([rng.permutation(300)[:100] for _ in range(40)])
    wanted = Ragged(
        np.arange(0, 121, 3), np.concatenate([rng.choice(300, 3, False) for _ in range(40)]).astype(np.int32)
    )
    values = per_request(found, wanted.rows_of_entries(), wanted.ids.astype(np.int64))
    for k in (10, 100):
        np.testing.assert_allclose(recall(found, wanted, k), values[f"recall@{k}"])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 130), st.booleans())
def test_the_rows_that_count_are_enough(seed: int, requests: int, depth: int, graded: bool) -> None:
    rng = np.random.default_rng(seed)
    items = 140
    found = np.stack([rng.permutation(items)[:depth] for _ in range(requests)])
    found = np.where(np.arange(depth) < rng.integers(0, depth + 1, requests)[:, None], found, -1)
    wants = [rng.choice(items, rng.integers(1, 8), replace=False) for _ in range(requests)]
    row, item = np.repeat(np.arange(requests), [len(w) for w in wants]), np.concatenate(wants)
    grade = rng.integers(0, 4, len(row)) if graded else np.ones(len(row), dtype=np.int64)
    values = per_request(found, row, item, grade)
    for name, measure in MEASURES.items():
        np.testing.assert_allclose(values[name], _whole_run(measure, found, row, item, grade), err_msg=name)


def _whole_run(measure: object, found: np.ndarray, row: np.ndarray, item: np.ndarray, grade: np.ndarray) -> list[float]:
    """The library over every row of the run."""
    rows, ranks = np.nonzero(found >= 0)
    run = pd.DataFrame({"query_id": rows.astype(str), "doc_id": found[rows, ranks].astype(str), "score": -1.0 * ranks})
    qrels = pd.DataFrame({"query_id": row.astype(str), "doc_id": item.astype(str), "relevance": grade})
    results = {r.query_id: r.value for r in ir_measures.iter_calc([measure], qrels, run)} if len(run) else {}
    return [results.get(str(request), 0.0) for request in range(len(found))]
