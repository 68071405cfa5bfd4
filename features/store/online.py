"""The features of a request, read online."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from features.store.definitions import views
from features.store.errors import OnlineStoreUnavailable, reported
from features.store.merge import NO_FEATURES, merged
from features.store.session import EPOCH, MICROSECOND, Overlay, SessionEvent, SessionStore, check_text, microseconds
from features.store.stored_rows import StoredRow, StoredRows
from features.store.values import QueryFeatures, RequestFeatures, UserFeatures
from infra.services import ServiceError, redis_address
from infra.settings import Settings

log = logging.getLogger(__name__)


__all__ = ["OnlineFeatures", "QueryFeatures", "RequestFeatures", "SessionEvent", "UserFeatures"]


class OnlineFeatures:
    """Reads features for serving, and records what users do. It holds connections: make one and keep it.

    Feast wrote the rows; they are read as it laid them out (:mod:`features.store.stored_rows`), without importing it.

    A user's features are those of the last batch with what was recorded since; :mod:`features.store.merge` says where
    that is what the next batch will say, and where it cannot be. Once a batch has materialized a time, what was
    recorded of before it no longer counts: the batch knows it from the log, and what the log lost is lost.

    Any number of threads and processes may read and record. Both raise OnlineStoreUnavailable within a few time-outs
    when Redis is away, and work again when Redis is back; an embedded Redis that died is started again in the
    background.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises ServiceError where no Redis is set and none can be started, or the URL leads to something of another
        kind (a Redis Cluster behind ``redis://``); LayoutError where another version of Feast is installed than the one
        whose rows can be read."""
        self._settings = settings
        described = views(settings)
        self._user, self._query = described["user"], described["query"]
        self._users = StoredRows(settings.project, self._user)
        self._queries = StoredRows(settings.project, self._query)
        self._reviving = threading.Lock()
        self._changing = threading.Lock()
        """Held while the connections are replaced or closed."""
        self._closed = False
        self._open()
        self._address.refuse_another_kind()
        self._warm_up()

    def user(self, user_id: str, now: datetime) -> UserFeatures | None:
        """The user's features as of ``now``, or None for one who is unknown or past the TTL."""
        return self.users([user_id], now)[0]

    def users(self, user_ids: Sequence[str], now: datetime) -> list[UserFeatures | None]:
        """The features of several users in one round trip, in their order."""
        return [r.user for r in self.requests(user_ids, [""] * len(user_ids), now)]

    def request(self, user_id: str, query: str, now: datetime) -> RequestFeatures:
        """The features of a user and of a query (its normalised text) in one round trip."""
        return self.requests([user_id], [query], now)[0]

    def requests(self, user_ids: Sequence[str], queries: Sequence[str], now: datetime) -> list[RequestFeatures]:
        """The features of several requests in one round trip (two to a Redis Cluster, whose nodes answer in no order);
        ``now`` is the shop's time, with a time zone.

        Raises OnlineStoreUnavailable when Redis does not answer.
        """
        askers, texts = list(dict.fromkeys(user_ids)), list(dict.fromkeys(queries))
        session = self._session
        with self._revived(), session.pipeline() as pipeline:
            # Before the rows: a batch that ends in between then hides nothing that its rows do not say.
            named = session.ask(pipeline, askers)
            events = len(pipeline)
            first = [] if session.answers_in_order else pipeline.execute()
            self._users.ask(pipeline, askers)
            self._queries.ask(pipeline, texts)
            found = [*first, *pipeline.execute()]
        overlay = session.overlay(named, found[:events])
        rows = found[events:]
        users = dict(zip(askers, self._users.rows(rows[: len(askers)]), strict=True))
        known = dict(zip(texts, self._queries.rows(rows[len(askers) :]), strict=True))
        return [
            RequestFeatures(
                self._with_session(users[user_id], user_id, overlay, now), self._query_features(known[query], now)
            )
            for user_id, query in zip(user_ids, queries, strict=True)
        ]

    @property
    def clock_offset(self) -> timedelta | None:
        """How far the wall clock is ahead of the shop's time, by the batch that the last read saw; None without any."""
        return self._session.clock_offset

    def read_clock(self) -> timedelta | None:
        """``clock_offset`` by the batch that is materialized now, in one round trip.

        Raises OnlineStoreUnavailable when Redis does not answer.
        """
        with self._revived():
            return self._session.read_clock()

    def record(self, user_id: str, event: SessionEvent) -> None:
        """Keep what a user did, in one round trip: their next request knows of it, in whichever process.

        Args:
            user_id: as the log will have it; one who is not known yet becomes known.
            event: its ``time`` is the shop's, as ``now`` is in ``requests``. A time that the batch has materialized
                already, or more than ``raw.ahead_window`` after ``now``, does not count.

        Raises ValueError for an empty user id or a text that is too long, OnlineStoreUnavailable when Redis does not
        answer.
        """
        check_text("user_id", user_id)
        if not user_id:
            raise ValueError("user_id is empty: there is nobody to record the event of")
        limit, length = self._settings.serving.max_query_chars, len(event.query or event.item_id or "")
        if length > limit:
            raise ValueError(f"the {event.action}'s text has {length} characters, at most {limit} are taken")
        with self._revived():
            self._session.record(user_id, event)

    def _query_features(self, row: StoredRow | None, now: datetime) -> QueryFeatures | None:
        # Feast keeps a row however old it is: the TTL is applied here, as the offline join does it.
        return QueryFeatures(**row.values) if row and row.stamp + self._query.ttl >= now else None

    def _with_session(
        self, row: StoredRow | None, user_id: str, overlay: Overlay, now: datetime
    ) -> UserFeatures | None:
        """The batch row with the entries that neither it nor its batch knows; None past the TTL."""
        stamp_us = microseconds(row.stamp) if row else 0
        # The row's own stamp too: while a batch is being written, some rows are ahead of what the record says.
        since_us = max(overlay.until_us, stamp_us)
        until_us = microseconds(now + self._settings.raw.ahead_window)
        entries = [e for e in overlay.entries.get(user_id, ()) if since_us <= e.time_us <= until_us]
        stamp = EPOCH + (entries[-1].time_us + 1) * MICROSECOND if entries else row.stamp if row else None
        if stamp is None or stamp + self._user.ttl < now:
            return None
        found = UserFeatures(**row.values) if row else NO_FEATURES
        return merged(found, stamp_us, entries, self._settings.features) if entries else found

    @contextmanager
    def _revived(self) -> Iterator[None]:
        """Report an error of Redis, and see to it that an embedded one comes back."""
        try:
            with reported(self._address):
                yield
        except OnlineStoreUnavailable:
            self._revive()
            raise

    def close(self) -> None:
        """Close the connections; a Redis that is being started again is waited for, and is not connected to."""
        with self._changing:
            self._closed = True
            self._session.close()

    def _open(self) -> None:
        self._address = redis_address(self._settings)
        self._session = SessionStore(self._settings, self._address)

    def _warm_up(self) -> None:
        """The first read imports and builds what the others use: a few tenths of a second."""
        try:
            self.user("", datetime.now(UTC))
        except OnlineStoreUnavailable as error:
            log.warning("User features are not available for now: %s", error)

    def _revive(self) -> None:
        """Start an embedded Redis that died, without making a request wait for it."""
        if self._settings.online.redis_url is None and not self._closed and self._reviving.acquire(blocking=False):
            threading.Thread(target=self._restart, name="revive-redis", daemon=True).start()

    def _restart(self) -> None:
        try:
            with self._changing:
                if self._closed or redis_address(self._settings) == self._address:
                    return
                session = self._session
                self._open()
                session.close()
        except ServiceError as error:
            log.warning("The embedded Redis could not be started again: %s", error)
        finally:
            self._reviving.release()
