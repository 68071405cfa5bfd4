"""Which validation requests choose the epoch, and which judge it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from infra.contract.names import STOPPING_SHARE
from infra.settings import TrainingSettings
from training.data.arrays import Arrays


def stopping_and_judging(arrays: Arrays, settings: TrainingSettings) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Validation requests with a click, by users of a seeded share and by all others.

    An epoch chosen on the requests that judge it would flatter the towers against BM25 and against live. A request
    without a user is a user of its own.
    """
    requests = np.flatnonzero(arrays.is_validation & (arrays.clicked.lengths > 0))
    user = arrays.request_user[requests].astype(np.int64)
    person = np.where(user >= 0, user, -1 - requests)
    people = np.random.default_rng(settings.seed).permutation(np.unique(person))
    stops = np.isin(person, people[: int(len(people) * STOPPING_SHARE)])
    return requests[stops], requests[~stops]
