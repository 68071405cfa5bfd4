"""The toy shop's arrays, quickly made and with a graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.data.arrays import Arrays
from training.data.edges import Edges
from training.data.ragged import offsets_of


def with_edges(arrays: Arrays) -> Arrays:
    """The toy shop has no sessions: its graph is the clicks of all requests."""
    rows = np.arange(len(arrays.request_query))
    clicked = arrays.clicked.take(rows)
    request, item = clicked.rows_of_entries(), clicked.ids
    order = np.lexsort((arrays.request_time[request], item))
    request, item = request[order], item[order]
    edges = Edges(
        offsets_of(np.bincount(item, minlength=arrays.items)),
        arrays.request_query[request],
        arrays.request_time[request],
        np.ones(len(item), dtype=np.float32),
    )
    return replace(arrays, edges=edges)
