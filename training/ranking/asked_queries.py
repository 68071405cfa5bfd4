"""The queries that are asked for requests: those that were typed, corrected as they are where a release serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from training.data.arrays import Arrays
from training.data.histories import of_query
from training.data.ngrams import Hasher
from training.data.ragged import stack
from training.ranking.spelling import Spelling

F32 = NDArray[np.float32]
I64 = NDArray[np.int64]


class QueryReader(NamedTuple):
    """How towers read a query that the arrays do not have."""

    words: Hasher
    embed: Callable[[Sequence[str]], F32]
    """Texts [n] to vectors of the arrays' text encoder, [n, width]; not called where the arrays have none."""


def with_corrected_queries(arrays: Arrays, spelling: Spelling, reader: QueryReader) -> Arrays:
    """The arrays with the requests from the cut on asking what ``spelling`` makes of their queries.

    A corrected query that nobody typed is one query more. What is known of a query (how often it was asked for) is
    what the last request for the corrected one had: nothing (NaN) where there was none.
    """
    texts, typed = arrays.query_texts().cast(pa.string()), np.asarray(arrays.request_query).astype(np.int64)
    late = np.flatnonzero(arrays.request_time >= arrays.cut)
    queries = np.unique(typed[late])
    before = texts.take(pa.array(queries))
    after = pa.array([spelling.corrected(text) for text in before.to_pylist()], pa.string())
    is_changed = pc.not_equal(after, before).to_numpy(zero_copy_only=False)
    if not is_changed.any():
        return arrays
    after = after.filter(pa.array(is_changed))
    added = pc.unique(after.filter(pc.invert(pc.is_in(after, texts))))
    number_of = np.arange(len(texts))
    number_of[queries[is_changed]] = pc.index_in(after, pa.concat_arrays([texts, added])).to_numpy()
    asked = typed.copy()
    asked[late] = number_of[typed[late]]
    vectors = arrays.text
    if vectors is not None and len(added):
        vectors = replace(vectors, queries=np.vstack([vectors.queries, reader.embed(added.to_pylist())]))
    return replace(
        arrays,
        request_query=asked.astype(np.int32),
        request_features=_known_of(arrays, typed, asked),
        query_tokens=stack([arrays.query_tokens, reader.words.ngrams(added)]),
        text=vectors,
        added_queries=added,
    )


def _known_of(arrays: Arrays, typed: I64, asked: I64) -> F32:
    """Features of requests, of those that are corrected those of the query asked for, [requests, F]."""
    features = np.array(arrays.request_features)
    about_query = np.flatnonzero(of_query(arrays.meta["request_features"]))
    requests = np.flatnonzero(asked != typed)
    # Requests are numbered in order of time.
    keys = np.sort(typed * len(typed) + np.arange(len(typed)))
    before = keys[np.maximum(np.searchsorted(keys, asked[requests] * len(typed) + requests) - 1, 0)]
    has_one = before // len(typed) == asked[requests]
    last = before % len(typed)
    features[np.ix_(requests, about_query)] = np.nan
    features[np.ix_(requests[has_one], about_query)] = features[np.ix_(last[has_one], about_query)]
    return features
