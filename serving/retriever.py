"""``retrieve(user, query)``: user features, query tower, vector search; degrades instead of failing, and says so."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import torch

from features.query_text import normalise
from features.store.errors import OnlineStoreUnavailable
from features.store.online import OnlineFeatures, RequestFeatures
from infra.settings import Settings
from serving.errors import IndexUnavailable
from serving.filters import parse_filters
from serving.live import Live
from serving.request import check_request
from serving.served import Hit
from training.query_encoder import Known

ONLINE_STORE_UNAVAILABLE = "online_store_unavailable"
INDEX_UNAVAILABLE = "index_unavailable"
NEWER_RELEASE_UNUSABLE = "newer_release_unusable"
HISTORIES = ("recent_queries", "recent_items", "recent_orders", "recent_brands", "ordered_tags")
USER_FIGURES = ("requests_7d", "clicks_7d", "orders_30d")
QUERY_FIGURES = ("query_requests_30d", "query_clicks_30d", "query_orders_30d")


@dataclass(frozen=True)
class Retrieval:
    """Hits, best first, and how they came about."""

    hits: list[Hit]
    release_id: str
    personalized: bool
    fallbacks: list[str]
    """What was away: ``online_store_unavailable`` (not personalized), ``index_unavailable`` (searched in memory, by the
    release last known to be live), ``newer_release_unusable`` (the release before it answered)."""
    timings_ms: dict[str, float]
    """Milliseconds per step: ``features``, ``tower``, ``search``, ``total``."""
    features: dict[str, list[str]] | None = None
    """The user's history that was used; only where an explanation was asked for."""


@dataclass
class _Stopwatch:
    """Milliseconds by step."""

    started: float = field(default_factory=time.perf_counter)
    steps: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self.steps[name] = (time.perf_counter() - began) * 1000

    def total(self) -> dict[str, float]:
        return {**self.steps, "total": (time.perf_counter() - self.started) * 1000}


class Retriever:
    """A warm retriever over the live release; safe to share between threads. Close it, or use it as a context.

    It sets torch's number of threads for the whole process (``settings.serving.threads``): a small query tower is
    fastest on one core.
    """

    def __init__(self, settings: Settings) -> None:
        """Load what is live and warm it.

        Raises:
            NoLiveRelease: nothing was promoted yet.
            IndexUnavailable: Milvus is away, and nothing was live on this machine before.
            ReleaseError: the live release is missing or corrupt.
        """
        torch.set_num_threads(settings.serving.threads)
        self._settings = settings
        self._live = Live(settings)
        self._online = OnlineFeatures(settings)
        self._features(timedelta(0), "warm up", "warm up", [])

    def retrieve(
        self,
        user: str | None,
        query: str,
        k: int = 100,
        filters: Mapping[str, Any] | None = None,
        explain: bool = False,
        location: Mapping[str, Any] | None = None,
    ) -> Retrieval:
        """The k items of the catalogue that fit the query and the user best.

        Args:
            user: whose history counts; None or unknown: not personalized.
            query: what was typed.
            k: how many; fewer come where the catalogue or the filters have fewer.
            filters: see :mod:`serving.filters`.
            explain: also return the user's history that was used.
            location: where the user is: any of ``country``, ``language``, ``zip``, ``latitude``, ``longitude``.

        Raises:
            ValueError: a bad query, user, k, filter or location; the message says which and why.
        """
        watch = _Stopwatch()
        check_request(self._settings.serving, user, query, k)
        served = self._live.served
        wanted = parse_filters(filters, served.fields)
        fallbacks = [NEWER_RELEASE_UNUSABLE] if self._live.refused else []
        with watch.step("features"):
            known = known_of(self._features(served.clock_offset, user, query, fallbacks), location)
        with watch.step("tower"):
            vector = served.release.encode_query(query, known)
        with watch.step("search"):
            try:
                (hits,) = self._live.search(served, vector[None], k, wanted)
            except IndexUnavailable:
                (hits,) = served.search_memory(vector[None], k, wanted)
            if not self._live.index_up:
                fallbacks.append(INDEX_UNAVAILABLE)
        return Retrieval(
            hits=hits,
            release_id=served.release.id,
            personalized=any(getattr(known, name) for name in HISTORIES),
            fallbacks=fallbacks,
            timings_ms=watch.total(),
            features={name: list(getattr(known, name)) for name in HISTORIES} if explain else None,
        )

    @property
    def release_id(self) -> str:
        """The release that answers now."""
        return self._live.served.release.id

    def describe(self, item_id: str) -> str:
        """An item of the release for people: its title, else what is known of it, else its id."""
        return self._live.served.describe(item_id)

    def refresh(self) -> None:
        """Look now whether another release is live, instead of within ``settings.serving.refresh_seconds``."""
        self._live.look()

    def close(self) -> None:
        """Let go of connections and the thread."""
        self._live.close()

    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _features(
        self, clock_offset: timedelta, user: str | None, query: str, fallbacks: list[str]
    ) -> RequestFeatures | None:
        try:
            return self._online.request(user or "", normalise(query), datetime.now(UTC) - clock_offset)
        except OnlineStoreUnavailable:
            fallbacks.append(ONLINE_STORE_UNAVAILABLE)
            return None


def known_of(found: RequestFeatures | None, location: Mapping[str, Any] | None) -> Known:
    """What the query tower reads of a user and a query; an unknown one has no figures and empty lists."""
    user, query = (found.user, found.query) if found else (None, None)
    figures = {name: getattr(user, name) for name in USER_FIGURES} if user else {}
    figures |= {name: getattr(query, name) for name in QUERY_FIGURES} if query else {}
    lists = {name: getattr(user, name) for name in HISTORIES} if user else {}
    return Known(figures=figures, location=location or {}, **lists)
