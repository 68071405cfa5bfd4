"""UBI rows that others send: a shop's pages (``ubi.js``), or its servers where searches run elsewhere.

A row is refused, with a sentence, where the nightly run could make nothing of it; all else is kept as it was sent,
attributes of the shop's own included.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from infra.contract.names import Action
from infra.contract.ubi import EPOCH_BOUNDS, HITS
from infra.settings import RawSettings
from serving.ubi_log.rows import UBI_QUERIES, Source, new_id

MAX_CHARS = 1_000
"""Of an id or an action's name."""
IDS = ("query_id", "user_id", "client_id", "session_id")
EXPECTED = "expected a JSON array of objects, as ubi.js sends them"
NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE]\+?[0-9]+)?")
HTTP_TIME = re.compile(r"[A-Za-z]+, [0-9]{1,2}[ -][A-Za-z]{3}[ -][0-9]{2,4} [0-9:]{8} (GMT|UTC|[+-][0-9]{4})")
"""As RFC 1123 and RFC 850 write it."""


class RowError(ValueError):
    """A row that nothing could be made of; the message says why, without what was sent."""


@dataclass(frozen=True, kw_only=True)
class UserEvent:
    """What a row means to the next search of whoever it is of."""

    user: str
    action: Action
    query: str | None = None
    item_id: str | None = None
    time: datetime


def parse_rows(body: bytes) -> list[Any]:
    """The rows of a request's body: a JSON array, or one object.

    Raises:
        RowError: it is neither.
    """
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RowError(f"the body is no JSON: {EXPECTED}") from error
    rows = [parsed] if isinstance(parsed, dict) else parsed
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RowError(f"the body is of another form: {EXPECTED}")
    return rows


def checked_row(source: Source, row: Mapping[str, Any], raw: RawSettings, now: datetime) -> dict[str, Any]:
    """A row as it is logged: with a time, and an event with an id.

    A time that the nightly run would refuse, because a browser's clock is wrong, becomes ``now``.

    Raises:
        RowError: says what is wrong.
    """
    for name in IDS:
        _check_id(row, name)
    if source == UBI_QUERIES:
        _check_query(row)
    else:
        _check_event(row)
    named = next((row[name] for name in ("timestamp", "@timestamp") if row.get(name) not in (None, "")), None)
    happened = now if named is None else read_time(named)
    if not now - raw.late_window < happened < now + raw.ahead_window:
        happened = now
    kept = {name: value for name, value in row.items() if name != "@timestamp"} | {"timestamp": happened.isoformat()}
    return kept if source == UBI_QUERIES else {**kept, "event_id": kept.get("event_id") or new_id()}


def user_event_of(source: Source, row: Mapping[str, Any], raw: RawSettings) -> UserEvent | None:
    """What a checked row means to the next search; None where it means nothing to it."""
    user = raw.person(_text(row.get("user_id")), _text(row.get("client_id")))
    if user is None:
        return None
    time = datetime.fromisoformat(row["timestamp"])
    if source == UBI_QUERIES:
        return UserEvent(user=user, action="search", query=row["user_query"], time=time) if row["user_query"] else None
    item = item_of(row)
    meaning = raw.meaning(str(row["action_name"]).strip())
    if item is None or meaning not in ("click", "cart", "order"):
        return None
    return UserEvent(user=user, action=meaning, item_id=item, time=time)


def item_of(row: Mapping[str, Any]) -> str | None:
    """The item that an event is of, where the reader of the logs finds it."""
    attributes = row.get("event_attributes")
    thing = attributes.get("object") if isinstance(attributes, Mapping) else None
    thing = thing if isinstance(thing, Mapping) else {}
    return _text(thing.get("object_id")) or _text(row.get("object_id")) or _text(thing.get("internal_id"))


def read_time(value: object) -> datetime:
    """ISO 8601 (no zone: UTC), HTTP's form, or seconds, milli-, micro- or nanoseconds since 1970, also as a text.

    The other forms that the reader of the logs takes (Apache's, Kibana's, JavaScript's ``toString``) are refused.

    Raises:
        RowError: it is no time.
    """
    try:
        if isinstance(value, str):
            text = value.strip()
            return _since_1970(float(text)) if NUMBER.fullmatch(text) else _written_time(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _since_1970(value)
    except (ValueError, OverflowError, OSError):
        pass
    raise RowError("timestamp is no time: send ISO 8601, such as 2026-11-28T09:30:00Z, or milliseconds since 1970")


def _since_1970(number: float) -> datetime:
    unit = next((10 ** (3 * i) for i, most in enumerate(EPOCH_BOUNDS) if abs(number) < most), 10**9)
    return datetime.fromtimestamp(number / unit, UTC)


def _written_time(text: str) -> datetime:
    read = parsedate_to_datetime(text) if HTTP_TIME.fullmatch(text) else datetime.fromisoformat(text)
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)


def _check_query(row: Mapping[str, Any]) -> None:
    if _text(row.get("query_id")) is None:
        raise RowError("query_id is missing: events name their search by it")
    if not isinstance(row.get("user_query"), str):
        raise RowError("user_query is missing: it is what was typed, a text")
    hits: Any = next((row[name] for name in HITS if row.get(name) is not None), [])
    if not isinstance(hits, list) or not all(hit is None or _text(hit) for hit in hits):
        raise RowError(f"{HITS[0]} is no list of item ids")


def _check_event(row: Mapping[str, Any]) -> None:
    action = row.get("action_name")
    if not isinstance(action, str) or not action.strip() or len(action) > MAX_CHARS:
        raise RowError("action_name is missing: it says what was done, such as click or add_to_cart")
    if all(_text(row.get(name)) is None for name in ("query_id", "user_id", "client_id")):
        raise RowError("it has neither query_id nor client_id nor user_id: it belongs to nobody and to no search")


def _check_id(row: Mapping[str, Any], name: str) -> None:
    value = row.get(name)
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > MAX_CHARS:
        raise RowError(f"{name} is no text of at most {MAX_CHARS:,} characters")


def _text(value: object) -> str | None:
    """An id as the reader of the logs takes it; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    return str(value).strip()[:MAX_CHARS] or None
