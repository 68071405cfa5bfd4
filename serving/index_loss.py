"""What an index misses of exact search: by the scores it found, and of a pushed release by the index that serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.settings import Settings

KS = (100, 1000)
TIMEOUT_S = 30.0
"""For one search: a slow Milvus is not one that is away."""


def recall_loss(scores: NDArray[np.floating[Any]], exact: NDArray[np.floating[Any]], k: int) -> float:
    """Share of the exact best ``k`` that is missed; an item that scores as well as the last of them is one of them.

    Args:
        scores: of what the index found, best first, [n, min(k, items)]; exact: of exact search, [n, at least as many].
    """
    least = exact[:, min(k, exact.shape[1]) - 1, None]
    return float(np.mean(scores < least - 1e-5 * np.maximum(1.0, np.abs(least))))


def served_loss(settings: Settings, release_id: str, queries: NDArray[np.float32]) -> dict[int, float]:
    """Loss at each of ``KS`` of the index that would answer requests, the collection in Milvus where Milvus searches.

    Args:
        queries: vectors [n, width of the release's items], searched one by one as requests are.

    Raises:
        ReleaseError: the release is missing or damaged. IndexUnavailable: Milvus is away, or has no such collection.
    """
    from serving.connection import Connection
    from serving.filters import Filter
    from serving.loading import load_served, warm

    connection = Connection(settings, TIMEOUT_S)
    connection.open()
    try:
        patient = settings.serving.model_copy(update={"index_timeout_ms": round(TIMEOUT_S * 1000)})
        served = load_served(
            settings.model_copy(update={"serving": patient}), release_id, connection, second_stage=False
        )
        warm(served, connection, TIMEOUT_S)
        everything = Filter()
        found = {k: [served.index.search(query[None], k, everything).scores for query in queries] for k in KS}
    finally:
        connection.close()
    exact = served.exact.search(queries, max(KS), everything).scores
    return {k: recall_loss(np.concatenate(scores), exact, k) for k, scores in found.items()}
