"""What is known of the users and queries of requests: from the caches, else in one round trip to the online store."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import Enum

from features.store.errors import OnlineStoreUnavailable
from features.store.online import OnlineFeatures, QueryFeatures, UserFeatures
from infra.contract.request import Request, RequestContext
from infra.settings import ServingSettings
from serving.caching import CountedCache
from serving.request_context import context_of

FAILURES = 3
LEFT_ALONE_S = 1.0
"""How long an online store that failed ``FAILURES`` times in a row is left alone."""


class Unknown(Enum):
    """Stands in a cache for what the store does not know."""

    UNKNOWN = "unknown"


class RequestFeatures:
    """Reads what the query tower needs of users and queries.

    A store that failed ``FAILURES`` times in a row is left alone for ``LEFT_ALONE_S``, so that a dead
    one does not cost every request a time-out; a single slow answer costs one request its personalization.
    """

    def __init__(self, online: OnlineFeatures, settings: ServingSettings) -> None:
        self._online = online
        self._failures = 0
        self._away_until = 0.0
        self.users: CountedCache[UserFeatures | Unknown] = CountedCache(
            settings.cache_size, settings.user_cache_seconds
        )
        """By user or session, for a short time (UEPPR's first key)."""
        self.queries: CountedCache[QueryFeatures | Unknown] = CountedCache(
            settings.cache_size, settings.context_cache_seconds
        )

    @property
    def store_up(self) -> bool:
        """Whether the store answered when it was asked last."""
        return self._failures == 0

    def forget(self, release_ids: Iterable[str], user: str) -> None:
        """Ask the store anew for a user of whom something was recorded; a read in flight may not know of it yet."""
        for release_id in release_ids:
            self.users.drop((release_id, user))

    def read(
        self, release_id: str, requests: Sequence[Request], texts: Sequence[str], now: datetime
    ) -> list[RequestContext] | None:
        """What is known at each request, whose normalised queries are ``texts``; None where the store has to be asked
        and is away. What was read for one release is not used for another, which a later batch came with."""
        askers = [request.asker for request in requests]
        users = {user: self.users.get((release_id, user)) for user in askers if user is not None}
        queries = {text: self.queries.get((release_id, text)) for text in texts}
        if None in users.values() or None in queries.values():
            if time.monotonic() < self._away_until:
                return None
            with self.users.filling() as put_user:
                try:
                    found = self._online.requests([user or "" for user in askers], texts, now)
                except OnlineStoreUnavailable:
                    # Two threads may count one failure: the store is then left alone one failure later.
                    self._failures += 1
                    if self._failures >= FAILURES:
                        self._away_until = time.monotonic() + LEFT_ALONE_S
                    return None
                self._failures = 0
                for asker, text, one in zip(askers, texts, found, strict=True):
                    queries[text] = of_query = one.query or Unknown.UNKNOWN
                    self.queries.put((release_id, text), of_query)
                    if asker is not None:
                        users[asker] = of_user = one.user or Unknown.UNKNOWN
                        put_user((release_id, asker), of_user)
        return [
            context_of(users[asker] if asker is not None else None, queries[text], request.location)
            for request, asker, text in zip(requests, askers, texts, strict=True)
        ]
