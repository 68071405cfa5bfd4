"""What a request may be. Anything else is a ValueError before a model or a store sees it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.contract.location import check_location
from infra.settings import ServingSettings
from serving.errors import BadRequest


@dataclass(frozen=True)
class Request:
    """One search.

    ``user`` is whose history counts: a user's id, or the session's or client's that events are recorded under; None or
    unknown: not personalized. ``query`` is what was typed, ``k`` how many items are wanted; fewer come where the
    catalogue or the filters have fewer. ``filters``: see :mod:`serving.filters`. ``location``: where the user is, any
    of ``country``, ``language``, ``zip``, ``latitude``, ``longitude``. ``personalize`` off answers as if nobody asked;
    ``explain`` on says of each hit why it is there; ``items`` on gives what the release knows of each.
    """

    user: str | None
    query: str
    k: int = 100
    filters: Mapping[str, Any] | None = None
    location: Mapping[str, Any] | None = None
    personalize: bool = True
    explain: bool = False
    items: bool = False

    @property
    def asker(self) -> str | None:
        """Whose features are read."""
        return (self.user or None) if self.personalize else None


def check_request(limits: ServingSettings, user: Any, query: Any, k: Any) -> None:
    """Check a request's user, query and k.

    Raises:
        BadRequest: says which of them is wrong, and what it may be.
    """
    if not isinstance(query, str):
        raise BadRequest(f"query must be a str, not {type(query).__name__}")
    if len(query) > limits.max_query_chars:
        raise BadRequest(f"query has {len(query)} characters, at most {limits.max_query_chars} are taken")
    if not any(c.isalnum() for c in query):
        raise BadRequest("query must have at least one letter or number")
    if user is not None and not isinstance(user, str):
        raise BadRequest(f"user must be a str or None, not {type(user).__name__}")
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= limits.max_k:
        raise BadRequest(f"k must be a whole number from 1 to {limits.max_k}, got {k!r}")
    for name, text in (("query", query), ("user", user or "")):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"{name} is not valid Unicode: {error.reason}") from error


def check_place(location: Any) -> None:
    """Check where a request says that it comes from.

    Raises:
        BadRequest: not a mapping, or not a place; see ``infra.contract.location.check_location``.
    """
    if location is None:
        return
    if not isinstance(location, Mapping):
        raise BadRequest(f"location must be a mapping such as {{'country': 'US'}}, not {type(location).__name__}")
    try:
        check_location(location)
    except ValueError as error:
        raise BadRequest(str(error)) from error
