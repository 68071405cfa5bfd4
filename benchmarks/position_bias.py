"""How much is each position of a shop's lists looked at, by this and other estimators?

    SHELFWISE_HOME=... python -m benchmarks.position_bias

Over the arrays of a shop that ran (``SHELFWISE_LANDING`` names its logs). Read each line against ``truth``, which the
demo shop alone has: the largest relative error at positions 2 to 10 stands behind it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize  # type: ignore[import-untyped]
from scipy.sparse import csr_matrix  # type: ignore[import-untyped]

from demoshop.clicks import POSITION_DECAY
from orchestration.shop import Source, shop_settings, source
from training.data.arrays import prepare_arrays
from training.data.propensities import Impressions, latest_impressions, log_propensities

F64 = NDArray[np.float64]
STEPS = 300


def main() -> None:
    settings = shop_settings()
    arrays, deepest = prepare_arrays(settings, text=False), settings.training.unclicked_per_request
    shown, found = latest_impressions(arrays, deepest), log_propensities(arrays, deepest)
    depth = int(shown.position.max(initial=1))
    truth: F64 | None = np.arange(1.0, depth + 1) ** -POSITION_DECAY if source(settings) is Source.DEMO else None
    print(f"{len(shown.pair):,} impressions, {int(shown.clicked.sum()):,} clicks")
    if truth is not None:
        print(_line("truth", truth, truth))
    print(found if isinstance(found, str) else _line("fixed effects", found.values, truth))
    clicks, views = (_table(shown, depth, weight) for weight in (shown.clicked.astype(np.float64), None))
    total = np.asarray(clicks.sum(axis=0) / views.sum(axis=0)).ravel()
    print(_line("share of clicks", total, truth))
    print(_line("AllPairs", all_pairs(clicks, views), truth))
    print(_line("EM", expectation_maximization(clicks, views), truth))


def all_pairs(clicks: csr_matrix, views: csr_matrix) -> F64:
    """Propensities by the likelihood of each two positions at which items were shown (Agarwal et al., WSDM 2019)."""
    rate, depth = clicks.copy(), clicks.shape[1]
    rate.data = clicks.data / views.data
    there, missed = views.sign(), views.sign() - rate
    clicked, unclicked = ((part.T @ there).toarray() for part in (rate, missed))
    above, apart = np.triu_indices(depth, 1), ~np.eye(depth, dtype=np.bool_)

    def loss(free: F64) -> tuple[float, F64]:
        attraction = np.zeros((depth, depth))
        attraction[above] = free[depth - 1 :]
        log = np.minimum(np.append(0.0, free[: depth - 1])[:, None] + attraction + attraction.T, -1e-6)
        chance = np.exp(log)
        value = -(clicked * log + unclicked * np.log1p(-chance))[apart].sum()
        slope = -(clicked - unclicked * chance / (1 - chance)) * apart
        return float(value), np.append(slope.sum(axis=1)[1:], (slope + slope.T)[above])

    start = np.append(-0.5 * np.log(np.arange(2, depth + 1)), np.full(len(above[0]), -2.0))
    free = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2_000}).x
    return np.asarray(np.exp(np.append(0.0, free[: depth - 1])))


def expectation_maximization(clicks: csr_matrix, views: csr_matrix) -> F64:
    """Propensities by EM with an attraction per pair (Wang et al., WSDM 2018, without their regression): one view at
    the mean is added to each pair."""
    entries = views.tocoo()
    row, column, seen, did = (
        entries.row,
        entries.col,
        entries.data,
        np.asarray(clicks[entries.row, entries.col]).ravel(),
    )
    looks, mean = np.linspace(0.9, 0.3, views.shape[1]), 2 * did.sum() / seen.sum()
    attraction = np.full(views.shape[0], mean)
    for _ in range(STEPS):
        look, worth = looks[column], attraction[row]
        none = 1 - look * worth
        looked, attractive = (
            did + (seen - did) * part * (1 - other) / none for part, other in ((look, worth), (worth, look))
        )
        looks = np.clip(np.bincount(column, looked) / np.bincount(column, seen), 1e-6, 1 - 1e-6)
        attraction = np.clip((np.bincount(row, attractive) + mean) / (np.bincount(row, seen) + 1), 1e-6, 1 - 1e-6)
    return np.asarray(looks)


def _table(shown: Impressions, depth: int, weight: F64 | None) -> csr_matrix:
    """Clicks or views of each pair at each position; a cell of one is a cell of the other."""
    _, row = np.unique(shown.pair, return_inverse=True)
    values = np.ones(len(row)) if weight is None else weight
    return csr_matrix((values, (row, shown.position.astype(np.int64) - 1)), shape=(int(row.max()) + 1, depth))


def _line(name: str, values: F64, truth: F64 | None) -> str:
    values = values / values[0]
    error = "" if truth is None else f"  off by {np.abs(values / truth - 1)[1:10].max():.3f}"
    return f"{name:16}" + " ".join(f"{value:.3f}" for value in values) + error


if __name__ == "__main__":
    main()
