"""Keeps a serving process at what was said of items: reads the log, looks at the file, encodes what is new."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from features.store.errors import OnlineStoreUnavailable
from infra.settings import Settings
from serving.item_updates.apply import Counts, with_item_updates
from serving.item_updates.feed import FeedError, find_feed, read_feed, stamp_of
from serving.item_updates.latest import latest, said_after
from serving.item_updates.log import UpdateLog
from training.release.updated import EncodedItems, encode_new_items
from training.text import item_texts

if TYPE_CHECKING:
    from serving.served import ServedRelease

log = logging.getLogger(__name__)

ENCODED_AT_ONCE = 256
"""New items of one round: a second or two of a core, after which those and all else that was said count."""
KEPT_FOR = timedelta(days=7)
"""How long before the live catalogue all that was said is kept: for a release that is rolled back to."""


class ItemUpdates:
    """What was said of the items of a shop, and a release with it. Threads may share it.

    A thread reads the log every ``settings.serving.refresh_seconds``, looks at the file every
    ``settings.items.feed_seconds``, and calls ``publish`` where something is new.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._log = UpdateLog(settings)
        self._using = threading.Lock()
        """Held while the log is used."""
        self._encoded: dict[str, int] = {}
        """Place of each new item that was encoded, by what was said of it, in ``_items``."""
        self._items: EncodedItems | None = None
        self._release = ""
        """The release that they were encoded by."""
        self._said: pa.Table | None = None
        """What is served, and by which release."""
        self._served: ServedRelease | None = None
        self._version = 0
        self._refused = ""
        """Stamp of a file that could not be used."""
        self._looked = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.up = False
        """Whether the log could be read when it was read last."""
        self.problem: str | None = None
        """Why the file in the landing folder cannot be used; None where it can, or there is none."""
        self.counts = Counts()
        self.known = False
        """Whether the log was ever read."""

    def read(self) -> bool:
        """Read what is new in the log; whether anything is. Where Redis is away, what was read last counts on."""
        with self._using:
            try:
                changed = self._log.read()
            except OnlineStoreUnavailable as error:
                if self.up or not self.known:
                    log.warning("item updates: what was read last counts on: %s", error)
                self.up = False
                return False
            self.up = self.known = True
            return changed

    def add(self, updates: pa.Table) -> None:
        """Add updates to the log, all of them or none.

        Raises:
            OnlineStoreUnavailable: Redis is away; nothing was added.
        """
        with self._using:
            self._log.add(updates)

    def can_be_found(self, updates: pa.Table, base: ServedRelease) -> NDArray[np.bool_]:
        """Which of updates [n] are of items of a release, of such as were told of before, or say what to find them by.
        Who removes an item need not know it."""
        known = pc.is_in(updates["item_id"], value_set=base.id_array)
        found = np.asarray(pc.or_(known, pc.fill_null(updates["removed"], False)).to_numpy())
        if not found.all():
            told = pa.concat_tables([self._log.updates, updates])
            told = told.filter(pc.is_in(told["item_id"], value_set=updates["item_id"].combine_chunks()))
            whole = told["item_id"].filter(item_texts(told).is_valid())
            found |= pc.is_in(updates["item_id"], value_set=whole.combine_chunks()).to_numpy()
        return found

    def applied(self, base: ServedRelease) -> ServedRelease:
        """A release with what was said since its catalogue landed; the release itself where nothing was. Of one thread
        at a time."""
        if base.release.id != self._release:
            self._release, self._encoded, self._items, self._served = base.release.id, {}, None, None
        now = latest(said_after(self._log.updates, base.release.manifest.catalog_at))
        said = now.drop_columns("time")
        if self._served is not None and not self.counts.encoding and said.equals(self._said):
            return self._served  # a file that says the same again leaves the caches as they are
        served, self.counts = with_item_updates(base, now, self._encode, self._settings.items.sold_out_places)
        if served is not base:
            self._version += 1
            served = replace(served, version=self._version)
        self._said, self._served = said, served
        return served

    def start(self, publish: Callable[[], None]) -> None:
        """Begin to look; ``publish`` is called where something is new."""
        self._thread = threading.Thread(target=self._keep_looking, args=(publish,), name="shelfwise-items", daemon=True)
        self._thread.start()

    def look_at_file(self) -> bool:
        """Look whether the file in the landing folder is another one, and add what it says to the log; whether it did.
        A file that cannot be used is told once, and changes nothing."""
        try:
            file = find_feed(self._settings)
            if file is None or (stamp := stamp_of(file)) == self._refused:
                return False
            with self._using:
                if self._log.feed() == stamp:
                    self._refused, self.problem = "", None
                    return False
            began = time.perf_counter()
            try:
                feed = read_feed(self._settings, file)
            except FeedError as error:
                self._refused, self.problem = stamp, str(error)
                log.error("%s", error)
                return False
            with self._using:
                self._log.add(feed.updates, feed=stamp)
        except (FeedError, OnlineStoreUnavailable) as error:
            if str(error) != self.problem:
                log.warning("item updates: %s", error)
            self.problem = str(error)
            return False
        self._refused, self.problem = "", None
        log.info("%s: %s rows in %.2f s", file.name, f"{len(feed.updates):,}", time.perf_counter() - began)
        if feed.bad:
            log.warning("%s: %s rows were left out, such as %s", file.name, f"{feed.bad.count:,}", feed.bad.first)
        return True

    def shorten(self, base: ServedRelease) -> None:
        """Have the log written anew where it is long."""
        with self._using:
            try:
                self._log.shorten(base.release.manifest.catalog_at - KEPT_FOR)
            except OnlineStoreUnavailable:
                self.up = False

    def statistics(self) -> dict[str, Any]:
        """Counts of items by what was said of them, whether Redis is up, and what is wrong with the file."""
        return {"items": vars(self.counts), "up": self.up, "problem": self.problem}

    def close(self) -> None:
        """Stop looking and close the connection."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30.0)
        self._log.close()

    def _keep_looking(self, publish: Callable[[], None]) -> None:
        pause = refresh = self._settings.serving.refresh_seconds
        while not self._stop.wait(pause):
            pause = refresh
            try:
                if time.monotonic() - self._looked >= self._settings.items.feed_seconds:
                    self._looked = time.monotonic()
                    self.look_at_file()
                publish()
                pause = 0.0 if self.counts.encoding else refresh
            except Exception:
                log.exception("item updates: what was read last counts on")

    def _encode(self, base: ServedRelease, catalog: pa.Table) -> tuple[NDArray[np.int64], EncodedItems | None]:
        """Which of new items are encoded by now, at most ``ENCODED_AT_ONCE`` more than before, and these."""
        keys = [repr(row) for row in catalog.drop_columns("available_from").to_pylist()]
        missing = [i for i, key in enumerate(keys) if key not in self._encoded][:ENCODED_AT_ONCE]
        if missing:
            fresh = encode_new_items(base.release, catalog.take(pa.array(missing)), self._settings)
            start = 0 if self._items is None else len(self._items.vectors)
            self._items = fresh if self._items is None else self._items.joined(fresh)
            self._encoded |= {keys[i]: start + place for place, i in enumerate(missing)}
        there = np.array([i for i, key in enumerate(keys) if key in self._encoded], dtype=np.int64)
        if self._items is None or not len(there):
            return there, None
        return there, self._items.take(np.array([self._encoded[keys[i]] for i in there.tolist()], dtype=np.int64))
