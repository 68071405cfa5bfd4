"""Retrieval metrics per request by ir_measures, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import ir_measures
import numpy as np
import pandas as pd
from ir_measures import RR, R, nDCG
from numpy.typing import NDArray

MEASURES = {"recall@10": R @ 10, "recall@100": R @ 100, "ndcg@10": nDCG @ 10, "mrr": RR}
RESAMPLES = 1_000
CHUNK_DRAWS = 1 << 22

Values = dict[str, NDArray[np.float64]]


def per_request(
    found: NDArray[np.int64],
    row: NDArray[np.int64],
    item: NDArray[np.int64],
    grade: NDArray[np.int64] | None = None,
    measures: Mapping[str, object] = MEASURES,
) -> Values:
    """Each measure of each request, [n].

    Args:
        found: items per request, best first, -1 for none, [n, k];
        row, item: what was wanted, one entry per (request, item), and its ``grade`` (default 1), [m]. Each request
            needs at least one.
    """
    rows, ranks = np.nonzero(found >= 0)
    run = pd.DataFrame(
        {"query_id": rows.astype(str), "doc_id": found[rows, ranks].astype(str), "score": -ranks.astype(float)}
    )
    relevance = np.ones(len(row), dtype=np.int64) if grade is None else grade
    qrels = pd.DataFrame({"query_id": row.astype(str), "doc_id": item.astype(str), "relevance": relevance})
    names = {measure: name for name, measure in measures.items()}
    results = pd.DataFrame(ir_measures.iter_calc(list(measures.values()), qrels, run))
    values: Values = {name: np.zeros(len(found)) for name in measures}
    for measure, part in results.groupby("measure", sort=False):
        values[names[measure]][part["query_id"].astype(int).to_numpy()] = part["value"].to_numpy(dtype=float)
    return values


def with_interval(values: NDArray[np.float64], seed: int) -> tuple[float, float, float]:
    """Mean over requests, and the 2.5% and 97.5% quantiles of the means of resampled requests (bootstrap)."""
    if len(values) == 0:
        return float("nan"), float("nan"), float("nan")
    rng = np.random.default_rng(seed)
    step = max(1, CHUNK_DRAWS // len(values))
    means = [
        values[rng.integers(0, len(values), (min(step, RESAMPLES - done), len(values)))].mean(axis=1)
        for done in range(0, RESAMPLES, step)
    ]
    low, high = np.quantile(np.concatenate(means), [0.025, 0.975])
    return float(values.mean()), float(low), float(high)


def summarise(values: Values, chosen: NDArray[np.bool_], seed: int) -> dict[str, dict[str, float]]:
    """``{measure: {value, low, high}}`` over the chosen requests."""
    return {
        name: dict(zip(("value", "low", "high"), with_interval(v[chosen], seed), strict=True))
        for name, v in values.items()
    }


def mean_rows(methods: Mapping[str, Values], names: Sequence[str]) -> list[dict[str, float | str]]:
    """One row per method with the mean of each named measure."""
    return [{"method": m, **{n: float(values[n].mean()) for n in names}} for m, values in methods.items()]
