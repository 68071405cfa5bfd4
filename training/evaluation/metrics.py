"""Retrieval metrics per request, by ir_measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

DEPTH = 1_000
"""Items found per request: the largest cut-off, and how deep MRR looks."""
MEASURES = {"recall@10": R @ 10, "recall@100": R @ 100, "recall@1000": R @ 1000, "ndcg@10": nDCG @ 10, "mrr": RR}

Values = dict[str, NDArray[np.float64]]


def per_request(
    found: NDArray[np.int64],
    row: NDArray[np.int64],
    item: NDArray[np.int64],
    grade: NDArray[np.int64] | None = None,
    measures: Mapping[str, Any] = MEASURES,
) -> Values:
    """Each measure of each request, [n]; NaN for a request that wants nothing.

    The library reads a run row by row in Python, so it gets only those rows that can move a measure
    (:func:`_counting`): a ninth of the time at a thousand items a request.

    Args:
        found: items per request, best first, -1 for none, no item twice, [n, k];
        row, item: what was wanted, one entry per (request, item), and its ``grade`` (default 1; 0 is irrelevant), [m].
    """
    relevance = np.ones(len(row), dtype=np.int64) if grade is None else grade
    hit = _hits(found, row[relevance > 0], item[relevance > 0])
    qrels = pd.DataFrame({"query_id": row.astype(str), "doc_id": item.astype(str), "relevance": relevance})
    wants = np.bincount(row, minlength=len(found)) > 0
    values: Values = {}
    for name, measure in measures.items():
        rows, ranks = np.nonzero(_counting(measure, hit) & (found >= 0))
        values[name] = np.where(wants, 0.0, np.nan)
        if len(rows):
            run = pd.DataFrame(
                {"query_id": rows.astype(str), "doc_id": found[rows, ranks].astype(str), "score": -ranks.astype(float)}
            )
            asked = qrels[np.isin(row, rows)]
            results = pd.DataFrame(ir_measures.iter_calc([measure], asked, run))
            values[name][results["query_id"].astype(int).to_numpy()] = results["value"].to_numpy(dtype=float)
    return values


def _hits(found: NDArray[np.int64], row: NDArray[np.int64], item: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of the found items were wanted, [n, k]."""
    if len(item) == 0 or found.size == 0:
        return np.zeros(found.shape, dtype=np.bool_)
    span = max(int(item.max()), int(found.max())) + 1
    wanted = np.unique(row * span + item)
    keys = np.arange(len(found))[:, None] * span + found
    place = np.minimum(np.searchsorted(wanted, keys), len(wanted) - 1)
    hits: NDArray[np.bool_] = (wanted[place] == keys) & (found >= 0)
    return hits


def _counting(measure: Any, hit: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The rows of a run without which ``measure`` would differ, [n, k].

    Recall counts the hits above its cut-off, wherever they lie there: those alone. The reciprocal rank needs the rows
    down to the first hit, any other measure all rows above its cut-off. A request without a hit scores 0.
    """
    ranks = np.arange(hit.shape[1])
    above = ranks < int(measure.params.get("cutoff", len(ranks)))
    hits: NDArray[np.bool_] = hit & above
    if measure.NAME == R.NAME:
        return hits
    needed = ranks <= hits.argmax(axis=1)[:, None] if measure.NAME == RR.NAME else above
    counting: NDArray[np.bool_] = needed & hits.any(axis=1, keepdims=True)
    return counting
