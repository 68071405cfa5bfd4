"""Rows of UBI 1.3: of a search that was answered, and of an event, as lines of NDJSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal
from uuid import uuid4

from infra.contract.request import Request
from infra.contract.ubi import HITS

Source = Literal["ubi_queries", "ubi_events"]
UBI_QUERIES: Source = "ubi_queries"
UBI_EVENTS: Source = "ubi_events"


def line_of(row: Mapping[str, Any]) -> bytes:
    """A row as a line of NDJSON.

    Raises:
        ValueError: a number that is not finite, or a text that is no Unicode (half a surrogate pair).
    """
    return json.dumps(row, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def new_id() -> str:
    """A query's or an event's id."""
    return str(uuid4())


def query_row(
    request: Request,
    *,
    query_id: str,
    hits: Sequence[str],
    time: datetime,
    client_id: str | None = None,
    session_id: str | None = None,
    attributes: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """A search that was answered; ``hits`` are the ids of the items shown, in order."""
    return {
        **_known(query_id=query_id, **_person(request.user, client_id, session_id)),
        "user_query": request.query,
        "object_id_field": "item_id",
        HITS[0]: list(hits),
        "timestamp": time.isoformat(),
        "query_attributes": _known(**(request.location or {}), **(attributes or {})),
    }


def event_row(
    *,
    action: str,
    time: datetime,
    user: str | None,
    client_id: str | None = None,
    session_id: str | None = None,
    query_id: str | None = None,
    query: str | None = None,
    item_id: str | None = None,
    position: int | None = None,
) -> dict[str, Any]:
    """Something that a user did; ``position`` is the item's rank among those shown, from 1."""
    attributes: dict[str, Any] = {}
    if item_id is not None:
        attributes["object"] = {"object_id": item_id, "object_id_field": "item_id"}
    if position is not None:
        attributes["position"] = {"ordinal": position}
    return {
        "event_id": new_id(),
        "action_name": action,
        **_known(query_id=query_id, user_query=query, **_person(user, client_id, session_id)),
        "timestamp": time.isoformat(),
        "event_attributes": attributes,
    }


def _person(user: str | None, client_id: str | None, session_id: str | None) -> dict[str, str | None]:
    """A user named by the client's or session's own id is a guest: logged as a user, a browser would become a person
    who is logged in."""
    guest = user in (client_id, session_id)
    return {"user_id": None if guest else user, "client_id": client_id, "session_id": session_id}


def _known(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}
