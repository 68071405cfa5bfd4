"""What users did since the last batch: an overlay in Redis, a short sorted set per user in order of event time.

Its keys begin with ``shelfwise:session:`` and the project's name. Feast's begin with a serialized entity name, so that
the clean-up of a rebuild, which looks for those, never finds one of ours.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from features.store.clock import clock_offset
from features.store.definitions import views
from features.store.progress import Reached, read_until, until_key
from infra.contract.names import ACTIONS, Action
from infra.contract.query_text import normalise
from infra.services import RedisAddress
from infra.settings import Settings

if TYPE_CHECKING:
    from redis.client import Pipeline

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class SessionEvent:
    """Something that a user did just now.

    Raises ValueError on anything that the batch path would not take either; the message says what to pass.
    """

    action: Action
    query: str | None = None
    """Of a search: what was typed; it is normalised when it is recorded. An empty one counts as a request."""
    item_id: str | None = None
    """Of a click, cart or order."""
    time: datetime | None = None
    """In the shop's time; None: now."""
    brand: str | None = None
    """The item's, as the catalogue has it."""
    tags: tuple[str, ...] = ()
    """The item's, as the catalogue has them; read for orders."""
    id: str = ""
    """The log's id of the request or event, if it has one by now: recorded twice it counts once, and events of one
    microsecond come in the batch path's order."""

    def __post_init__(self) -> None:
        """Check what was given."""
        if self.action not in ACTIONS:
            raise ValueError(f"action must be one of {', '.join(ACTIONS)}, got {self.action!r}")
        needed, other = ("query", "item_id") if self.action == "search" else ("item_id", "query")
        if getattr(self, other) is not None:
            raise ValueError(f"a {self.action} has no {other}; give its {needed} alone")
        if getattr(self, needed) is None or self.item_id == "":
            raise ValueError(f"a {self.action} needs its {needed}")
        if self.time is not None and (not isinstance(self.time, datetime) or self.time.tzinfo is None):
            raise ValueError("time must be a datetime with a time zone: datetime.now(UTC), not datetime.now()")
        if not isinstance(self.tags, tuple | list):
            raise ValueError(f"tags must be a list of str, got {self.tags!r}")
        for name in ("query", "item_id", "brand"):
            if (text := getattr(self, name)) is not None:
                check_text(name, text)
        for name, text in (("id", self.id), *(("a tag", tag) for tag in self.tags)):
            check_text(name, text)


class Entry(NamedTuple):
    """An event as it is kept, a JSON array in Redis; the batch path orders by time, then id."""

    time_us: int
    """Microseconds since 1970."""
    id: str
    action: Action
    value: str
    """The normalised query, or the item."""
    brand: str | None
    tags: list[str]


class Overlay(NamedTuple):
    """What was recorded, as it is in Redis."""

    until_us: int
    """The batch path has materialized what happened before; 0 where it has not run."""
    entries: dict[str, list[Entry]]
    """Per user who has any, oldest first."""


class SessionStore:
    """Writes and reads the overlay; any number of threads and processes may. Raises the Redis client's errors."""

    def __init__(self, settings: Settings, address: RedisAddress) -> None:
        project = settings.project
        self._client = address.connect(settings.online.timeout_ms)
        self.answers_in_order = not address.is_cluster
        """Whether commands of one pipeline are carried out in their order."""
        self._prefix = session_prefix(project)
        self._until_key = until_key(project, views(settings)["user"])
        self._online = settings.online
        self.clock_offset: timedelta | None = None
        """How far the wall clock is ahead of the shop's time by the batch that was the latest at the last read; None
        where none was."""

    def read_clock(self) -> timedelta | None:
        """``clock_offset``, read now."""
        self._batch(cast("bytes | None", self._client.get(self._until_key)))
        return self.clock_offset

    def _batch(self, value: bytes | None) -> Reached | None:
        reached = read_until(value)
        self.clock_offset = clock_offset(reached.at, reached.until) if reached and reached.at else None
        return reached

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def record(self, user_id: str, event: SessionEvent) -> None:
        """Keep an event in one round trip: the newest ``session_events`` by event time, whoever records them."""
        key, entry = self._prefix + user_id, _entry(event)
        with self._client.pipeline(transaction=True) as pipeline:
            pipeline.zadd(key, {json.dumps(entry, separators=(",", ":")): entry.time_us})
            pipeline.zremrangebyrank(key, 0, -self._online.session_events - 1)
            pipeline.expire(key, self._online.session_ttl)
            pipeline.execute()

    def pipeline(self) -> Pipeline:
        """Commands that are sent together; what they give is in their order."""
        return self._client.pipeline(transaction=False)

    def ask(self, pipeline: Pipeline, user_ids: Iterable[str]) -> list[str]:
        """Add to a pipeline what reads the overlays of users; returns whose, as the empty id is nobody's."""
        users = list(dict.fromkeys(user for user in user_ids if user))
        if users:
            pipeline.get(self._until_key)
        for user in users:
            pipeline.zrange(self._prefix + user, 0, -1)
        return users

    def overlay(self, users: Sequence[str], found: Sequence[Any]) -> Overlay:
        """What the pipeline gave for the users that :meth:`ask` returned."""
        if not users:
            return Overlay(0, {})
        until, *members = found
        entries = {user: _entries(own) for user, own in zip(users, members, strict=True) if own}
        reached = self._batch(until)
        return Overlay(microseconds(reached.until) if reached else 0, entries)


def session_prefix(project: str) -> str:
    """What a shop's keys begin with; a user's id follows."""
    return f"shelfwise:session:{project}:"


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    return (moment - EPOCH) // MICROSECOND


def check_text(name: str, text: Any) -> None:
    """Raise a ValueError that names what is no text."""
    if not isinstance(text, str):
        raise ValueError(f"{name} must be a str, not {type(text).__name__}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{name} is not valid Unicode: {error.reason}") from error


def _entry(event: SessionEvent) -> Entry:
    value = normalise(event.query or "") if event.action == "search" else cast(str, event.item_id)
    return Entry(
        microseconds(event.time or datetime.now(UTC)), event.id, event.action, value, event.brand, list(event.tags)
    )


def _entries(members: list[bytes]) -> list[Entry]:
    """Members of a sorted set, oldest first; of those with one id the first."""
    found = [Entry(*fields) for fields in json.loads(b"[" + b",".join(members) + b"]")]
    kept: dict[Any, Entry] = {}
    for n, entry in enumerate(sorted(found, key=lambda entry: (entry.time_us, entry.id))):
        kept.setdefault((entry.action == "search", entry.id or n), entry)
    return list(kept.values())
