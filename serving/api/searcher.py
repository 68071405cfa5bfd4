"""A retriever that comes up by itself, and what a server asks of it, in its own process or in another one."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

from features.store.errors import OnlineStoreUnavailable
from infra.services import ServiceError
from infra.settings import Settings
from serving.api.errors import BadInputError, NotReadyError
from serving.api.models import SearchRequest
from serving.api.outcomes import Answered, Recorded, answered
from serving.errors import BadRequest, IncompleteCollection, IndexUnavailable, NoLiveRelease
from serving.item_updates.rows import ItemUpdate
from serving.retrieval import ONLINE_STORE_UNAVAILABLE
from serving.retriever import Retriever
from serving.ubi_log.intake import UserEvent
from training.release.manifest import ReleaseError
from training.text import TextEncoderError

log = logging.getLogger(__name__)

RETRY_S = 2.0
"""Until the next attempt where nothing could be loaded."""
EXPECTED = (NoLiveRelease, IndexUnavailable, ReleaseError, ServiceError, TextEncoderError)
"""What keeps a retriever from starting and says in a sentence what to do."""
PUSH_AGAIN = "`shelfwise promote ID` does (`shelfwise releases` has the ID), `shelfwise rollback` serves the one before"


class Searcher:
    """A retriever that comes up on a thread of its own. Threads may share it.

    All but the properties raise NotReadyError until there is a retriever, and BadInputError at what it refuses.
    """

    def __init__(self, settings: Settings, make: Callable[[Settings], Retriever] = Retriever) -> None:
        self._settings = settings
        self._make = make
        self._retriever: Retriever | None = None
        self._reason = "loading the live release"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._come_up, name="shelfwise-start", daemon=True)

    @property
    def reason(self) -> str | None:
        """Why nothing is answered yet; None once searches are."""
        return None if self._retriever else self._reason

    @property
    def release_id(self) -> str | None:
        """The release that answers now; None before there is one."""
        return self._retriever.release_id if self._retriever else None

    def start(self) -> None:
        """Begin to warm up; tries again until something is live."""
        self._thread.start()

    def close(self) -> None:
        """Close the retriever, also one that is still being made. To be called where nothing is asked any more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        retriever, self._retriever = self._retriever, None
        self._reason = "the server stops"
        if retriever is not None:
            retriever.close()

    def search(self, requests: Sequence[SearchRequest]) -> list[Answered | Exception]:
        """Of each request an answer or what went wrong with it: a bad one does not spoil those beside it."""
        try:
            found = self._up().retrieve_many(requests)
        except (NotReadyError, NoLiveRelease, IndexUnavailable) as error:
            # Of the server, which would fail at each as well, and take as long for every one of them.
            return [error] * len(requests)
        except Exception as error:
            if len(requests) == 1:
                return [BadInputError(str(error)) if isinstance(error, BadRequest) else error]
            return [answer for request in requests for answer in self.search([request])]
        return [answered(request, one) for request, one in zip(requests, found, strict=True)]

    def record(
        self, user: str | None, action: str, query: str | None, item_id: str | None, time: datetime | None
    ) -> Recorded:
        """Record an event, unless it is nobody's."""
        retriever = self._up()
        unknown = item_id is not None and not retriever.knows(item_id)
        try:
            retriever.record(user, action, query=query, item_id=item_id, time=time)
        except OnlineStoreUnavailable:
            return Recorded([ONLINE_STORE_UNAVAILABLE], unknown)
        except BadRequest as error:
            raise BadInputError(str(error)) from error
        return Recorded([], unknown)

    def record_all(self, events: Sequence[UserEvent]) -> bool:
        """Record several events; whether the online store was away. One that the retriever refuses is passed over."""
        retriever = self._up()
        for one in events:
            try:
                with suppress(BadRequest):
                    retriever.record(one.user, one.action, query=one.query, item_id=one.item_id, time=one.time)
            except OnlineStoreUnavailable:
                return True
        return False

    def forget(self, users: Sequence[str]) -> None:
        """Read users anew: another process recorded what they did."""
        self._up().forget(users)

    def items(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """What the catalogue says of each item."""
        return self._up().items(item_ids)

    def fields(self) -> list[dict[str, Any]]:
        """What can be filtered by."""
        return self._up().fields()

    def users(self) -> list[str]:
        """Some known users."""
        return self._up().users(self._settings.api.sample_users)

    def update_items(self, updates: Sequence[ItemUpdate]) -> dict[str, int]:
        """Say what is new of items; how many have updates now."""
        try:
            return self._up().update_items(updates)
        except OnlineStoreUnavailable as error:
            raise NotReadyError(f"nothing was taken, send it again: {error}") from error
        except BadRequest as error:
            raise BadInputError(str(error)) from error

    def read_item_updates(self) -> None:
        """Serve with what another process was told of items."""
        self._up().read_item_updates()

    def statistics(self) -> dict[str, Any]:
        """What the retriever counts of its caches and of updates of items."""
        return self._up().statistics()

    def _up(self) -> Retriever:
        retriever = self._retriever
        if retriever is None:
            raise NotReadyError(self._reason)
        return retriever

    def _come_up(self) -> None:
        while self._retriever is None and not self._stop.is_set():
            try:
                self._retriever = self._make(self._settings)
                # What was loaded stays: a collection that visits all of it holds every search for as long.
                gc.collect()
                gc.freeze()
                log.info("release %s serves", self._retriever.release_id)
            except EXPECTED as error:
                self._wait_for(str(error))
            except IncompleteCollection as error:
                self._wait_for(f"{error}: {PUSH_AGAIN}")
            except Exception as error:
                log.exception("the retriever could not be made")
                self._wait_for(f"the retriever could not be made ({type(error).__name__}); the server's log says more")
            if self._retriever is None:
                self._stop.wait(RETRY_S)

    def _wait_for(self, reason: str) -> None:
        if reason != self._reason:
            log.warning("not ready: %s", reason)
        self._reason = reason
