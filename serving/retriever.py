"""``retrieve(user, query)``: user features, query tower, vector search; degrades instead of failing, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Unpack, cast

import numpy as np
import pyarrow as pa

from features.active_users import active_users
from features.store.online import OnlineFeatures
from features.store.session import SessionEvent
from infra.contract.names import ACTIONS, USER_LISTS, Action
from infra.contract.query_text import is_searchable, normalise
from infra.contract.request import Request, RequestOptions
from infra.settings import Settings
from serving.answers import LARGEST_CACHED_K, Answer, Search, cache_key, listed, nothing_found
from serving.caching import CountedCache
from serving.callers_case import in_callers_case
from serving.errors import BadRequest, IndexUnavailable
from serving.explain import explained
from serving.filters import parse_filters
from serving.item_updates.rows import ItemUpdate, from_columns, from_objects
from serving.live import Live
from serving.request import check_request
from serving.request_context import context_of
from serving.request_features import RequestFeatures
from serving.retrieval import (
    INDEX_UNAVAILABLE,
    ITEM_UPDATES_UNAVAILABLE,
    NEWER_RELEASE_UNUSABLE,
    NOTHING_TO_SEARCH,
    ONLINE_STORE_UNAVAILABLE,
    SECOND_STAGE_FAILED,
    Retrieval,
)
from serving.second_stages import SecondStages
from serving.served import ServedRelease
from serving.stopwatch import Stopwatch
from training.ranking.candidates import DEPTH


class Retriever:
    """A warm retriever over the live release; safe to share between threads. Close it, or use it as a context.

    It sets the number of numpy's threads for the whole process (``settings.serving.threads``): a small query tower is
    fastest on one core.
    """

    def __init__(self, settings: Settings) -> None:
        """Load what is live and warm it.

        Raises:
            NoLiveRelease: nothing was promoted yet.
            IndexUnavailable: Milvus is away, and this machine has not served before: what is live is unknown.
            ReleaseError: the live release is missing or corrupt.
        """
        self._settings = settings
        self._second_stages = SecondStages()
        with ExitStack() as opened:
            self._live = opened.enter_context(closing(Live(settings)))
            self._online = opened.enter_context(closing(OnlineFeatures(settings)))
            self._begin()
            opened.pop_all()

    def _begin(self) -> None:
        settings = self._settings
        self._features = RequestFeatures(self._online, settings.serving)
        self._contexts: CountedCache[Answer] = CountedCache(
            settings.serving.cache_size, settings.serving.context_cache_seconds
        )
        self._workers = ThreadPoolExecutor(settings.serving.workers, thread_name_prefix="shelfwise-retrieve")
        self._features.read(self.release_id, [Request(user="warm up", query="warm up")], ["warm up"], datetime.now(UTC))

    def retrieve(self, user: str | None, query: str, **options: Unpack[RequestOptions]) -> Retrieval:
        """The k items of the catalogue that fit the query and the user best, of an empty query what is popular and the
        user's own, of one without letter or number none; see :class:`Request` for the
        options, all by name: ``k``, ``filters``, ``location``, ``personalize``, ``explain``, ``items``,
        ``correct``.

        Raises:
            BadRequest: a bad query, user, k, filter or location (a ValueError); the message says which and why.
        """
        return self.retrieve_many([Request(user=user, query=query, **options)])[0]

    async def aretrieve(self, user: str | None, query: str, **options: Unpack[RequestOptions]) -> Retrieval:
        """As :meth:`retrieve`, on one of ``settings.serving.workers`` threads."""
        request = Request(user=user, query=query, **options)
        return (await asyncio.get_running_loop().run_in_executor(self._workers, self.retrieve_many, [request]))[0]

    def retrieve_many(self, requests: Sequence[Request]) -> list[Retrieval]:
        """Several requests in one read of features, one pass of the tower and a search per k and filter.

        Their timings are those of all together.

        Raises:
            BadRequest: one of them is bad; none is answered then.
        """
        for request in requests:
            check_request(self._settings.serving, request)
        served = self._second_stages.usable(self._live.served)
        watch = Stopwatch()
        requests = [self._of_person(request) for request in requests]
        wanted = [parse_filters(request.filters, served.fields) for request in requests]
        fallbacks = [NEWER_RELEASE_UNUSABLE] if self._live.refused else []
        if self._live.item_updates_away:
            fallbacks.append(ITEM_UPDATES_UNAVAILABLE)
        typed = [normalise(request.query) for request in requests]
        if not (served.lists or all(typed)):
            raise BadRequest(f"release {served.release.id} lists nothing without a query: give one, or train again")
        corrected = [
            self._second_stages.corrected(served, text) if request.correct else text
            for text, request in zip(typed, requests, strict=True)
        ]
        texts = [as_typed if text is None else text for text, as_typed in zip(corrected, typed, strict=True)]
        now = datetime.now(UTC) - _clock_offset(served, self._online.clock_offset)
        with watch.step("features"):
            contexts = self._features.read(served.release.id, requests, texts, now)
        if contexts is None:
            fallbacks.append(ONLINE_STORE_UNAVAILABLE)
            contexts = [context_of(None, None, request.location) for request in requests]
        by_towers = served.without_second_stage
        keys = [
            cache_key(served, text, request.k, parsed, context)
            for text, request, parsed, context in zip(texts, requests, wanted, contexts, strict=True)
        ]
        fell_back = False
        answers = [self._contexts.get(key) for key in keys]
        new = [i for i, answer in enumerate(answers) if answer is None]
        answered_anew = set(new)
        if new:
            with watch.step("tower"):
                vectors = served.release.encoder.encode_many([texts[i] for i in new], [contexts[i] for i in new])
            searches = [
                Search(texts[i], contexts[i], vector, requests[i].k, wanted[i])
                for i, vector in zip(new, vectors, strict=True)
            ]
            found, fell_back = self._answers(served, searches, watch)
            for i, answer in zip(new, found, strict=True):
                answers[i] = answer
                if requests[i].k <= LARGEST_CACHED_K:
                    # What stood in for the second stage must not be found while it works.
                    by_key = cache_key(by_towers, texts[i], requests[i].k, wanted[i], contexts[i])
                    self._contexts.put(by_key if answer.second_stage_failed else keys[i], answer)
        if fell_back or not self._live.index_up:
            fallbacks.append(INDEX_UNAVAILABLE)
        retrievals = [
            self._retrieval(
                by_towers if answer.second_stage_failed else served,
                request,
                Search(text, context, answer.vector, request.k, parsed),
                answer,
                [*fallbacks, *([SECOND_STAGE_FAILED] if answer.second_stage_failed or corrected[i] is None else [])],
                cached=i not in answered_anew,
                corrected=None if served.is_same_query(typed[i], text) else in_callers_case(request.query, text),
            )
            for i, (request, text, context, parsed, answer) in enumerate(
                zip(requests, texts, contexts, wanted, answers, strict=True)
            )
            if answer is not None
        ]
        timings = watch.total()
        for retrieval in retrievals:
            retrieval.timings_ms.update(timings)
        return retrievals

    def record(
        self,
        user: str | None,
        action: str,
        query: str | None = None,
        item_id: str | None = None,
        time: datetime | None = None,
    ) -> bool:
        """Record what a user just did, so that their next request counts it; the nightly training reads the logs.

        Args:
            user: whose history it belongs to; None, or an id of ``settings.raw.guest_ids``: nobody's.
            action: ``search`` (with ``query``), ``click``, ``cart`` or ``order`` (with ``item_id``), or the log's name
                for one of these (``settings.raw.actions``: ``add_to_cart``, ``purchase``).
            time: when it was; default: now.

        Returns:
            Whether it was recorded: it is not where it belongs to nobody.

        Raises:
            BadRequest: an unknown action, or one without its query or item.
            OnlineStoreUnavailable: Redis is away; nothing was recorded.
        """
        served = self._live.served
        meaning = self._settings.raw.meaning(action.strip())
        action = meaning if action not in ACTIONS and meaning in ACTIONS else action
        item = served.item(item_id) if item_id is not None else None
        brand, tags = (item.get("brand"), tuple(item.get("tags") or ())) if item else (None, ())
        try:
            happened = time or datetime.now(UTC)
            event = SessionEvent(cast(Action, action), query, item_id, happened, brand, tags)
            person = self._settings.raw.person(user, None)
            if person is None:
                return False
            offset = _clock_offset(served, self._online.read_clock())
            try:
                self._online.record(person, replace(event, time=happened - offset))
            finally:
                # Also where Redis did not answer: it may have it all the same. And also for a release that went live
                # meanwhile, whose requests may have read the user already.
                self._features.forget({served.release.id, self.release_id}, person)
        except OverflowError as error:
            raise BadRequest(f"time {time} is out of range") from error
        except ValueError as error:
            raise BadRequest(str(error)) from error
        return True

    def forget(self, users: Sequence[str]) -> None:
        """Read users anew at their next request: another process recorded what they did."""
        for user in users:
            person = self._settings.raw.person(user, None)
            if person is not None:
                self._features.forget({self.release_id}, person)

    @property
    def release_id(self) -> str:
        """The release that answers now."""
        return self._live.served.release.id

    def statistics(self) -> dict[str, dict[str, Any]]:
        """Hits and misses of each cache since the start, what was said of items, and of the release that answers: when
        it was trained (seconds since 1970), which newer one was refused, and what of it is up."""
        caches: dict[str, CountedCache[Any]] = {
            "users": self._features.users,
            "queries": self._features.queries,
            "contexts": self._contexts,
        }
        counted = {name: {"hits": cache.hits, "misses": cache.misses} for name, cache in caches.items()}
        live = {
            "trained_at": self._live.served.release.manifest.trained_at.timestamp(),
            "refused": self._live.refused,
            "up": {"index": self._live.index_up, "online_store": self._features.store_up},
        }
        return {"cache": counted, "item_updates": self._live.item_updates.statistics(), "live": live}

    def items(self, item_ids: Sequence[str]) -> list[dict[str, Any]]:
        """What the release knows of items, in their order; those that it does not know have their id alone."""
        known = {item["item_id"]: item for item in self._live.served.items(item_ids)}
        return [known.get(item_id, {"item_id": item_id}) for item_id in item_ids]

    def knows(self, item_id: str) -> bool:
        """Whether the live release has an item."""
        return bool(self._live.served.items([item_id]))

    def update_items(self, updates: Sequence[Mapping[str, Any] | ItemUpdate] | pa.Table) -> dict[str, int]:
        """Say what is new of items: stock, prices, whole new items, removed ones; see
        :class:`serving.item_updates.rows.ItemUpdate`. It counts for the next request of this process, and within
        ``settings.serving.refresh_seconds`` of every other one, until a catalogue that landed later is live.

        Args:
            updates: mappings by field, or a table of such columns; what a row does not say stays as it is.

        Returns:
            How many items of the shop have updates, are new, removed, sold out, or wait to be encoded.

        Raises:
            BadRequest: a row is wrong, or says too little of an item that the shop does not know; the message says
                which, from 0. Nothing was taken.
            OnlineStoreUnavailable: Redis is away; nothing was taken.
        """
        now = datetime.now(UTC)
        if isinstance(updates, pa.Table):
            rows, bad = from_columns(updates, now, self._settings.raw.item_id)
            if bad:
                raise BadRequest(f"{bad.count:,} rows cannot be used: {bad.first}")
        else:
            rows = from_objects(updates, now)
            self._live.check_known(rows)
        self._live.item_updates.add(rows)
        self._live.update_items()
        return dict(vars(self._live.item_updates.counts))

    def read_item_updates(self) -> None:
        """Serve with what was said of items to another process, now instead of within
        ``settings.serving.refresh_seconds``."""
        self._live.update_items()

    def fields(self) -> list[dict[str, Any]]:
        """What can be filtered by: name, kind, and the most frequent values or the range of numbers."""
        return self._live.served.filter_values

    def users(self, count: int = 8) -> list[str]:
        """Users with a history, to try the shop with; none where this machine has no features."""
        return active_users(self._settings, count)

    def describe(self, item_id: str) -> str:
        """An item of the release for people: its title, else what is known of it, else its id."""
        return self._live.served.describe(item_id)

    def refresh(self) -> None:
        """Look now whether another release is live, instead of within ``settings.serving.refresh_seconds``."""
        self._live.look()

    def close(self) -> None:
        """Close connections and stop threads."""
        self._workers.shutdown(wait=True)
        self._live.close()
        self._online.close()

    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _of_person(self, request: Request) -> Request:
        """The request of one person, or of nobody where its user is an id that many share."""
        person = self._settings.raw.person(request.user, None)
        return request if person == request.user else replace(request, user=person)

    def _retrieval(
        self,
        served: ServedRelease,
        request: Request,
        search: Search,
        answer: Answer,
        fallbacks: list[str],
        cached: bool,
        corrected: str | None,
    ) -> Retrieval:
        hits = served.hits(answer.rows, answer.scores)
        if request.explain:
            try:
                hits = explained(served, search.text, search.context, search.wanted, answer.vector, answer.towers, hits)
            except Exception as error:
                if served.ranking is None:
                    raise
                # The order may be one that the cache holds of before: it is the second stage that fails now.
                self._second_stages.failed(served, error)
                served = served.without_second_stage
                (answer,), _ = self._answers(served, [search], Stopwatch())
                fallbacks = list(dict.fromkeys([*fallbacks, SECOND_STAGE_FAILED]))
                return self._retrieval(served, request, search, answer, fallbacks, cached=False, corrected=corrected)
        if request.items:
            known = served.release.items.rows(answer.rows)
            hits = [replace(hit, item=item) for hit, item in zip(hits, known, strict=True)]
        return Retrieval(
            hits=hits,
            release_id=served.release.id,
            personalized=answer.personalized,
            fallbacks=fallbacks,
            cached=cached,
            timings_ms={},
            confident=answer.confident,
            confidence=answer.confidence,
            corrected=corrected,
            not_searched=NOTHING_TO_SEARCH if search.text and not is_searchable(search.text) else None,
            unknown_values=list(search.wanted.unknown),
            features={name: list(getattr(search.context, name)) for name in USER_LISTS} if request.explain else None,
        )

    def _answers(
        self, served: ServedRelease, searches: Sequence[Search], watch: Stopwatch
    ) -> tuple[list[Answer], bool]:
        """What is served for each search; and whether exact search in memory stood in for an index that is away, or for
        one that there was no time left to ask."""
        answers: dict[int, Answer] = {}
        fell_back = False
        with watch.step("ranking"):
            for i, search in enumerate(searches):
                if not is_searchable(search.text):
                    answers[i] = nothing_found(served, search) if search.text else listed(served, search)
        asked = [i for i in range(len(searches)) if i not in answers]
        for k, wanted in dict.fromkeys((searches[i].k, searches[i].wanted) for i in asked):
            places = [i for i in asked if (searches[i].k, searches[i].wanted) == (k, wanted)]
            group = [searches[i] for i in places]
            vectors = np.stack([search.vector for search in group])
            left_s = self._settings.serving.deadline_ms / 1000 - watch.elapsed_s()
            with watch.step("search"):
                try:
                    towers = self._live.search(served, vectors, served.depth(k), wanted, left_s)
                except IndexUnavailable:
                    fell_back = True
                    towers = served.search_memory(vectors, served.depth(k), wanted)
            with watch.step("ranking"):
                found = self._second_stages.ordered(served, group, towers)
            for place, search, (seen, _), one in zip(places, group, towers, found, strict=True):
                rows, scores = one.best
                looked_at = seen[: DEPTH if one.by.ranking else 0].astype(np.int32)
                kept = slice(0 if one.fit.confident is False and not self._settings.serving.unconfident_hits else None)
                answers[place] = Answer(
                    search.vector,
                    looked_at,
                    rows[kept].astype(np.int32),
                    scores[kept],
                    confident=one.fit.confident,
                    confidence=one.fit.chance,
                    personalized=one.personalized,
                    second_stage_failed=one.by.second_stage_failed,
                )
        return [answers[i] for i in range(len(searches))], fell_back


def _clock_offset(served: ServedRelease, batch: timedelta | None) -> timedelta:
    """How far the wall clock is ahead of the shop's time: by the release or, where a later batch is online already (its
    release was blocked, or live was rolled back), by that: what happens now must not count as known to the batch."""
    return served.clock_offset if batch is None else min(served.clock_offset, batch)
