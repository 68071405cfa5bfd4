"""The candidates of a request: what each source finds, and what the user ordered before, in one list of pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.ranking.bm25 import best_matches
from training.ranking.query_graph import Walked

I64 = NDArray[np.int64]
F32 = NDArray[np.float32]
SOURCES = ("towers", "lexical", "graph")
"""The towers' index, BM25 over all text and ids, and walks on the query-item graph."""
DEPTH = 200
"""Items taken of each source: the union of about 400 holds 94% to 100% of what was ordered, on shops that we tried."""


@dataclass(frozen=True)
class Asked:
    """What n requests are ranked by, besides their candidates of the towers."""

    vectors: F32
    """Query vectors with the weights of the quality prior, [n, width + f]."""
    lexical: F32
    """BM25 of each item, [n, items]."""
    graph: Walked
    recent_items: NDArray[np.int32]
    """Items that the user met lately, newest first, -1 pads, [n, c]."""
    order_history: NDArray[np.int32]
    """The user's orders, newest first, an item as often as it was ordered, -1 pads, [n, h]."""
    text: F32 | None = None
    """Vectors of the queries by the text encoder, zeros without a text, [n, text width]; None: there is no encoder."""
    allowed: NDArray[np.bool_] | None = None
    """Which items may be found, [1 or n, items]; None: all."""


@dataclass(frozen=True)
class Pairs:
    """Pairs (request, item), each once, by request."""

    row: I64
    """[m]."""
    item: I64
    """[m]."""
    rank: NDArray[np.int32]
    """Place in each of ``SOURCES`` from 0, ``DEPTH`` where it is not among the first, [m, sources]."""


def candidates(towers: I64, asked: Asked) -> Pairs:
    """The union of the first ``DEPTH`` of each source and of what the user ordered before.

    Args:
        towers: items that the towers find and that may be found, best first, -1 for none, [n, >= DEPTH where there are
            so many].
    """
    items = asked.lexical.shape[1]
    found = [towers[:, :DEPTH], _lexical_top(asked), _graph_top(asked)]
    places = [np.nonzero(source >= 0) for source in found]
    ordered = np.nonzero(asked.order_history >= 0)
    bought = asked.order_history[ordered]
    if asked.allowed is not None:
        may = asked.allowed[ordered[0] % len(asked.allowed), bought]
        ordered, bought = (ordered[0][may], ordered[1][may]), bought[may]
    row = np.concatenate([*(place[0] for place in places), ordered[0]])
    item = np.concatenate([*(source[place] for source, place in zip(found, places, strict=True)), bought])
    keys, entry = np.unique(row * items + item, return_inverse=True)
    rank = np.full((len(keys), len(SOURCES)), DEPTH, dtype=np.int32)
    begin = 0
    for source, (_, place) in enumerate(places):
        rank[entry[begin : begin + len(place)], source] = place
        begin += len(place)
    return Pairs(keys // items, keys % items, rank)


def _lexical_top(asked: Asked) -> I64:
    scores = asked.lexical if asked.allowed is None else np.where(asked.allowed, asked.lexical, 0)
    return best_matches(scores, min(DEPTH, scores.shape[1]))[0]


def _graph_top(asked: Asked) -> I64:
    """[n, DEPTH], -1 where walks lead no further."""
    visits = asked.graph.visits
    row = np.repeat(np.arange(visits.shape[0]), np.diff(visits.indptr))
    item, value = visits.indices.astype(np.int64), visits.data
    if asked.allowed is not None:
        may = asked.allowed[row % len(asked.allowed), item]
        row, item, value = row[may], item[may], value[may]
    order = np.lexsort((item, -value, row))
    row, item = row[order], item[order]
    place = np.arange(len(row)) - np.searchsorted(row, np.arange(visits.shape[0]))[row]
    found = np.full((visits.shape[0], DEPTH), -1, dtype=np.int64)
    kept = place < DEPTH
    found[row[kept], place[kept]] = item[kept]
    return found
