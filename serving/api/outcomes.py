"""What a searcher hands to the server: small, as it may come from another process."""

from __future__ import annotations

from typing import NamedTuple

from pydantic import TypeAdapter

from serving.api.models import SearchRequest, SearchResponse
from serving.retrieval import Retrieval

_BODIES = TypeAdapter(SearchResponse)


class Answered(NamedTuple):
    """The answer to a search, as it is sent, and what the server logs and counts of it."""

    body: bytes
    """JSON of a :class:`SearchResponse`."""
    hits: list[str]
    """Ids of the items, best first."""
    release_id: str
    personalized: bool
    fallbacks: list[str]
    cached: bool
    corrected: str | None
    searched: bool
    """False where there was nothing to search for."""
    timings_ms: dict[str, float]


class Recorded(NamedTuple):
    """What became of an event."""

    away: list[str]
    """What it is lost to."""
    unknown_item: bool


def answered(asked: SearchRequest, found: Retrieval) -> Answered:
    """The answer to a search. It is written where it was found: the server's event loop has no time for it."""
    response = SearchResponse(**vars(found), query_id=asked.query_id or "")
    return Answered(
        _BODIES.dump_json(response, exclude_none=True),
        [hit.item_id for hit in found.hits],
        found.release_id,
        found.personalized,
        found.fallbacks,
        found.cached,
        found.corrected,
        found.not_searched is None,
        found.timings_ms,
    )
