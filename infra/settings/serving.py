"""Settings of online retrieval."""

from __future__ import annotations

from pydantic import Field

from infra.settings.base import Count, Group


class ServingSettings(Group):
    """Online retrieval."""

    max_k: Count = 10_000
    """Most hits of a request."""
    max_query_chars: Count = 1_000
    """Longest query."""
    refresh_seconds: float = Field(2.0, gt=0)
    """How often a warm retriever looks whether another release went live, or whether what was away is back."""
    index_timeout_ms: Count = 1_000
    """Longest that a request waits for Milvus, where that searches, before the exact search in memory answers."""
    deadline_ms: Count = 250
    """Longest that a request waits for others in all: what the online store (``online.timeout_ms`` per round trip) left
    of it bounds the wait for Milvus."""
    cache_size: int = Field(4_096, ge=0)
    """Entries of each cache; 0: no caches."""
    user_cache_seconds: float = Field(0.5, gt=0)
    """How long the features of a user (or session) stand: what another process records is seen after this."""
    context_cache_seconds: float = Field(600.0, gt=0)
    """How long query features, and the answer to a context (release, query, history, filters), stand."""
    workers: Count = 4
    """Threads that answer asynchronous calls."""
    threads: Count = 1
    """Threads of numpy, FAISS and torch, each, in a serving process."""
    second_stage: bool = True
    """Whether the release's ranker orders what towers, BM25 and graph find; false: the towers' own order is served.
    Queries are corrected and items listed either way."""
    diversity: float = Field(0.0, ge=0, le=1)
    """How much the first 100 hits are told apart by the towers' vectors, whatever found them (maximal marginal
    relevance, Carbonell and Goldstein 1998); hits then are not in the order of their scores, which no gate measures.
    0: off; 1: by how different they are alone."""
    unconfident_hits: bool = True
    """Whether hits are given where nothing fits the query (``confident`` of the answer is false); false: none are.
    Where that is not known (null) they are given either way."""
    min_score: float | None = Field(None, ge=-1, le=1)
    """Hits whose cosine of query and item vector is below this are left out, whatever found them, save an item that is
    asked for by its number. The
    thresholds of the multi-part hinge (``training.threshold_*``) are such scores: above ``threshold_negative`` lies
    what training held to be no mere chance. None: off."""
