"""Keeping up with what is live: loads a promoted release beside the old one and switches; Milvus may come and go."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from infra.freed import give_back_freed
from infra.services import ServiceError
from infra.settings import Settings
from infra.threads import limit_threads
from serving.connection import Connection, failures
from serving.errors import BadRequest, IncompleteCollection, IndexUnavailable
from serving.filters import Filter
from serving.index import kept_ids, last_known_live, note_live, nothing_live, read_live
from serving.index.milvus import MilvusIndex
from serving.item_updates.keeper import ItemUpdates
from serving.loading import load_served, serving_anyway, warm, warm_in_memory
from serving.release_cache import clean_fetched
from serving.served import ServedRelease

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray
    from pymilvus import MilvusClient

log = logging.getLogger(__name__)

RETRY_REFUSED_S = 60.0
"""A release that could not be loaded is tried again after this long: checking its hashes costs seconds."""
WARM_TIMEOUT_S = 30.0


class Live:
    """The release that serves now, and the way to its collection.

    It serves with what was said of its items since its catalogue landed (``serving.item_updates``).

    A thread looks every ``settings.serving.refresh_seconds`` whether another release went live. Readers take
    ``served`` once per request and use nothing else, so a switch falls between two requests.
    """

    def __init__(self, settings: Settings) -> None:
        """Connect, load the live release and warm it. Where that is unusable here, the one before; where Milvus is
        away, the release last known to be live.

        Raises:
            NoLiveRelease: nothing was promoted yet.
            IndexUnavailable: Milvus is away, and nothing was live on this machine before.
            ReleaseError: the live release's folder is missing or corrupt, and so is the one before, if any.
            IncompleteCollection, TextEncoderError: as ReleaseError, for what else a release needs.
        """
        self._settings = settings
        self._timeout_s = settings.serving.index_timeout_ms / 1000
        self._refused: tuple[str, float] | None = None
        self._milvus = Connection(settings, self._timeout_s)
        self.item_updates = ItemUpdates(settings)
        self._publishing = threading.Lock()
        try:
            self._base = self._load_first()
            self.item_updates.read()
            self.served: ServedRelease = self._with_item_updates(self._base, self._base)
        except Exception:
            self._milvus.close()
            self.item_updates.close()
            raise
        self._wake = threading.Event()
        self._closed = False
        self._looking = threading.Lock()
        self._thread = threading.Thread(target=self._keep_looking, name="shelfwise-live", daemon=True)
        self._thread.start()
        self.item_updates.start(self.update_items)

    @property
    def refused(self) -> str | None:
        """The release that is live by the alias but could not be loaded here, if any."""
        return self._refused[0] if self._refused else None

    @property
    def index_up(self) -> bool:
        """Whether Milvus answers. Without it no promotion is seen, even where searches need it not."""
        return self._milvus.up

    def search(
        self,
        served: ServedRelease,
        vectors: NDArray[np.float32],
        k: int,
        wanted: Filter,
        timeout_s: float | None = None,
    ) -> list[tuple[NDArray[np.int64], NDArray[np.float32]]]:
        """Rows and scores of the best k items for each of ``vectors`` [n, d].

        Args:
            timeout_s: longest wait where another process searches.

        Raises:
            IndexUnavailable: Milvus is what searches, and it failed or is known to be away; at once in that case.
        """
        was_up = self._milvus.up
        try:
            return served.search(vectors, k, wanted, timeout_s)
        except IndexUnavailable as error:
            if was_up:
                log.warning("searching in memory until the index is back: %s", error)
                self._wake.set()
            raise

    @property
    def item_updates_away(self) -> bool:
        """Whether what is said of items cannot be read or used, and something was said, or may have been."""
        is_said = self.served.version > 0 or not self.item_updates.known
        return self._unusable_updates or (is_said and not self.item_updates.up)

    def check_known(self, updates: pa.Table) -> None:
        """Check that each update is of an item that is known by now, or says what it can be found by.

        Raises:
            BadRequest: it names the first that is not.
        """
        rows = np.flatnonzero(~self.item_updates.can_be_found(updates, self._base))
        if len(rows):
            item = updates["item_id"][int(rows[0])].as_py()
            raise BadRequest(
                f"row {rows[0]}: the shop has no item {item!r}; a new one needs a title, category, brand or attribute"
            )

    def update_items(self) -> None:
        """Serve with what was said of items by now."""
        with self._publishing:
            if self.item_updates.read() or self.item_updates.counts.encoding:
                self.served = self._with_item_updates(self._base, self.served)
        self.item_updates.shorten(self._base)

    def _with_item_updates(self, base: ServedRelease, otherwise: ServedRelease) -> ServedRelease:
        self._unusable_updates = False
        try:
            return self.item_updates.applied(base)
        except Exception:
            self._unusable_updates = True
            # Whatever was said of an item, it must keep no server from starting and no release from going live.
            log.exception("what was said of items since the catalogue landed cannot be applied")
            return otherwise

    def look(self) -> None:
        """Look once: reconnect if Milvus was away, switch if another release is live."""
        with self._looking:
            was_up = self._milvus.up
            try:
                self._reconnect_if_away()
                with failures():
                    live = read_live(self._settings, self._milvus.client(), self._timeout_s)
                if live is None or live == self.served.release.id:
                    self._refused = None
                else:
                    self._switch(live)
            except (IndexUnavailable, ServiceError) as error:
                if was_up:
                    log.warning("the index is away: %s", error)
                self._milvus.lost()

    def close(self) -> None:
        """Stop looking and close the connection."""
        self._closed = True
        self._wake.set()
        self.item_updates.close()
        self._thread.join(timeout=WARM_TIMEOUT_S)
        self._milvus.close()

    def _load_first(self) -> ServedRelease:
        try:
            self._milvus.open()
            with failures():
                live = read_live(self._settings, self._milvus.client(), WARM_TIMEOUT_S)
                kept = kept_ids(self._settings, self._milvus.client(), WARM_TIMEOUT_S)
            if live is None:
                raise nothing_live(self._settings)
            served = self._first_usable(live, [release_id for release_id in kept if release_id != live])
        except (IndexUnavailable, ServiceError) as error:
            self._milvus.lost()
            known = last_known_live(self._settings)
            if known is None:
                raise
            log.warning("the index is away: release %s was live last and serves: %s", known, error)
            return serving_anyway(self._settings, known, partial(self._loaded_without_index, known), only_one=True)
        return served

    def _first_usable(self, live: str, before: list[str]) -> ServedRelease:
        from training.release.manifest import ReleaseError, SecondStageError
        from training.text import TextEncoderError

        try:
            served = self._prepared(live)
        except (ReleaseError, IncompleteCollection, TextEncoderError) as error:
            for release_id in before:
                with suppress(ReleaseError, IncompleteCollection, TextEncoderError):
                    served = self._prepared(release_id)
                    self._refuse(live, release_id, error)
                    return served
            if not isinstance(error, SecondStageError):
                raise
            served = serving_anyway(self._settings, live, partial(self._loaded, live), only_one=True)
        self._note(live)
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
            log.exception("could not look which release is live; the current one keeps serving")

    def _reconnect_if_away(self) -> None:
        if self._milvus.up:
            return
        self._milvus.open(self._prove)
        log.info("the index is back")

    def _prove(self, milvus: MilvusClient) -> None:
        """Search as requests do, by a client that they do not use yet."""
        if isinstance(self.served.index, MilvusIndex):
            self.served.index.prove(milvus, self.served.release.items.vectors.shape[1], self._timeout_s)

    def _switch(self, live: str) -> None:
        from training.release.manifest import ReleaseError
        from training.text import TextEncoderError

        if self._refused and self._refused[0] == live and time.monotonic() - self._refused[1] < RETRY_REFUSED_S:
            return
        try:
            base = self._prepared(live)
        except ServiceError:
            raise
        except Exception as error:
            # Whatever is wrong with it, the one before keeps serving, and says so.
            if isinstance(error, IndexUnavailable):
                self._ask_again()  # if that fails, Milvus is away, which is not the release's fault
            expected = (ReleaseError, IncompleteCollection, TextEncoderError, IndexUnavailable)
            self._refuse(live, self.served.release.id, error, trace=not isinstance(error, expected))
            return
        with self._publishing:
            self._base, self.served = base, self._with_item_updates(base, base)
        self._refused = None
        self._note(live)
        log.info("release %s serves", live)

    def _ask_again(self) -> None:
        with failures():
            read_live(self._settings, self._milvus.client(), self._timeout_s)

    def _refuse(self, live: str, serving: str, error: Exception, *, trace: bool = False) -> None:
        log.warning(
            "live release %s is unusable, %s serves: %s", live, serving, error, exc_info=error if trace else None
        )
        self._refused = (live, time.monotonic())

    def _prepared(self, release_id: str) -> ServedRelease:
        """A release, loaded beside the one that serves, and warm."""
        return serving_anyway(self._settings, release_id, partial(self._loaded, release_id))

    def _loaded(self, release_id: str, *, second_stage: bool) -> ServedRelease:
        served = load_served(self._settings, release_id, self._milvus, second_stage=second_stage)
        warm(served, self._milvus, WARM_TIMEOUT_S)
        _settle(self._settings)
        return served

    def _loaded_without_index(self, release_id: str, *, second_stage: bool) -> ServedRelease:
        served = load_served(self._settings, release_id, self._milvus, second_stage=second_stage)
        warm_in_memory(served)
        _settle(self._settings)
        return served

    def _note(self, live: str) -> None:
        try:
            note_live(self._settings, live)
        except OSError as error:
            log.warning("a start without Milvus would not know that %s is live: %s", live, error)
        clean_fetched(self._settings, self._milvus, self._timeout_s)


def _settle(settings: Settings) -> None:
    """After a load: what it used twice goes back, and a library that it brought along gets its threads."""
    limit_threads(settings.serving.threads)
    give_back_freed()
