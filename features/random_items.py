"""Random negatives: items drawn uniformly from the whole catalogue as it was at the time of a request."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from infra.contract.hashing import Words, next_word

ROUNDS = 4
"""Draws that are rejected are drawn again this many times; what is left then is drawn by listing what is free."""
BLOCK = 4_000_000
"""(request, item) pairs that are listed at a time."""

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Pool:
    """What can be drawn: a random word and the number of available items per request, and the taken pairs."""

    words: Words
    free: Ints
    forbidden: Ints
    """Sorted keys ``request * items + item``; they may repeat."""
    items: int


def draw_random_items(
    requests: pa.Table, taken: pa.Table, items: pa.Table, *, per_request: int, seed: int, day: date
) -> pa.Table:
    """Draw ``per_request`` distinct items for each request; fewer where fewer are free.

    A draw depends on the seed, the day, the request's id and what was available to it alone: requests that come or
    go leave the draws of the others as they are.

    Args:
        requests: ``query_id`` (unique), ``time``.
        taken: ``query_id, item_id``: pairs that are never drawn, as those clicked or ordered.
        items: ``item_id`` (unique), ``available_from``, in order of the latter, then the former; an item can be drawn
            for a request at or after ``available_from``.
        per_request: items per request.
        seed: of the draws.
        day: of the requests; part of the seed.

    Returns:
        ``query_id, item_id``, unique, sorted by the request's place and then the draw's.

    Raises ValueError where the items are not in order of ``available_from``.
    """
    since = items["available_from"].cast(pa.int64()).to_numpy()
    if (since[1:] < since[:-1]).any():
        raise ValueError("items must be in order of available_from, then item_id: sort them")
    pool = _Pool(
        words=_request_words(requests, seed, day),
        free=np.searchsorted(since, requests["time"].cast(pa.int64()).to_numpy(), side="right").astype(np.int64),
        forbidden=_taken_keys(requests, taken, items),
        items=len(since),
    )
    drawn = _reject_and_redraw(pool, per_request)
    unfinished = np.flatnonzero((drawn < 0).any(axis=1))
    if len(unfinished):
        drawn[unfinished] = _list_and_choose(pool, unfinished, per_request)
    request, place = np.nonzero(drawn >= 0)
    return pa.table(
        {
            "query_id": requests["query_id"].combine_chunks().take(pa.array(request)),
            "item_id": items["item_id"].combine_chunks().take(pa.array(drawn[request, place])),
        }
    )


def _taken_keys(requests: pa.Table, taken: pa.Table, items: pa.Table) -> Ints:
    """Keys of the pairs that may not be drawn, sorted."""
    request = pc.index_in(taken["query_id"], value_set=requests["query_id"].combine_chunks())
    item = pc.index_in(taken["item_id"], value_set=items["item_id"].combine_chunks())
    known = pc.and_(request.is_valid(), item.is_valid())
    request, item = (column.filter(known).cast(pa.int64()).to_numpy() for column in (request, item))
    return np.sort(request * items.num_rows + item)


def _request_words(requests: pa.Table, seed: int, day: date) -> Words:
    """One 64-bit word per request, of its id, the seed and the day."""
    ids = pd.util.hash_array(requests["query_id"].to_numpy(zero_copy_only=False).astype(object), categorize=False)
    start = np.random.SeedSequence([seed, day.toordinal()]).generate_state(1, np.uint64)
    return next_word(ids ^ start)


def _uniform(words: Words, counter: Ints) -> Floats:
    """Numbers in [0, 1) of each word and a counter: 53 bits."""
    return (next_word(words ^ next_word(counter.astype(np.uint64))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _is_in(sorted_keys: Ints, keys: Ints) -> Flags:
    if not len(sorted_keys):
        return np.zeros(keys.shape, dtype=np.bool_)
    at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
    return np.asarray(sorted_keys[at] == keys)


def _reject_and_redraw(pool: _Pool, per_request: int) -> Ints:
    """Draws of each request, ``(requests, per_request)``; -1 where every round drew what may not be drawn."""
    drawn = np.full((len(pool.words), per_request), -1, dtype=np.int64)
    for round_number in range(ROUNDS):
        request, place = np.nonzero((drawn < 0) & (pool.free > 0)[:, None])
        if not len(request):
            break
        share = _uniform(pool.words[request], round_number * per_request + place)
        drawn[request, place] = (share * pool.free[request]).astype(np.int64)
        refused = _repeated(drawn)
        refused[request, place] |= _is_in(pool.forbidden, request * pool.items + drawn[request, place])
        drawn[refused] = -1
    return drawn


def _repeated(drawn: Ints) -> Flags:
    """Where a row holds what it already holds further left."""
    order = np.argsort(drawn, axis=1, kind="stable")
    ordered = np.take_along_axis(drawn, order, axis=1)
    again = np.zeros(drawn.shape, dtype=np.bool_)
    again[:, 1:] = (ordered[:, 1:] == ordered[:, :-1]) & (ordered[:, 1:] >= 0)
    repeated = np.zeros_like(again)
    np.put_along_axis(repeated, order, again, axis=1)
    return repeated


def _list_and_choose(pool: _Pool, rows: Ints, per_request: int) -> Ints:
    """All draws of ``rows`` anew, from a list of what is free to each: the items with the smallest random keys."""
    chosen = np.full((len(rows), per_request), -1, dtype=np.int64)
    widest = int(pool.free[rows].max(initial=0))
    if widest == 0:
        return chosen
    block = max(1, BLOCK // widest)
    item = np.arange(widest, dtype=np.int64)
    for start in range(0, len(rows), block):
        part = rows[start : start + block]
        keys = _uniform(pool.words[part][:, None], ROUNDS * per_request + item[None, :])
        keys[item[None, :] >= pool.free[part][:, None]] = np.inf
        keys[_is_in(pool.forbidden, part[:, None] * pool.items + item[None, :])] = np.inf
        best = np.argsort(keys, axis=1, kind="stable")[:, :per_request]
        finite = np.isfinite(np.take_along_axis(keys, best, axis=1))
        chosen[start : start + block, : best.shape[1]] = np.where(finite, best, -1)
    return chosen
