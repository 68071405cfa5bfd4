"""What a request may be. Anything else is a ValueError before a model or a store sees it."""

from __future__ import annotations

from collections.abc import Mapping

from infra.contract.location import check_location
from infra.contract.request import Request
from infra.settings import ServingSettings
from serving.errors import BadRequest


def check_request(limits: ServingSettings, request: Request) -> None:
    """Check a request's user, query, k and location; its filters are the release's to judge.

    Raises:
        BadRequest: says which of them is wrong, and what it may be.
    """
    user, query, k = request.user, request.query, request.k
    if not isinstance(query, str):
        raise BadRequest(f"query must be a str, not {type(query).__name__}")
    if len(query) > limits.max_query_chars:
        raise BadRequest(f"query has {len(query)} characters, at most {limits.max_query_chars} are taken")
    if user is not None and not isinstance(user, str):
        raise BadRequest(f"user must be a str or None, not {type(user).__name__}")
    if not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= limits.max_k:
        raise BadRequest(f"k must be a whole number from 1 to {limits.max_k}, got {k!r}")
    for name, text in (("query", query), ("user", user or "")):
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"{name} is not valid Unicode: {error.reason}") from error
    _check_location(request.location)


def _check_location(location: object) -> None:
    if location is None:
        return
    if not isinstance(location, Mapping):
        raise BadRequest(f"location must be a mapping such as {{'country': 'US'}}, not {type(location).__name__}")
    try:
        check_location(location)
    except ValueError as error:
        raise BadRequest(str(error)) from error
