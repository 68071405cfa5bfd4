"""Which validation requests choose the epoch, and which judge it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from infra.contract.names import STOPPING_SHARE

if TYPE_CHECKING:
    from training.data.arrays import Arrays


def stopping_and_judging(arrays: Arrays) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Validation requests with a click, by a share of the users and by all others.

    An epoch, or a ranker, chosen on the requests that judge it would flatter the towers against BM25 and against live.
    Who belongs to the share is the same every night, so that live has not learned from those who judge its successor
    either. A request without a user is a user of its own. Of fewer than four users none belongs to it, of more at least
    one, and never all.
    """
    requests = np.flatnonzero(arrays.is_validation & (arrays.clicked.lengths > 0))
    person = arrays.request_person[requests]
    people = np.unique(person)
    if len(people) * STOPPING_SHARE < 1:
        return requests[:0], requests
    stops = (person < max(STOPPING_SHARE, np.nextafter(people[0], 1))) & (person < people[-1])
    return requests[stops], requests[~stops]
