"""Keeping up with what is live: loads a promoted release beside the old one and switches; Milvus may come and go."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

import numpy as np

from infra.services import ServiceError
from infra.settings import Settings
from serving.connection import failures, open_client
from serving.errors import IndexUnavailable, NoLiveRelease
from serving.filters import Filter
from serving.index import read_live
from serving.served import Hit, ServedRelease, load_served, warm

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pymilvus import MilvusClient

log = logging.getLogger(__name__)

RETRY_REFUSED_S = 60.0
"""A release that could not be loaded is tried again after this long: checking its hashes costs seconds."""
WARM_TIMEOUT_S = 30.0


class Live:
    """The release that serves now, and the way to its collection.

    A thread looks every ``settings.serving.refresh_seconds`` whether another release went live. Readers take
    ``served`` once per request and use nothing else, so a switch falls between two requests.
    """

    def __init__(self, settings: Settings) -> None:
        """Connect, load the live release and warm it.

        Raises:
            NoLiveRelease: nothing was promoted yet.
            IndexUnavailable: Milvus is away, so that nobody knows what is live.
            ReleaseError: the live release's folder is missing or corrupt.
        """
        self._settings = settings
        self._timeout_s = settings.serving.index_timeout_ms / 1000
        self._index_up = True
        self._refused: tuple[str, float] | None = None
        self._milvus: MilvusClient = open_client(settings, self._timeout_s)
        try:
            self.served: ServedRelease = self._load_first()
        except Exception:
            self._milvus.close()
            raise
        self._wake = threading.Event()
        self._closed = False
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._keep_looking, name="shelfwise-live", daemon=True)
        self._thread.start()

    @property
    def refused(self) -> str | None:
        """The release that is live by the alias but could not be loaded here, if any."""
        return self._refused[0] if self._refused else None

    def search(self, served: ServedRelease, vector: NDArray[np.float32], k: int, wanted: Filter) -> list[Hit]:
        """The best k items by Milvus.

        Raises:
            IndexUnavailable: Milvus failed, or is known to be away; at once in that case.
        """
        if not self._index_up:
            raise IndexUnavailable("Milvus is away")
        try:
            with failures():
                return served.search_index(self._milvus, vector, k, wanted, self._timeout_s)
        except IndexUnavailable as error:
            log.warning("searching in memory until the index is back: %s", error)
            self._index_up = False
            self._wake.set()
            raise

    def look(self) -> None:
        """Look once: reconnect if Milvus was away, switch if another release is live."""
        with self._looking:
            try:
                self._reconnect_if_away()
                with failures():
                    live = read_live(self._milvus, self._timeout_s)
                if live is None or live == self.served.release.id:
                    self._refused = None
                else:
                    self._switch(live)
            except (IndexUnavailable, ServiceError) as error:
                if self._index_up:
                    log.warning("the index is away: %s", error)
                self._index_up = False

    def close(self) -> None:
        """Stop looking and let go of the connection."""
        self._closed = True
        self._wake.set()
        self._thread.join(timeout=WARM_TIMEOUT_S)
        self._milvus.close()

    def _load_first(self) -> ServedRelease:
        with failures():
            live = read_live(self._milvus, WARM_TIMEOUT_S)
        if live is None:
            raise NoLiveRelease()
        served = load_served(self._settings, live)
        warm(served, self._milvus, WARM_TIMEOUT_S)
        return served

    def _keep_looking(self) -> None:
        while not self._closed:
            # After a failed search there is a reason to look early, but not to look in a tight loop.
            if self._wake.wait(self._settings.serving.refresh_seconds):
                self._wake.clear()
                time.sleep(0.05)
            if not self._closed:
                self._look_and_survive()

    def _look_and_survive(self) -> None:
        try:
            self.look()
        except Exception:
            log.exception("could not look which release is live; the current one goes on serving")

    def _reconnect_if_away(self) -> None:
        if self._index_up:
            return
        fresh = open_client(self._settings, self._timeout_s)
        try:
            warm(self.served, fresh, self._timeout_s)
        except IndexUnavailable:
            fresh.close()
            raise
        self._milvus, old = fresh, self._milvus
        self._index_up = True
        old.close()
        log.info("the index is back")

    def _switch(self, live: str) -> None:
        from training.release import ReleaseError

        if self._refused and self._refused[0] == live and time.monotonic() - self._refused[1] < RETRY_REFUSED_S:
            return
        try:
            fresh = load_served(self._settings, live)
        except ReleaseError as error:
            log.warning("live release %s is unusable, %s goes on serving: %s", live, self.served.release.id, error)
            self._refused = (live, time.monotonic())
            return
        warm(fresh, self._milvus, WARM_TIMEOUT_S)
        self.served = fresh
        self._refused = None
        log.info("release %s serves", live)
