"""What is searched for a request, and what the cache of contexts holds of its answer."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from infra.contract.names import USER_LISTS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from infra.contract.request import RequestContext
    from serving.filters import Filter

LARGEST_CACHED_K = 1_000


@dataclass(frozen=True)
class Answer:
    """What the cache of contexts holds; it depends on nothing but its key. Arrays: a thousand hits as objects would
    take ten times the memory, and the garbage collector would visit each."""

    vector: NDArray[np.float32]
    towers: NDArray[np.int32]
    """What the towers found, which an explanation looks at again; none where nothing else orders it."""
    rows: NDArray[np.int32]
    scores: NDArray[np.float32]
    confident: bool


class Search(NamedTuple):
    """What is to be found for a request whose context was not answered lately."""

    text: str
    context: RequestContext
    vector: NDArray[np.float32]
    k: int
    wanted: Filter


def cache_key(served: Hashable, text: str, k: int, wanted: Filter, context: RequestContext) -> tuple[object, ...]:
    """All that the hits depend on (UEPPR's second key); ``served``: which release, with which updates of its items."""
    histories = (tuple(getattr(context, name)) for name in USER_LISTS)
    return (served, text, k, wanted, *histories, tuple(context.numeric.items()), tuple(context.location.items()))
