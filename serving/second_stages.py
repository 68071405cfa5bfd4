"""The second stage of a request, which may fail: what stands in is the towers' order, and it is said and logged."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from cachetools import TTLCache

from serving.served import ServedRelease

if TYPE_CHECKING:
    from serving.answers import Search
    from serving.ranking import Fit
    from serving.served import Best

log = logging.getLogger(__name__)

FAILURES = 3
LEFT_ALONE_S = 5.0
"""How long a second stage that failed ``FAILURES`` times in a row is left alone: a dead one does not cost every request
its time, and one request that it fails at does not cost the others their order."""
LOGGED_EVERY_S = 60.0
FAILED = (
    "the second stage of release %s failed, the order of the towers serves: `shelfwise rollback` goes back,"
    " serving.second_stage=false does without it"
)


class Ordered(NamedTuple):
    """What is served for a search, and by what."""

    best: Best
    fit: Fit
    personalized: bool
    by: ServedRelease
    """Without its second stage where that failed."""


class SecondStages:
    """Asks the second stages of releases. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = Counter[str]()
        self._away_until: dict[str, float] = {}
        self._logged: TTLCache[tuple[str, type[Exception]], bool] = TTLCache(256, LOGGED_EVERY_S)

    def usable(self, served: ServedRelease) -> ServedRelease:
        """The release as it is to be asked now: without its second stage while that is left alone."""
        is_away = time.monotonic() < self._away_until.get(served.release.id, 0.0)
        return served.without_second_stage if is_away else served

    def corrected(self, served: ServedRelease, text: str) -> str | None:
        """A normalised query as the shop spells it; None where that failed."""
        try:
            return served.corrected(text)
        except Exception as error:
            self.failed(served, error)
            return None

    def ordered(self, served: ServedRelease, searches: Sequence[Search], towers: Sequence[Best]) -> list[Ordered]:
        """What is served for searches of one ``k`` and filter; where the second stage fails at one, what the towers
        found for it.

        Args:
            towers: what they found ``served.depth(k)`` deep.
        """
        if served.ranking is None:
            return _ordered(served, searches, towers)
        try:
            found = _ordered(served, searches, towers)
        except Exception as error:
            if len(searches) > 1:
                self._log(served, error)
                each = (([search], [one]) for search, one in zip(searches, towers, strict=True))
                return [found for one in each for found in self.ordered(self.usable(served), *one)]
            self.failed(served, error)
            return _ordered(served.without_second_stage, searches, towers)
        with self._lock:
            self._failures.pop(served.release.id, None)
        return found

    def failed(self, served: ServedRelease, error: Exception) -> None:
        """Count and log a failure at one request."""
        with self._lock:
            self._failures[served.release.id] += 1
            if self._failures[served.release.id] >= FAILURES:
                self._away_until[served.release.id] = time.monotonic() + LEFT_ALONE_S
        self._log(served, error)

    def _log(self, served: ServedRelease, error: Exception) -> None:
        key = served.release.id, type(error)
        with self._lock:
            if key in self._logged:
                return
            self._logged[key] = True
        log.error(FAILED, served.release.id, exc_info=error)


def _ordered(served: ServedRelease, searches: Sequence[Search], towers: Sequence[Best]) -> list[Ordered]:
    k, wanted = searches[0].k, searches[0].wanted
    texts, contexts = [search.text for search in searches], [search.context for search in searches]
    vectors, depth = np.stack([search.vector for search in searches]), served.depth(k)
    towers = [(rows[:depth], scores[:depth]) for rows, scores in towers]
    best = served.ranked(texts, contexts, vectors, towers, k, wanted)
    personal = [served.is_personal(text, context) for text, context in zip(texts, contexts, strict=True)]
    found = zip(best, served.fits(texts, vectors, towers, wanted), personal, strict=True)
    return [Ordered(*one, served) for one in found]
