"""What ``retrieve`` gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from serving.filters import UnknownValue
from serving.hits import DESCRIBED, Hit

ONLINE_STORE_UNAVAILABLE = "online_store_unavailable"
INDEX_UNAVAILABLE = "index_unavailable"
NEWER_RELEASE_UNUSABLE = "newer_release_unusable"
SECOND_STAGE_FAILED = "second_stage_failed"
NOTHING_TO_SEARCH = "the query has no letter or number; an empty one lists items"
ITEM_UPDATES_UNAVAILABLE = "item_updates_unavailable"


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """Hits, best first, and how they came about."""

    __pydantic_config__: ClassVar[dict[str, bool]] = DESCRIBED

    hits: list[Hit]
    release_id: str
    """The release that answered."""
    personalized: bool
    """Whether the answer was made with something of the user's: their history, or numbers of what they did."""
    fallbacks: list[str]
    """What was away: `online_store_unavailable` (not personalized), `index_unavailable` (searched in memory, by the
    release last known to be live), `newer_release_unusable` (the release before it answered),
    `item_updates_unavailable` (stock and prices are those that were known last), `second_stage_failed` (in the order of
    the towers, or as typed where correcting failed)."""
    cached: bool
    """Whether the same context was answered lately: then neither tower nor search ran."""
    timings_ms: dict[str, float]
    """Milliseconds per step: `features`, `tower`, `search`, `ranking`, `own` (all else), `total`."""
    confident: bool | None = None
    """Whether anything fits the query: False where its nearest items are farther from it than those of nearly all
    queries that led to a click, and than those of most unrelated words. None where that is not known: no log has told
    the release what fits (one of the catalogue alone), its second stage is off or away, or no text can be compared."""
    confidence: float | None = None
    """How likely somebody who asks this clicks one of the first ten hits, by the log's own searches that led to a click
    and that did not; it is about the query, not about a filter. None where the release cannot tell, as of a log that
    lacks the searches that led to no click."""
    corrected: str | None = None
    """The query that was answered, where unknown words of the one asked were taken for words of the shop; these are in
    lower case, the others as they were typed. Another ending of the same word is not told."""
    not_searched: str | None = None
    """Why there was nothing to search for, in a sentence: then there are no hits. None where it was searched, or
    items were listed."""
    unknown_values: list[UnknownValue] = field(default_factory=list)
    """Values of the filters that no item has, each with the nearest that there are: a reason for an empty answer."""
    features: dict[str, list[str]] | None = None
    """The user's history as it was known; only where an explanation was asked for."""
