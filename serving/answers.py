"""What is searched for a request, and what the cache of contexts holds of its answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from infra.contract.names import USER_LISTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from infra.contract.request import RequestContext
    from serving.filters import Filter
    from serving.served import ServedRelease

LARGEST_CACHED_K = 1_000
NO_ROWS = np.zeros(0, dtype=np.int32)
NO_SCORES = np.zeros(0, dtype=np.float32)


@dataclass(frozen=True)
class Answer:
    """What the cache of contexts holds; it depends on nothing but its key. Arrays: a thousand hits as objects would
    take ten times the memory, and the garbage collector would visit each."""

    vector: NDArray[np.float32]
    towers: NDArray[np.int32]
    """What the towers found, which an explanation looks at again; none where nothing else orders it."""
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    confident: bool | None
    confidence: float | None
    personalized: bool
    second_stage_failed: bool
    """The order of the towers stands in."""


class Search(NamedTuple):
    """What is to be found for a request whose context was not answered lately."""

    text: str
    context: RequestContext
    vector: NDArray[np.float32]
    k: int
    wanted: Filter


def cache_key(served: ServedRelease, text: str, k: int, wanted: Filter, context: RequestContext) -> tuple[object, ...]:
    """All that the hits depend on (UEPPR's second key)."""
    histories = (tuple(getattr(context, name)) for name in USER_LISTS)
    by = served.release.id, served.version, served.ranking is None
    return (*by, text, k, wanted, *histories, tuple(context.numeric.items()), tuple(context.location.items()))


def listed(served: ServedRelease, search: Search) -> Answer:
    """What is popular and the user's own: the answer to an empty query."""
    rows, scores = served.listed(search.context, search.k, search.wanted)
    return Answer(
        search.vector,
        NO_ROWS,
        rows.astype(np.int32),
        scores,
        confident=served.fit_of_decided.confident,
        confidence=None,
        personalized=served.is_personal(search.text, search.context),
        second_stage_failed=served.second_stage_failed,
    )


def nothing_found(served: ServedRelease, search: Search) -> Answer:
    """The answer to a query that has nothing to search for."""
    return Answer(
        search.vector,
        NO_ROWS,
        NO_ROWS,
        NO_SCORES,
        confident=None,
        confidence=None,
        personalized=False,
        second_stage_failed=served.second_stage_failed,
    )
