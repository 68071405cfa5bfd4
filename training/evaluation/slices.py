"""Which requests, or which of their items, a slice is about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.arrays import Arrays
from training.data.ragged import Ragged, offsets_of

I64 = NDArray[np.int64]
Mask = NDArray[np.bool_]
THIRD = 1 / 3


@dataclass(frozen=True)
class Slice:
    """Part of what is measured."""

    requests: Mask
    """[n]."""
    wanted: Ragged | None = None
    """What counts as wanted, [n] rows, where it is not all that is."""


def slices_of(arrays: Arrays, requests: I64, wanted: Ragged) -> dict[str, Slice]:
    """The slices of ``requests`` [n] that have a request; ``wanted``: the items that each of them wants.

    Queries are head, torso, tail or unseen by their requests in the train window; users are new without a request
    there; items are new if they became available at the cut or later, cold if no interaction with them was known
    before the cut. Of item slices only those items count as wanted.
    """
    train = np.flatnonzero(~arrays.is_validation)
    place = query_classes(arrays.request_query[train], arrays.request_query[requests])
    user = arrays.request_user[requests]
    returning = (user >= 0) & np.isin(user, arrays.request_user[train])
    edges = arrays.edges
    met = edges.known(np.arange(arrays.items), np.full(arrays.items, arrays.cut)) > edges.offsets[:-1]
    slices = {
        **{f"{name} queries": Slice(place == name) for name in ("head", "torso", "tail", "unseen")},
        "seen queries": Slice(place != "unseen"),
        "returning users": Slice(returning),
        "new users": Slice(~returning),
        "new items": _of_items(wanted, arrays.item_available[wanted.ids] >= arrays.cut),
        "cold items": _of_items(wanted, ~met[wanted.ids]),
    }
    return {name: part for name, part in slices.items() if part.requests.any()}


def _of_items(wanted: Ragged, counts: Mask) -> Slice:
    lengths = np.bincount(wanted.rows_of_entries()[counts], minlength=len(wanted))
    return Slice(lengths > 0, Ragged(offsets_of(lengths), wanted.ids[counts]))


def query_classes(train: NDArray[np.int32], asked: NDArray[np.int32]) -> NDArray[np.str_]:
    """``head``, ``torso``, ``tail`` or ``unseen`` of each of ``asked`` [n], by its frequency in ``train`` [m].

    With the train requests in order of their query's frequency, the last third is head, the first is tail. Queries of
    one frequency stay together, where the middle of their requests lies; the rarest are tail and the most frequent
    head however many they are, unless all are equally frequent: those are torso.
    """
    queries, counts = np.unique(train, return_counts=True)
    frequencies, of = np.unique(counts, return_inverse=True)
    share = np.bincount(of, weights=counts, minlength=len(frequencies)) / max(len(train), 1)
    middle = np.cumsum(share) - share / 2
    classes = np.select([middle < THIRD, middle > 1 - THIRD], ["tail", "head"], default="torso")
    if len(frequencies) > 1:
        classes[[0, -1]] = "tail", "head"
    if len(queries) == 0:
        return np.full(len(asked), "unseen")
    place = np.minimum(np.searchsorted(queries, asked), len(queries) - 1)
    return np.where(queries[place] == asked, classes[of[place]], "unseen")
