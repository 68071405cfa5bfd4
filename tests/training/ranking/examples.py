"""Hand-made requests and items of the second stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp  # type: ignore[import-untyped]

from training.ranking.candidates import Asked
from training.ranking.features import ItemColumns
from training.ranking.query_graph import Walked

CATALOG = pa.table(
    {
        "item_id": ["a", "b", "c", "d", "e"],
        "brand": ["Acme", "Acme", "Borealis", None, "Borealis"],
        "category_path": pa.array([["Home", "Mugs"], ["Home", "Lamps"], ["Home", "Mugs"], None, []]),
        "price": [10.0, 20.0, 40.0, None, 0.0],
    }
)
VECTORS = np.eye(5, 3, dtype=np.float32)
NUMERIC = np.array([[0.1], [0.2], [np.nan], [0.4], [0.5]], dtype=np.float32)


def items(**changes: Any) -> ItemColumns:
    """The catalogue's columns."""
    return ItemColumns.of(CATALOG, changes.get("vectors", VECTORS), 3, NUMERIC, ["order_rate"], changes.get("text"))


def asked(**changes: Any) -> Asked:
    """Two requests over five items, of nobody and without a match, save what is changed."""
    n = changes.pop("n", 2)
    nothing = np.full((n, 2), -1, dtype=np.int32)
    walked = changes.pop("visits", np.zeros((n, 5), dtype=np.float32))
    parts: dict[str, Any] = {
        "vectors": np.tile(np.array([[1.0, 0.5, 0.25]], dtype=np.float32), (n, 1)),
        "lexical": np.zeros((n, 5), dtype=np.float32),
        "graph": Walked(sp.csr_array(walked), np.ones(n, dtype=np.bool_)),
        "recent_items": nothing,
        "order_history": nothing,
    }
    return Asked(**{**parts, **changes})
